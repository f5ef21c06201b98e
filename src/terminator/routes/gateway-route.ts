import { z } from 'zod';
import { objectMeta } from '../../api/metadata.ts';
import type { KubernetesObject } from '../../kube/resource.ts';
import type { Route, RouteParent } from './route.ts';

const GATEWAY_API = 'gateway.networking.k8s.io';

const parentRef = z.object({
  group: z.string().default(GATEWAY_API),
  kind: z.string().default('Gateway'),
  namespace: z.string().optional(),
  name: z.string(),
});
type ParentRef = z.infer<typeof parentRef>;
const isGateway = ({ group, kind }: ParentRef): boolean => group === GATEWAY_API && kind === 'Gateway';
/** Of a service mesh: nobody comes in by it from outside. */
const isMesh = ({ group, kind }: ParentRef): boolean => group === '' && kind === 'Service';

const backendRef = z.object({
  group: z.string().default(''),
  kind: z.string().default('Service'),
  namespace: z.string().optional(),
  name: z.string(),
});
type BackendRef = z.infer<typeof backendRef>;

const filter = z.object({ requestMirror: z.object({ backendRef }).optional() });
const rule = z.object({
  backendRefs: z.array(backendRef.extend({ filters: z.array(filter).default([]) })).default([]),
  filters: z.array(filter).default([]),
});
const parentStatus = z.object({
  parentRef,
  conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]),
});

const schema = z.object({
  metadata: objectMeta.extend({ namespace: z.string() }),
  spec: z.object({ parentRefs: z.array(parentRef).default([]), rules: z.array(rule).default([]) }).prefault({}),
  status: z.object({ parents: z.array(parentStatus).default([]) }).prefault({}),
});

/**
 * An HTTPRoute or a GRPCRoute. A Service of another namespace counts once a controller has said that all references are
 * allowed (ReferenceGrant, `ResolvedRefs`): else whoever may write routes could name anybody's.
 *
 * @throws when the object is none of gateway.networking.k8s.io/v1
 */
export function projectGatewayRoute(kind: 'HTTPRoute' | 'GRPCRoute'): (object: KubernetesObject) => Route {
  return (object) => {
    const { metadata, spec, status } = schema.parse(object);
    const { namespace, name } = metadata;
    const nameOf = (ref: ParentRef): string => `${ref.namespace ?? namespace}/${ref.name}`;
    const isTrue = ({ conditions }: z.infer<typeof parentStatus>, type: string): boolean =>
      conditions.some((condition) => condition.type === type && condition.status === 'True');
    const served = status.parents.filter((parent) => isTrue(parent, 'Accepted'));
    const accepted = new Set(
      served.filter(({ parentRef: ref }) => isGateway(ref)).map(({ parentRef: ref }) => nameOf(ref)),
    );
    const gateways = new Set(spec.parentRefs.filter(isGateway).map(nameOf));
    const others = spec.parentRefs.filter((ref) => !isGateway(ref) && !isMesh(ref));
    const parents: readonly RouteParent[] = [
      ...[...gateways].map((gateway) => ({ kind: 'Gateway' as const, gateway, accepted: accepted.has(gateway) })),
      ...others.map((ref) => ({ kind: 'Unknown' as const, name: `${ref.kind} ${nameOf(ref)}` })),
    ];
    const foreign = served.some((parent) => isTrue(parent, 'ResolvedRefs'));
    const services = spec.rules
      .flatMap(backendsOf)
      .filter((ref) => ref.group === '' && ref.kind === 'Service')
      .filter((ref) => foreign || (ref.namespace ?? namespace) === namespace)
      .map((ref) => `${ref.namespace ?? namespace}/${ref.name}`);
    return { kind, namespace, name, parents, services: [...new Set(services)].toSorted() };
  };
}

/** Mirrored requests act as others do. */
function backendsOf({ backendRefs, filters }: z.infer<typeof rule>): BackendRef[] {
  const mirrors = [...filters, ...backendRefs.flatMap((ref) => ref.filters)];
  return [...backendRefs, ...mirrors.flatMap(({ requestMirror }) => requestMirror?.backendRef ?? [])];
}

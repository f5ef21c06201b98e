import { z } from 'zod';
import { objectMeta } from '../../api/metadata.ts';
import type { KubernetesObject } from '../../kube/resource.ts';
import type { GatewayParent, Route } from './route.ts';

const GATEWAY_API = 'gateway.networking.k8s.io';

const parentRef = z.object({
  group: z.string().default(GATEWAY_API),
  kind: z.string().default('Gateway'),
  namespace: z.string().optional(),
  name: z.string(),
});
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
    const gatewayOf = (ref: z.infer<typeof parentRef>): string | undefined =>
      ref.group === GATEWAY_API && ref.kind === 'Gateway' ? `${ref.namespace ?? namespace}/${ref.name}` : undefined;
    const isTrue = ({ conditions }: z.infer<typeof parentStatus>, type: string): boolean =>
      conditions.some((condition) => condition.type === type && condition.status === 'True');
    const served = status.parents.filter((parent) => isTrue(parent, 'Accepted'));
    const accepted = new Set(served.map((parent) => gatewayOf(parent.parentRef)));
    const gateways = new Set(spec.parentRefs.flatMap((ref) => gatewayOf(ref) ?? []));
    const parents = [...gateways].map((gateway): GatewayParent => ({
      kind: 'Gateway',
      gateway,
      accepted: accepted.has(gateway),
    }));
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

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
  sectionName: z.string().optional(),
  port: z.number().optional(),
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
  spec: z
    .object({
      parentRefs: z.array(parentRef).default([]),
      hostnames: z.array(z.string()).default([]),
      rules: z.array(rule).default([]),
    })
    .prefault({}),
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
    const served = status.parents.filter((parent) => isTrue(parent, 'Accepted'));
    const isAccepted = (ref: ParentRef): boolean =>
      served.some(
        ({ parentRef: its }) =>
          isGateway(its) && nameOf(its) === nameOf(ref) && its.sectionName === ref.sectionName && its.port === ref.port,
      );
    const parents = spec.parentRefs.flatMap((ref): RouteParent[] => {
      if (isMesh(ref)) return [];
      if (!isGateway(ref)) return [{ kind: 'Unknown', name: `${ref.kind} ${nameOf(ref)}` }];
      const { sectionName: section, port } = ref;
      return [{ kind: 'Gateway', gateway: nameOf(ref), section, port, accepted: isAccepted(ref) }];
    });
    const foreign = served.some((parent) => isTrue(parent, 'ResolvedRefs'));
    const services = spec.rules
      .flatMap(backendsOf)
      .filter((ref) => ref.group === '' && ref.kind === 'Service')
      .filter((ref) => foreign || (ref.namespace ?? namespace) === namespace)
      .map((ref) => `${ref.namespace ?? namespace}/${ref.name}`);
    const hostnames = spec.hostnames.map((hostname) => hostname.toLowerCase());
    return { kind, namespace, name, parents, hostnames, services: [...new Set(services)].toSorted() };
  };
}

const isTrue = ({ conditions }: z.infer<typeof parentStatus>, type: string): boolean =>
  conditions.some((condition) => condition.type === type && condition.status === 'True');

/** Mirrored requests act as others do. */
function backendsOf({ backendRefs, filters }: z.infer<typeof rule>): BackendRef[] {
  const mirrors = [...filters, ...backendRefs.flatMap((ref) => ref.filters)];
  return [...backendRefs, ...mirrors.flatMap(({ requestMirror }) => requestMirror?.backendRef ?? [])];
}

import { z } from 'zod';
import { objectMeta } from '../../api/metadata.ts';
import type { KubernetesObject } from '../../kube/resource.ts';
import type { Route } from './route.ts';

const service = z.object({
  kind: z.string().default('Service'),
  namespace: z.string().optional(),
  name: z.string(),
});

const schema = z.object({
  metadata: objectMeta.extend({ namespace: z.string() }),
  spec: z.object({ routes: z.array(z.object({ services: z.array(service).default([]) })).default([]) }).prefault({}),
});

/**
 * An IngressRoute of Traefik. Services of other namespaces are left out: Traefik serves them where it is told so
 * (`allowCrossNamespace`), which the cluster does not say, and else whoever may write IngressRoutes could name anybody's.
 *
 * @throws when the object is no IngressRoute of traefik.io/v1alpha1
 */
export function projectIngressRoute(object: KubernetesObject): Route {
  const { metadata, spec } = schema.parse(object);
  const { namespace, name, annotations } = metadata;
  const services = spec.routes
    .flatMap((route) => route.services)
    .filter((ref) => ref.kind === 'Service' && (ref.namespace ?? namespace) === namespace)
    .map((ref) => `${namespace}/${ref.name}`);
  return {
    kind: 'IngressRoute',
    namespace,
    name,
    parents: [{ kind: 'IngressClass', className: annotations['kubernetes.io/ingress.class'] }],
    hostnames: [],
    services: [...new Set(services)].toSorted(),
  };
}

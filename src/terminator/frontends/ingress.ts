import { z } from 'zod';
import type { KubernetesObject } from '../../kube/resource.ts';
import { frontendMeta, frontendObject } from './frontend-object.ts';
import type { Frontend } from './frontend.ts';

const backend = z.object({ service: z.object({ name: z.string() }).optional() });

const schema = z.object({
  metadata: frontendMeta,
  spec: z
    .object({
      ingressClassName: z.string().optional(),
      defaultBackend: backend.optional(),
      tls: z.array(z.object({ hosts: z.array(z.string()).default([]) })).default([]),
      rules: z
        .array(
          z.object({
            host: z.string().default(''),
            http: z.object({ paths: z.array(z.object({ backend })) }).default({ paths: [] }),
          }),
        )
        .default([]),
    })
    .prefault({}),
});

/** @throws when the object is no Ingress of networking.k8s.io/v1 */
export function projectIngress(object: KubernetesObject): Frontend {
  const { metadata, spec } = schema.parse(object);
  const { annotations } = metadata;
  const hosts = new Set(spec.rules.map(({ host }) => host.toLowerCase()));
  const hostless = hosts.delete('') || spec.rules.length === 0;
  const named = [...hosts].toSorted();
  return {
    ...frontendObject('Ingress', { metadata }),
    className: spec.ingressClassName ?? annotations['kubernetes.io/ingress.class'],
    hosts: named,
    proofHosts: named,
    hostless,
    tlsHosts: [...new Set(spec.tls.flatMap((tls) => tls.hosts.map((host) => host.toLowerCase())))].toSorted(),
    backends: backendsOf(spec, hostless ? [...hosts, ''] : [...hosts]),
  };
}

function backendsOf(spec: z.infer<typeof schema>['spec'], hosts: readonly string[]): Frontend['backends'] {
  const pairs = new Map<string, { host: string; service: string }>();
  const add = (host: string, service: string | undefined): void => {
    if (service !== undefined) pairs.set(`${host} ${service}`, { host, service });
  };
  for (const { host, http } of spec.rules) {
    for (const path of http.paths) add(host.toLowerCase(), path.backend.service?.name);
  }
  for (const host of hosts) add(host, spec.defaultBackend?.service?.name);
  return [...pairs.values()];
}

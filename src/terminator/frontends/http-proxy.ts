import { z } from 'zod';
import type { KubernetesObject } from '../../kube/resource.ts';
import { frontendMeta, frontendObject } from './frontend-object.ts';
import type { Frontend } from './frontend.ts';

const route = z.object({
  permitInsecure: z.boolean().default(false),
  services: z.array(z.object({ name: z.string() })).default([]),
});

const schema = z.object({
  metadata: frontendMeta,
  spec: z
    .looseObject({
      ingressClassName: z.string().optional(),
      virtualhost: z
        .looseObject({
          fqdn: z.string().default(''),
          tls: z
            .looseObject({ secretName: z.string().default(''), passthrough: z.boolean().default(false) })
            .optional(),
        })
        .optional(),
      routes: z.array(route).default([]),
    })
    .prefault({}),
  status: z
    .object({
      conditions: z.array(z.object({ type: z.string(), observedGeneration: z.number().optional() })).default([]),
    })
    .prefault({}),
});

/**
 * An HTTPProxy with a virtualhost decides for its whole host. One without is a part that others include: it has no host,
 * and what it routes to is not looked at.
 *
 * @throws when the object is no HTTPProxy of projectcontour.io/v1
 */
export function projectHTTPProxy(object: KubernetesObject): Frontend {
  const { metadata, spec, status } = schema.parse(object);
  const { annotations } = metadata;
  const observed = status.conditions.find(({ type }) => type === 'Valid')?.observedGeneration;
  const host = spec.virtualhost?.fqdn.toLowerCase() ?? '';
  const hosts = host === '' ? [] : [host];
  const tls = spec.virtualhost?.tls;
  const services = new Set(spec.routes.flatMap(({ services: each }) => each.map(({ name }) => name)));
  return {
    ...frontendObject('HTTPProxy', {
      metadata,
      spec: { ...spec, routes: { permitInsecure: spec.routes.some((each) => each.permitInsecure) } },
    }),
    // Contour heeds the annotations before the field.
    className:
      annotations['projectcontour.io/ingress.class'] ??
      annotations['kubernetes.io/ingress.class'] ??
      spec.ingressClassName,
    hosts,
    proofHosts: hosts,
    hostless: host === '',
    ...(observed === undefined || observed === metadata.generation ? {} : { unobserved: true }),
    // Passed through, the connection ends behind Envoy, and so does the client's certificate.
    tlsHosts: host !== '' && tls !== undefined && tls.secretName !== '' && !tls.passthrough ? [host] : [],
    backends: host === '' ? [] : [...services].map((service) => ({ host, service })),
  };
}

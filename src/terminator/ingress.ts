import { z } from 'zod';
import { objectMeta } from '../api/metadata.ts';
import type { KubernetesObject } from '../kube/resource.ts';
import { appliedAt, lastWriter, settingOwners } from './field-managers.ts';
import { type Frontend, parseOptIn } from './frontend.ts';
import { driverKeys } from './registry.ts';
import { settingsOf } from './settings.ts';

const backend = z.object({ service: z.object({ name: z.string() }).optional() });

const schema = z.object({
  metadata: objectMeta.extend({
    namespace: z.string(),
    managedFields: z.array(z.unknown()).default([]),
    creationTimestamp: z.string().default(''),
  }),
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
  const keys = driverKeys('Ingress');
  const owners = settingOwners(metadata.managedFields, keys);
  const hosts = new Set(spec.rules.map(({ host }) => host.toLowerCase()));
  const hostless = hosts.delete('') || spec.rules.length === 0;
  return {
    kind: 'Ingress',
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    className: spec.ingressClassName ?? annotations['kubernetes.io/ingress.class'],
    hosts: [...hosts].toSorted(),
    hostless,
    tlsHosts: [...new Set(spec.tls.flatMap((tls) => tls.hosts.map((host) => host.toLowerCase())))].toSorted(),
    backends: backendsOf(spec, hostless ? [...hosts, ''] : [...hosts]),
    optIn: parseOptIn(annotations),
    settings: settingsOf({ metadata }, keys),
    otherOwners: owners.others,
    ownKeys: owners.own,
    appliedAt: appliedAt(metadata.managedFields),
    lastWriter: lastWriter(metadata.managedFields),
    deleting: metadata.deletionTimestamp !== undefined,
    creationTimestamp: metadata.creationTimestamp,
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

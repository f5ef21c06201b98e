import { z } from 'zod';
import { CLIENT_CERTIFICATES, MODE, OPT_IN } from '../api/annotations.ts';
import { objectMeta } from '../api/metadata.ts';
import type { KubernetesObject } from '../kube/resource.ts';
import type { ClientCertificates } from './driver.ts';
import { annotationOwners, appliedAt, lastWriter } from './field-managers.ts';
import { driverKeys } from './registry.ts';

/** What the owner of an Ingress asks of us. */
export interface OptIn {
  /** Name of an AuthorizationServer; undefined: not opted in. */
  server: string | undefined;
  clientCertificates: ClientCertificates;
  mode: 'manage' | 'report' | 'off';
  /** What is wrong with our annotations, as a sentence to their owner; the values above are then not to be acted on. */
  invalid: string | undefined;
}

/** What the cache keeps of an Ingress. */
export interface IngressProjection {
  namespace: string;
  name: string;
  uid: string;
  resourceVersion: string;
  className: string | undefined;
  /** Named hosts of the rules, sorted, each once. */
  hosts: readonly string[];
  /** A rule without a host, or no rule at all: traffic of the default server. */
  hostless: boolean;
  tlsHosts: readonly string[];
  /** Services behind each host ('' for rules without one), in the Ingress's own namespace. */
  backends: readonly { host: string; service: string }[];
  optIn: OptIn;
  /** Annotations that terminator drivers write or look at. */
  driverAnnotations: Readonly<Record<string, string>>;
  /** Field managers of each of those annotations but ours. */
  otherOwners: Readonly<Record<string, readonly string[]>>;
  /** Annotation keys that our field manager owns, whether drivers still know them or not. */
  ownKeys: readonly string[];
  /** When our apply changed it last, epoch milliseconds. */
  appliedAt: number | undefined;
  /** The field manager of the latest write but ours. */
  lastWriter: string | undefined;
  deleting: boolean;
  /** RFC 3339. */
  creationTimestamp: string;
}

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

const clientCertificates = z.enum(['required', 'optional', 'request']);
const mode = z.enum(['manage', 'report', 'off']);

/** @throws when the object is no Ingress of networking.k8s.io/v1 */
export function projectIngress(object: KubernetesObject): IngressProjection {
  const { metadata, spec } = schema.parse(object);
  const { annotations } = metadata;
  const owners = annotationOwners(metadata.managedFields);
  const hosts = new Set(spec.rules.map(({ host }) => host.toLowerCase()));
  const hostless = hosts.delete('') || spec.rules.length === 0;
  return {
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
    driverAnnotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => driverKeys.has(key))),
    otherOwners: Object.fromEntries([...owners.others].filter(([key]) => driverKeys.has(key))),
    ownKeys: owners.own,
    appliedAt: appliedAt(metadata.managedFields),
    lastWriter: lastWriter(metadata.managedFields),
    deleting: metadata.deletionTimestamp !== undefined,
    creationTimestamp: metadata.creationTimestamp,
  };
}

function backendsOf(spec: z.infer<typeof schema>['spec'], hosts: readonly string[]): IngressProjection['backends'] {
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

function parseOptIn(annotations: Readonly<Record<string, string>>): OptIn {
  const server = annotations[OPT_IN];
  const certificates = clientCertificates.safeParse(annotations[CLIENT_CERTIFICATES] ?? 'required');
  const parsedMode = mode.safeParse(annotations[MODE] ?? 'manage');
  const wrong = [
    ...(server === '' ? [`${OPT_IN} is empty: write the name of an AuthorizationServer, or remove it`] : []),
    ...(certificates.success ? [] : [`${CLIENT_CERTIFICATES} must be ${clientCertificates.options.join(', ')}`]),
    ...(parsedMode.success ? [] : [`${MODE} must be ${mode.options.join(', ')}`]),
  ];
  return {
    server,
    clientCertificates: certificates.data ?? 'required',
    mode: parsedMode.data ?? 'manage',
    invalid: server === undefined || wrong.length === 0 ? undefined : `${wrong.join('; ')}.`,
  };
}

/** Asks for client authentication, rightly or wrongly. A mode that cannot be read is no opt-out. */
export function isOptedIn({ optIn }: Pick<IngressProjection, 'optIn'>): boolean {
  return optIn.server !== undefined && (optIn.mode !== 'off' || optIn.invalid !== undefined);
}

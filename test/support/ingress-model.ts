/**
 * What ingress-nginx 1.15 makes of Ingresses, Secrets and Services, as data: its rules in one pure function, so that
 * nginx and the Node stand-in serve the same hosts. Followed: internal/ingress/controller/controller.go
 * (getBackendServers), annotations/authtls/main.go and store/backend_ssl.go of the last release. Where haproxy-ingress
 * 0.16 has other rules, they follow pkg/converters/ingress/annotations/host.go (setAuthTLSConfig).
 */
import { z } from 'zod';

export type IngressDialect = 'ingress-nginx' | 'haproxy-ingress';

const prefixes: Readonly<Record<IngressDialect, string>> = {
  'ingress-nginx': 'nginx.ingress.kubernetes.io/',
  'haproxy-ingress': 'haproxy-ingress.github.io/',
};

const metadataSchema = z.object({
  name: z.string(),
  namespace: z.string().default('default'),
  annotations: z.record(z.string(), z.string()).default({}),
  creationTimestamp: z.string().default(''),
});

const backendSchema = z.object({
  service: z.object({
    name: z.string(),
    port: z.object({ name: z.string().optional(), number: z.number().optional() }).default({}),
  }),
});

const ingressSchema = z.object({
  kind: z.literal('Ingress'),
  metadata: metadataSchema,
  spec: z.object({
    ingressClassName: z.string().optional(),
    tls: z.array(z.object({ hosts: z.array(z.string()).default([]), secretName: z.string().optional() })).default([]),
    rules: z
      .array(
        z.object({
          host: z.string().default(''),
          http: z
            .object({
              paths: z.array(
                z.object({
                  path: z.string().default('/'),
                  pathType: z.string().default('Prefix'),
                  backend: backendSchema,
                }),
              ),
            })
            .default({ paths: [] }),
        }),
      )
      .default([]),
  }),
});

const secretSchema = z.object({
  kind: z.literal('Secret'),
  metadata: metadataSchema,
  data: z.record(z.string(), z.string()).default({}),
});

const serviceSchema = z.object({
  kind: z.literal('Service'),
  metadata: metadataSchema,
  spec: z.object({
    type: z.string().default('ClusterIP'),
    externalName: z.string().optional(),
    ports: z
      .array(
        z.object({
          name: z.string().optional(),
          port: z.number(),
          targetPort: z.union([z.number(), z.string()]).optional(),
        }),
      )
      .default([]),
  }),
});

const otherSchema = z.object({ kind: z.string() }).transform(() => undefined);
const objectSchema = z.union([ingressSchema, secretSchema, serviceSchema, otherSchema]);

type Ingress = z.infer<typeof ingressSchema>;
type Secret = z.infer<typeof secretSchema>;
type Service = z.infer<typeof serviceSchema>;

export interface KeyPair {
  certificate: string;
  key: string;
}

export interface ClientAuthentication {
  /** namespace/name of the Secret with the CAs. */
  secret: string;
  /** Empty: there is none, and nobody is let in. */
  ca: string;
  crl?: string;
  verify: 'on' | 'off' | 'optional' | 'optional_no_ca';
  depth: number;
  passCertificate: boolean;
  errorPage?: string;
}

export interface LocationModel {
  path: string;
  exact: boolean;
  /** namespace/name */
  ingress: string;
  /** Absent: the Service is missing or has no address; the controller answers 503. */
  backend?: { protocol: 'http' | 'https'; host: string; port: number };
}

export interface HostModel {
  /** `_` for rules without a host. */
  hostname: string;
  /** Absent: the controller's own self-signed certificate is served. */
  tls?: KeyPair;
  redirectToHttps: boolean;
  /** An unusable auth-tls-secret: every request of the host is 403. */
  denied?: string;
  clientAuthentication?: ClientAuthentication;
  locations: LocationModel[];
}

export interface IngressModel {
  hosts: HostModel[];
  /** namespace/name of every Secret that the Ingresses name, there or not. */
  secrets: string[];
}

export interface IngressModelOptions {
  /** Default `nginx`. Ingresses of other classes, or of none, are not ours. */
  ingressClass?: string;
  /** Whose annotations are read. Default ingress-nginx. */
  dialect?: IngressDialect;
  /** ingress-nginx's allow-cross-namespace-resources. Default false. */
  allowCrossNamespaceResources?: boolean;
}

interface Lookup {
  secrets: Map<string, Secret>;
  services: Map<string, Service>;
  named: Set<string>;
  options: IngressModelOptions;
}

const keyOf = ({ metadata }: { metadata: { namespace: string; name: string } }): string =>
  `${metadata.namespace}/${metadata.name}`;

const dataOf = (secret: Secret | undefined, key: string): string | undefined => {
  const value = secret?.data[key];
  return value === undefined || value === '' ? undefined : Buffer.from(value, 'base64').toString('utf8');
};

const annotationOf = (ingress: Ingress, name: string, { options }: Lookup): string | undefined =>
  ingress.metadata.annotations[`${prefixes[options.dialect ?? 'ingress-nginx']}${name}`];

type ClientAuthenticationOutcome = { denied: string } | { off: true } | ClientAuthentication;

/** annotations/authtls/main.go: a CA that cannot be had denies the host; a Secret without one switches it all off. */
function clientAuthenticationOf(ingress: Ingress, lookup: Lookup): ClientAuthenticationOutcome {
  const annotation = (name: string): string | undefined => annotationOf(ingress, `auth-tls-${name}`, lookup);
  if (lookup.options.dialect === 'haproxy-ingress') return haproxyClientAuthenticationOf(ingress, lookup);
  const reference = annotation('secret');
  if (reference === undefined || reference === '') return { off: true };
  const [namespace, name, ...rest] = reference.split('/');
  if (namespace === undefined || name === undefined || rest.length > 0) {
    return { denied: `invalid secret reference ${reference}: must be namespace/name` };
  }
  if (namespace !== ingress.metadata.namespace && lookup.options.allowCrossNamespaceResources !== true) {
    return { denied: 'cross namespace secrets are not supported' };
  }
  lookup.named.add(reference);
  const secret = lookup.secrets.get(reference);
  const ca = dataOf(secret, 'ca.crt');
  const hasKeyPair = dataOf(secret, 'tls.crt') !== undefined && dataOf(secret, 'tls.key') !== undefined;
  if (ca === undefined) {
    if (hasKeyPair) return { off: true };
    return { denied: `error obtaining certificate: secret "${reference}" contains no keypair or CA certificate` };
  }
  const verify = z.enum(['on', 'off', 'optional', 'optional_no_ca']).catch('on').parse(annotation('verify-client'));
  const crl = dataOf(secret, 'ca.crl');
  const errorPage = annotation('error-page');
  return {
    secret: reference,
    ca,
    verify,
    depth: Number.parseInt(annotation('verify-depth') ?? '1', 10) || 1,
    passCertificate: annotation('pass-certificate-to-upstream') === 'true',
    ...(crl === undefined ? {} : { crl }),
    ...(errorPage === undefined ? {} : { errorPage }),
  };
}

/** A CA that cannot be had lets nobody in where `auth-tls-strict` is true, as it is by default, else everybody. */
function haproxyClientAuthenticationOf(ingress: Ingress, lookup: Lookup): ClientAuthenticationOutcome {
  const annotation = (name: string): string | undefined => annotationOf(ingress, `auth-tls-${name}`, lookup);
  const named = annotation('secret');
  if (named === undefined || named === '' || annotation('verify-client') === 'off') return { off: true };
  const reference = named.includes('/') ? named : `${ingress.metadata.namespace}/${named}`;
  const own = reference.startsWith(`${ingress.metadata.namespace}/`);
  if (own) lookup.named.add(reference);
  const secret = own ? lookup.secrets.get(reference) : undefined;
  const ca = dataOf(secret, 'ca.crt');
  if (ca === undefined && (annotation('strict') ?? 'true') !== 'true') return { off: true };
  const crl = dataOf(secret, 'ca.crl');
  return {
    secret: reference,
    ca: ca ?? '',
    verify: z.enum(['on', 'optional', 'optional_no_ca']).catch('on').parse(annotation('verify-client')),
    depth: 0,
    passCertificate: annotation('cert-header') === 'true',
    ...(crl === undefined ? {} : { crl }),
  };
}

function backendOf(ingress: Ingress, backend: z.infer<typeof backendSchema>, lookup: Lookup): LocationModel['backend'] {
  const { name, port } = backend.service;
  const service = lookup.services.get(`${ingress.metadata.namespace}/${name}`);
  if (service?.spec.type !== 'ExternalName' || service.spec.externalName === undefined) return undefined;
  const { ports, externalName } = service.spec;
  const declared = ports.find((p) => (port.name === undefined ? p.port === port.number : p.name === port.name));
  // A Service of this type needs no ports: then the Ingress's number is the backend's own.
  const number = typeof declared?.targetPort === 'number' ? declared.targetPort : (declared?.port ?? port.number);
  if (number === undefined) return undefined;
  const secure = annotationOf(ingress, 'backend-protocol', lookup)?.toUpperCase() === 'HTTPS';
  return { protocol: secure ? 'https' : 'http', host: externalName, port: number };
}

function keyPairOf(ingress: Ingress, hostname: string, lookup: Lookup): KeyPair | undefined {
  for (const { hosts, secretName } of ingress.spec.tls) {
    if (secretName === undefined || !hosts.includes(hostname)) continue;
    const reference = `${ingress.metadata.namespace}/${secretName}`;
    lookup.named.add(reference);
    const secret = lookup.secrets.get(reference);
    const certificate = dataOf(secret, 'tls.crt');
    const key = dataOf(secret, 'tls.key');
    if (certificate !== undefined && key !== undefined) return { certificate, key };
  }
  return undefined;
}

/** The first Ingress with a CA decides for the whole host; one that is denied denies the host. */
function applyClientAuthentication(host: HostModel, ingress: Ingress, lookup: Lookup): void {
  const outcome = clientAuthenticationOf(ingress, lookup);
  if ('denied' in outcome) host.denied ??= outcome.denied;
  else if ('ca' in outcome) host.clientAuthentication ??= outcome;
}

function addRules(hosts: Map<string, HostModel>, ingress: Ingress, lookup: Lookup): void {
  for (const rule of ingress.spec.rules) {
    const hostname = rule.host === '' ? '_' : rule.host;
    const host = hosts.get(hostname) ?? { hostname, redirectToHttps: false, locations: [] };
    hosts.set(hostname, host);
    const keyPair = keyPairOf(ingress, hostname, lookup);
    if (keyPair !== undefined) host.tls ??= keyPair;
    // Only a host with a certificate of its own is redirected, by default.
    host.redirectToHttps ||= keyPair !== undefined && annotationOf(ingress, 'ssl-redirect', lookup) !== 'false';
    applyClientAuthentication(host, ingress, lookup);
    for (const { path, pathType, backend } of rule.http.paths) {
      const exact = pathType === 'Exact';
      if (host.locations.some((location) => location.path === path && location.exact === exact)) continue;
      const address = backendOf(ingress, backend, lookup);
      host.locations.push({ path, exact, ingress: keyOf(ingress), ...(address && { backend: address }) });
    }
  }
}

/** By age, then by name: the order in which ingress-nginx lets Ingresses speak for a host. */
const byAge = (a: Ingress, b: Ingress): number =>
  a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp) || keyOf(a).localeCompare(keyOf(b));

/**
 * @param objects Ingresses, Secrets and Services as JSON on the wire; other kinds are ignored
 */
export function buildIngressModel(objects: readonly unknown[], options: IngressModelOptions = {}): IngressModel {
  const parsed = objects.map((object) => objectSchema.parse(object)).filter((object) => object !== undefined);
  const lookup: Lookup = { secrets: new Map(), services: new Map(), named: new Set(), options };
  const ingresses: Ingress[] = [];
  for (const object of parsed) {
    if (object.kind === 'Secret') lookup.secrets.set(keyOf(object), object);
    else if (object.kind === 'Service') lookup.services.set(keyOf(object), object);
    else ingresses.push(object);
  }
  const ingressClass = options.ingressClass ?? 'nginx';
  const hosts = new Map<string, HostModel>();
  for (const ingress of ingresses.toSorted(byAge)) {
    const own = ingress.spec.ingressClassName ?? ingress.metadata.annotations['kubernetes.io/ingress.class'] ?? '';
    if (own === ingressClass) addRules(hosts, ingress, lookup);
  }
  return {
    hosts: [...hosts.values()].toSorted((a, b) => a.hostname.localeCompare(b.hostname)),
    secrets: [...lookup.named].toSorted(),
  };
}

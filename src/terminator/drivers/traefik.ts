import { SAFE_NAMING } from '../../api/annotations.ts';
import type { Resource } from '../../kube/resource.ts';
import type { ClientCertificates, Companion, Rendering, Settings, TerminatorDriver } from '../driver.ts';
import { OLDEST_TRAEFIK } from './nginx.ts';
import { isBelow } from '../version.ts';

/** `spec.controller` of its IngressClasses. */
export const TRAEFIK = 'traefik.io/ingress-controller';
const prefix = 'traefik.ingress.kubernetes.io';
const TLS_OPTIONS = `${prefix}/router.tls.options`;
const MIDDLEWARES = `${prefix}/router.middlewares`;
const TLS = `${prefix}/router.tls`;

const traefikKind = (plural: string, kind: string): Resource => ({
  group: 'traefik.io',
  version: 'v1alpha1',
  plural,
  kind,
  namespaced: true,
});
export const tlsOptions: Resource = traefikKind('tlsoptions', 'TLSOption');
export const middlewares: Resource = traefikKind('middlewares', 'Middleware');

const clientAuthType: Readonly<Record<ClientCertificates, string>> = {
  required: 'RequireAndVerifyClientCert',
  optional: 'VerifyClientCertIfGiven',
  request: 'RequestClientCert',
};

/**
 * How annotations name an object of the kubernetesCRD provider, with its option safeNaming and without. Without, an object of
 * another namespace can have the same name, and Traefik takes either.
 */
const referencesOf = (namespace: string, safe: boolean) => (name: string) =>
  `${namespace}${safe ? '_' : '-'}${name}@kubernetescrd`;

const OWN_OPTIONS = /^(?<namespace>.+)(?<separator>[-_])(?<name>certbound-trust-[0-9a-f]{16})@kubernetescrd$/;
const OWN_MIDDLEWARE = /[-_]certbound-trust-[0-9a-f]{16}(-blank)?@kubernetescrd$/;

/** Both are cleared first: without a certificate Traefik leaves them as they came from a peer that its entry point trusts. */
const CERTIFICATE_HEADERS = ['X-Forwarded-Tls-Client-Cert', 'X-Forwarded-Tls-Client-Cert-Info'];

const blankName = (bundle: string): string => `${bundle}-blank`;

const entriesOf = (list: string | undefined): string[] =>
  (list ?? '')
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');

/** Both of ours in their order, and none of ours of another host, whose objects go. */
function hasOwn(list: readonly string[], own: readonly string[]): boolean {
  const ours = list.filter((entry) => OWN_MIDDLEWARE.test(entry));
  return ours.length === own.length && own.every((entry, at) => ours[at] === entry);
}

/** The owner's entries stay, in their order, behind ours: they are about a request that has the certificate in it. */
function withOwn(own: readonly string[], list: string | undefined): string {
  const entries = entriesOf(list);
  if (list !== undefined && hasOwn(entries, own)) return list;
  return [...own, ...entries.filter((entry) => !OWN_MIDDLEWARE.test(entry))].join(',');
}

/**
 * Every Ingress of a host in a namespace has the same companions, by the bundle's name: two TLSOptions on one host would
 * make Traefik use its default for it.
 */
function companionsOf(bundle: string, mode: ClientCertificates): readonly Companion[] {
  const type = clientAuthType[mode];
  const blank = Object.fromEntries(CERTIFICATE_HEADERS.map((header) => [header, '']));
  return [
    {
      resource: tlsOptions,
      name: bundle,
      spec: {
        // Without CAs to choose by, a client offers a certificate that it signed itself.
        clientAuth: mode === 'request' ? { clientAuthType: type } : { clientAuthType: type, secretNames: [bundle] },
        minVersion: 'VersionTLS12',
        sniStrict: true,
      },
    },
    { resource: middlewares, name: blankName(bundle), spec: { headers: { customRequestHeaders: blank } } },
    { resource: middlewares, name: bundle, spec: { passTLSClientCert: { pem: true } } },
  ];
}

const middlewaresOf = (bundle: string): string[] => [blankName(bundle), bundle];

function named(settings: Settings): { namespace: string; name: string; safe: boolean } | undefined {
  const { namespace, separator, name } = OWN_OPTIONS.exec(settings[TLS_OPTIONS] ?? '')?.groups ?? {};
  return namespace === undefined || name === undefined ? undefined : { namespace, name, safe: separator === '_' };
}

/** Traefik's own annotations on Ingresses (provider kubernetesIngress), and its kinds (kubernetesCRD). */
export const traefik: TerminatorDriver = {
  name: 'traefik',
  frontend: 'Ingress',
  capabilities: {
    scope: 'host',
    optional: true,
    request: true,
    crl: false,
    forwards: true,
    strips: 'always',
    header: 'traefik',
  },
  bundleKind: 'Secret',
  ownedKeys: [TLS_OPTIONS, MIDDLEWARES],
  watchedKeys: [TLS],
  hostKey: TLS_OPTIONS,
  companionKinds: [tlsOptions, middlewares],
  // Its two providers are read apart from each other, each at most every two seconds.
  companionsLoadMs: 5_000,

  detect: (controller) => controller === TRAEFIK,
  tooOld: (version) => (isBelow(version, OLDEST_TRAEFIK) ? `Traefik ${OLDEST_TRAEFIK}` : undefined),

  render({ bundle: { namespace, name }, frontend, mode, classAnnotations = {} }: Rendering) {
    const reference = referencesOf(namespace, classAnnotations[SAFE_NAMING] === 'true');
    return {
      settings: {
        [TLS_OPTIONS]: reference(name),
        [MIDDLEWARES]: withOwn(middlewaresOf(name).map(reference), frontend.settings[MIDDLEWARES]),
      },
      companions: companionsOf(name, mode),
    };
  },

  overwritesHeaders(settings) {
    const own = named(settings);
    if (own === undefined) return false;
    const reference = referencesOf(own.namespace, own.safe);
    return hasOwn(entriesOf(settings[MIDDLEWARES]), middlewaresOf(own.name).map(reference));
  },

  hazard(settings) {
    if (settings[TLS] !== 'false') return undefined;
    return {
      reason: 'PlainHTTP',
      message: `${TLS}: "false" serves the host over plain HTTP, where nobody is asked for a certificate: remove that annotation.`,
    };
  },

  bundleOf(settings) {
    const own = named(settings);
    return own === undefined ? undefined : { namespace: own.namespace, name: own.name };
  },
};

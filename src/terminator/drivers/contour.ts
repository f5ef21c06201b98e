import type { ClientCertificates, Rendering, Settings, TerminatorDriver } from '../driver.ts';
import { canonicalJson, namespacedName } from '../frontends/settings.ts';

const tls = 'spec.virtualhost.tls';
const CA_SECRET = `${tls}.clientValidation.caSecret`;
const SKIP_VERIFICATION = `${tls}.clientValidation.skipClientCertValidation`;
const OPTIONAL_CERTIFICATE = `${tls}.clientValidation.optionalClientCertificate`;
const FORWARD_CERTIFICATE = `${tls}.clientValidation.forwardClientCertificate.cert`;
const FALLBACK_CERTIFICATE = `${tls}.enableFallbackCertificate`;
const TCP_PROXY = 'spec.tcpproxy';
/** True where any route says so. */
const PERMIT_INSECURE = 'spec.routes.permitInsecure';

/** Stands for whatever reads HTTPProxies: which Contour does is a matter of the class's name. Its IngressClasses have it as controller. */
export const CONTOUR = 'projectcontour.io/ingress-controller';

const TRUE = canonicalJson(true);

/** Both are always written: what is absent somebody else could set, and the host would verify less without a conflict. */
const asks: Readonly<Record<ClientCertificates, { skip: boolean; optional: boolean }>> = {
  required: { skip: false, optional: false },
  optional: { skip: false, optional: true },
  request: { skip: true, optional: true },
};

/**
 * Contour's HTTPProxy. Each leaf of `clientValidation` is a setting of its own, so that what the owner adds beside them
 * (`crlSecret`, further details of the certificate) stays theirs.
 */
export const contour: TerminatorDriver = {
  name: 'contour',
  frontend: 'HTTPProxy',
  capabilities: {
    scope: 'host',
    optional: true,
    request: true,
    crl: true,
    forwards: true,
    strips: 'always',
    header: 'envoy',
  },
  bundleKind: 'Secret',
  ownedKeys: [CA_SECRET, SKIP_VERIFICATION, OPTIONAL_CERTIFICATE, FORWARD_CERTIFICATE],
  watchedKeys: [FALLBACK_CERTIFICATE, TCP_PROXY, PERMIT_INSECURE],
  companionKinds: [],

  detect: (controller) => controller === CONTOUR,

  render({ bundle, mode }: Rendering) {
    const { skip, optional } = asks[mode];
    return {
      settings: {
        // Of another namespace it would need a TLSCertificateDelegation. Without verification Envoy would still name these CAs to clients, and some present nothing then.
        ...(skip ? {} : { [CA_SECRET]: canonicalJson(`${bundle.namespace}/${bundle.name}`) }),
        [SKIP_VERIFICATION]: canonicalJson(skip),
        [OPTIONAL_CERTIFICATE]: canonicalJson(optional),
        [FORWARD_CERTIFICATE]: TRUE,
      },
      companions: [],
    };
  },

  // Envoy's `forward_client_cert_details` is SANITIZE where nothing is forwarded, on every host and on port 80.
  overwritesHeaders: () => true,

  missing({ settings }) {
    if (settings[FALLBACK_CERTIFICATE] === TRUE) {
      return `Contour takes an HTTPProxy out of service that has both ${FALLBACK_CERTIFICATE} and client certificates: remove the former.`;
    }
    if (settings[TCP_PROXY] !== undefined) {
      return `${TCP_PROXY} forwards bytes, and no header with the client's certificate: use spec.routes instead.`;
    }
    return undefined;
  },

  hazard: (settings: Settings) =>
    settings[PERMIT_INSECURE] === TRUE
      ? {
          reason: 'PlainHTTP',
          message: `${PERMIT_INSECURE} serves a route over plain HTTP too, where nobody is asked for a certificate: remove it.`,
        }
      : undefined,

  bundleOf(settings) {
    const named: unknown = JSON.parse(settings[CA_SECRET] ?? 'null');
    return typeof named === 'string' ? namespacedName(named) : undefined;
  },
};

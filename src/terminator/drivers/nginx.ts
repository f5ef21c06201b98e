import type { ClientCertificates, Rendering, TerminatorDriver } from '../driver.ts';
import { namespacedName } from '../frontends/settings.ts';
import { isBelow } from '../version.ts';

/** Of its providers for Ingresses; see docs/terminators.md. */
export const OLDEST_TRAEFIK = '3.7.11';

const prefix = 'nginx.ingress.kubernetes.io';
const SECRET = `${prefix}/auth-tls-secret`;
const VERIFY_CLIENT = `${prefix}/auth-tls-verify-client`;
const VERIFY_DEPTH = `${prefix}/auth-tls-verify-depth`;
const PASS_CERTIFICATE = `${prefix}/auth-tls-pass-certificate-to-upstream`;
const SSL_REDIRECT = `${prefix}/ssl-redirect`;
const FORCE_SSL_REDIRECT = `${prefix}/force-ssl-redirect`;
const SSL_PASSTHROUGH = `${prefix}/ssl-passthrough`;
const snippets = ['server-snippet', 'configuration-snippet'].map((name) => `${prefix}/${name}`);

const verifyClient: Readonly<Record<ClientCertificates, string>> = {
  required: 'on',
  optional: 'optional',
  request: 'optional_no_ca',
};

/**
 * ingress-nginx and Traefik's kubernetesIngressNGINX provider, which acts for the same IngressClass controller. Never
 * auth-tls-match-cn (CVE-2025-1097: it reaches the configuration unquoted) and never snippets.
 */
export const nginx: TerminatorDriver = {
  name: 'nginx',
  frontend: 'Ingress',
  capabilities: {
    scope: 'host',
    optional: true,
    request: true,
    crl: true,
    forwards: true,
    strips: 'whereForwarded',
    header: 'nginx',
  },
  bundleKind: 'Secret',
  ownedKeys: [SECRET, VERIFY_CLIENT, VERIFY_DEPTH, PASS_CERTIFICATE],
  watchedKeys: [SSL_REDIRECT, FORCE_SSL_REDIRECT, SSL_PASSTHROUGH, ...snippets],
  companionKinds: [],

  detect: (controller) => controller === 'k8s.io/ingress-nginx',

  tooOld(version) {
    // ingress-nginx ended with 1.15; before Traefik 3 there was no such provider.
    if (!isBelow(version, '2.0')) return isBelow(version, OLDEST_TRAEFIK) ? `Traefik ${OLDEST_TRAEFIK}` : undefined;
    // CVE-2025-1974: whoever reaches its admission webhook runs code in it.
    const holed = isBelow(version, '1.11.5') || (version[1] === 12 && isBelow(version, '1.12.1'));
    return holed ? 'ingress-nginx 1.11.5 or 1.12.1' : undefined;
  },

  render({ bundle, mode, depth }: Rendering) {
    return {
      settings: {
        // Traefik's provider wants the namespace even where it is the Ingress's own.
        [SECRET]: `${bundle.namespace}/${bundle.name}`,
        [VERIFY_CLIENT]: verifyClient[mode],
        [VERIFY_DEPTH]: String(depth),
        [PASS_CERTIFICATE]: 'true',
      },
      companions: [],
    };
  },

  // Without the pass annotation the template sets none of the ssl-client-* headers, so a client's copy gets through.
  overwritesHeaders: (settings) =>
    (settings[SECRET] ?? '') !== '' && settings[VERIFY_CLIENT] !== 'off' && settings[PASS_CERTIFICATE] === 'true',

  hazard(settings) {
    if (settings[SSL_PASSTHROUGH] === 'true') {
      return {
        reason: 'TLSPassthrough',
        message: `${SSL_PASSTHROUGH}: "true" has TLS end at the backend, where nginx asks nobody for a certificate: remove that annotation.`,
      };
    }
    const snippet = snippets.find((key) => /ssl_verify_|ssl_client_certificate|ssl-client-/i.test(settings[key] ?? ''));
    if (snippet !== undefined) {
      return {
        reason: 'VerificationOverridden',
        message: `${snippet} sets what decides about client certificates, beside what is written here: take ssl_verify_*, ssl_client_certificate and ssl-client-* out of it.`,
      };
    }
    if (settings[SSL_REDIRECT] !== 'false' || settings[FORCE_SSL_REDIRECT] === 'true') return undefined;
    return {
      reason: 'PlainHTTP',
      message: `${SSL_REDIRECT}: "false" serves the host over plain HTTP too, where nobody is asked for a certificate: remove that annotation.`,
    };
  },

  bundleOf: (settings) => namespacedName(settings[SECRET] ?? ''),
};

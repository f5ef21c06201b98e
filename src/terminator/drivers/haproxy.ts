import { SESSIONS_ISOLATED } from '../../api/annotations.ts';
import type { ClientCertificates, Rendering, Settings, TerminatorDriver } from '../driver.ts';
import { namespacedName } from '../frontends/settings.ts';
import { isBelow } from '../version.ts';

const prefix = 'haproxy-ingress.github.io';
/** Read by default too, where the other prefix does not say anything else. */
const olderPrefix = 'ingress.kubernetes.io';

const SECRET = `${prefix}/auth-tls-secret`;
const VERIFY_CLIENT = `${prefix}/auth-tls-verify-client`;
const CERT_HEADER = `${prefix}/auth-tls-cert-header`;
const STRICT = `${prefix}/auth-tls-strict`;
const owned = [SECRET, VERIFY_CLIENT, CERT_HEADER, STRICT];

const watched = ['ssl-passthrough', 'ssl-options-host', 'ssl-redirect', 'server-alias', 'server-alias-regex'];
const underBoth = (name: string): string[] => [`${prefix}/${name}`, `${olderPrefix}/${name}`];
const olderNames = owned.map((key) => key.replace(prefix, olderPrefix));

const verifyClient: Readonly<Record<ClientCertificates, string>> = {
  required: 'on',
  optional: 'optional',
  request: 'optional_no_ca',
};

/** By which annotation an owner has it, and what it says. */
function configured(settings: Settings, name: string): { key: string; value: string } | undefined {
  for (const key of underBoth(name)) {
    const value = settings[key] ?? '';
    if (value !== '') return { key, value };
  }
  return undefined;
}

/** As the controller reads it (Go's ParseBool): anything else is false. */
const isTrue = (value: string | undefined): boolean => /^(1|t|T|TRUE|true|True)$/.test(value ?? '');

/**
 * haproxy-ingress (jcmoraisjr) 0.14 and newer; before, auth-tls-strict was off unless written. Its HAProxy deletes clients'
 * own X-SSL-Client-* on every host, over HTTP too.
 */
export const haproxy: TerminatorDriver = {
  name: 'haproxy',
  frontend: 'Ingress',
  capabilities: {
    scope: 'host',
    optional: true,
    request: true,
    crl: true,
    forwards: true,
    strips: 'always',
    header: 'haproxy',
  },
  bundleKind: 'Secret',
  ownedKeys: owned,
  watchedKeys: [...watched.flatMap(underBoth), ...olderNames],
  companionKinds: [],

  // With --controller-class the controller has a suffix.
  detect: (controller) => /^haproxy-ingress\.github\.io\/controller(\/|$)/.test(controller),

  tooOld: (version) => (isBelow(version, '0.14') ? 'haproxy-ingress 0.14' : undefined),

  missing: ({ classAnnotations }) =>
    classAnnotations[SESSIONS_ISOLATED] === 'true'
      ? undefined
      : `HAProxy resumes a TLS session of one host on another, so that a certificate of another host's CA gets in here. The platform team sets config-global: "tune.ssl.cachesize 0" in haproxy-ingress' ConfigMap, keeps no-tls-tickets in ssl-options, and annotates the IngressClass with ${SESSIONS_ISOLATED}: "true" (docs/terminators.md#haproxy-ingress).`,

  render: ({ bundle, mode }: Rendering) => ({
    settings: {
      [SECRET]: `${bundle.namespace}/${bundle.name}`,
      [VERIFY_CLIENT]: verifyClient[mode],
      [CERT_HEADER]: 'true',
      // Without its CA the host refuses everybody, instead of asking nobody.
      [STRICT]: 'true',
    },
    companions: [],
  }),

  // Passed through, TLS ends at the backend, and HAProxy sees no header.
  overwritesHeaders: (settings) => !isTrue(configured(settings, 'ssl-passthrough')?.value),

  hazard(settings) {
    const passthrough = configured(settings, 'ssl-passthrough');
    if (passthrough !== undefined && isTrue(passthrough.value)) {
      return {
        reason: 'TLSPassthrough',
        message: `${passthrough.key}: "${passthrough.value}" has TLS end at the backend, where HAProxy asks nobody for a certificate: remove that annotation.`,
      };
    }
    const options = configured(settings, 'ssl-options-host');
    if (options !== undefined && /(^|\s)(verify|ca-|crt-|crl-)/.test(options.value)) {
      return {
        reason: 'VerificationOverridden',
        message: `${options.key} is read after what is written here and changes who is verified: remove verify, ca-*, crt-* and crl-* from it.`,
      };
    }
    const older = olderNames.find((key) => settings[key] !== undefined);
    if (older !== undefined) {
      return {
        reason: 'VerificationOverridden',
        message: `${older} goes before what is written here where --annotations-prefix lists ${olderPrefix} first: remove that annotation.`,
      };
    }
    const alias = configured(settings, 'server-alias') ?? configured(settings, 'server-alias-regex');
    if (alias !== undefined) {
      return {
        reason: 'HostAlias',
        message: `${alias.key} serves the same backend under other names, where nobody is asked for a certificate: remove that annotation, and give each name a rule of its own.`,
      };
    }
    const redirect = configured(settings, 'ssl-redirect');
    if (redirect === undefined || isTrue(redirect.value)) return undefined;
    return {
      reason: 'PlainHTTP',
      message: `${redirect.key}: "${redirect.value}" serves the host over plain HTTP too, where nobody is asked for a certificate: remove that annotation.`,
    };
  },

  bundleOf: (settings) => namespacedName((settings[SECRET] ?? '').replace(/^secret:\/\//, '')),
};

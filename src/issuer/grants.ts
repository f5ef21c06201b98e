import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { durationMs, durationString } from '../api/duration.ts';
import { type GrantedNamespace, namespaceGranted } from '../api/namespace-grant.ts';
import type { AuthMethod } from '../api/oauth-client.ts';

/** The longest life of a certificate where the platform sets none. */
const DEFAULT_MAX_DURATION = '2160h';

export interface IssuerRequest {
  readonly namespace: GrantedNamespace;
  /** Life of one certificate, milliseconds. */
  readonly durationMs: number;
  readonly keyAlgorithm: 'ECDSA' | 'RSA';
  readonly method: AuthMethod;
}

export interface IssuerViolation {
  /** Stable CamelCase word, fit for a condition's reason. */
  readonly reason: 'IssuerNotGranted' | 'IssuerMethodMismatch' | 'DurationNotGranted' | 'KeyAlgorithmNotGranted';
  /** Public: what is not granted and what to do. */
  readonly message: string;
}

type Issuer = Pick<ClientCertificateIssuer, 'metadata' | 'spec'>;

/** The longest life of a certificate of this issuer, milliseconds. */
export function maxDurationMs({ spec }: Pick<ClientCertificateIssuer, 'spec'>): number {
  return durationMs(spec.policy?.maxDuration ?? DEFAULT_MAX_DURATION);
}

/**
 * What an issuer does not grant of a request; empty when it grants everything. Denied by default. A namespace that is not
 * granted learns that alone, in the words for an issuer that does not exist.
 */
export function issuerViolations(issuer: Issuer, request: IssuerRequest): IssuerViolation[] {
  const { name } = issuer.metadata;
  if (!namespaceGranted(issuer.spec.policy?.namespaces, request.namespace)) {
    return [
      {
        reason: 'IssuerNotGranted',
        message: `ClientCertificateIssuer "${name}" doesn't exist or is not granted to namespace "${request.namespace.name}". Check the name, or ask the platform team to grant it in the issuer's spec.policy.namespaces.`,
      },
    ];
  }
  return [
    methodViolation(issuer, request),
    durationViolation(issuer, request),
    algorithmViolation(issuer, request),
  ].filter((violation) => violation !== undefined);
}

/** RFC 8705 §2.1 needs a CA; a certificate that some CA signed is of no use to §2.2, where the server compares the key. */
function methodViolation({ metadata, spec }: Issuer, { method }: IssuerRequest): IssuerViolation | undefined {
  const needed = method === 'tls_client_auth' ? 'ca' : 'selfSigned';
  if (spec[needed] !== undefined) return undefined;
  const other = method === 'tls_client_auth' ? 'self_signed_tls_client_auth' : 'tls_client_auth';
  return {
    reason: 'IssuerMethodMismatch',
    message:
      `${method} needs a ClientCertificateIssuer with ${needed}, and "${metadata.name}" has none. ` +
      `Name such an issuer in spec.certificate.issuerRef, or create an OAuthClient with tokenEndpointAuthMethod ${other}.`,
  };
}

function durationViolation(issuer: Issuer, request: IssuerRequest): IssuerViolation | undefined {
  const cap = maxDurationMs(issuer);
  if (request.durationMs <= cap) return undefined;
  return {
    reason: 'DurationNotGranted',
    message:
      `ClientCertificateIssuer "${issuer.metadata.name}" grants certificates of at most ${durationString(cap)}, not ${durationString(request.durationMs)}. ` +
      'Shorten spec.certificate.duration, or ask the platform team to raise the issuer’s spec.policy.maxDuration.',
  };
}

function algorithmViolation({ metadata, spec }: Issuer, request: IssuerRequest): IssuerViolation | undefined {
  const allowed = spec.policy?.privateKeyAlgorithms;
  if (allowed === undefined || allowed.includes(request.keyAlgorithm)) return undefined;
  return {
    reason: 'KeyAlgorithmNotGranted',
    message:
      `ClientCertificateIssuer "${metadata.name}" grants no ${request.keyAlgorithm} keys, but ${allowed.join(' and ') || 'none at all'}. ` +
      'Change spec.certificate.privateKey.algorithm, or ask the platform team for it in the issuer’s spec.policy.privateKeyAlgorithms.',
  };
}

import { durationMs } from '../api/duration.ts';
import type { KeyAlgorithm } from '../x509/key.ts';
import { authoritySecretName, shortened } from './certificate-authority-secret.ts';
import { maxDurationMs } from './grants.ts';
import type { Observed } from './observed.ts';

/** What is to sign, with every default computed. */
export type DesiredAuthority =
  | { kind: 'self-signed' }
  | { kind: 'referenced'; secretName: string }
  | {
      kind: 'managed';
      secretName: string;
      /** As RFC 4514 writes it; not parsed yet. */
      dn: string;
      /** Life of the CA certificate, milliseconds. */
      durationMs: number;
      key: KeyAlgorithm;
    };

export interface Desired {
  authority: DesiredAuthority;
  /** The longest life that a client certificate may have, milliseconds. */
  maxDurationMs: number;
}

const DEFAULT_CA_DURATION = '87600h';
/** A hundred years; dates beyond 9999 can't be written in a certificate (RFC 5280 §4.1.2.5). */
const LONGEST_CA_DURATION_MS = 876_000 * 3_600_000;
/** RFC 5280 appendix A.1, ub-common-name and ub-organization-name. */
const LONGEST_ATTRIBUTE = 64;

export function desired({ issuer, clusterId }: Observed): Desired {
  return { authority: desiredAuthority(issuer, clusterId), maxDurationMs: maxDurationMs(issuer) };
}

function desiredAuthority(issuer: Observed['issuer'], clusterId: string): DesiredAuthority {
  const secretName = authoritySecretName(issuer);
  if (secretName === undefined) return { kind: 'self-signed' };
  const managed = issuer.spec.ca?.managed;
  if (managed === undefined) return { kind: 'referenced', secretName };
  const algorithm = managed.privateKey?.algorithm ?? 'ECDSA';
  return {
    kind: 'managed',
    secretName,
    dn:
      managed.dn ??
      `CN=${shortened(issuer.metadata.name, LONGEST_ATTRIBUTE)},O=${shortened(clusterId, LONGEST_ATTRIBUTE)}`,
    durationMs: Math.min(durationMs(managed.duration ?? DEFAULT_CA_DURATION), LONGEST_CA_DURATION_MS),
    key: { algorithm, size: managed.privateKey?.size ?? (algorithm === 'RSA' ? 2048 : 256) },
  };
}

/** The CA certificates that a terminator, or an authorization server, takes client certificates from. */
import { createHash, type X509Certificate } from 'node:crypto';
import { OperatorError } from '../errors.ts';
import { createCa } from './certificate.ts';
import { certificateFields } from './certificate-fields.ts';
import { certificatesFromPem, toPem } from './pem.ts';
import { isIssuedBy } from './profile.ts';

export interface CaBundle {
  readonly pem: string;
  /** SHA-256 of each certificate's DER in hexadecimal, in the order of the bundle, which is theirs. */
  readonly hashes: readonly string[];
  /** Octets of the CA names in a TLS CertificateRequest; at most `MAXIMUM_BUNDLE_NAMES`. */
  readonly namesSize: number;
}

/**
 * Every CA's name goes into every handshake. With 36.7 KB every Java client fails, past 64 KB nginx fails every handshake
 * of the host.
 */
export const MAXIMUM_BUNDLE_NAMES = 24 * 1024;

function refuse(code: string, message: string): OperatorError {
  return new OperatorError(code, message, { retry: { class: 'terminal' } });
}

/**
 * Makes one bundle of many CA certificates: CAs only, each once, up to self-signed roots (nginx refuses a bundle of only an
 * intermediate), sorted by hash so that the same CAs are the same bytes.
 * @param certificatePems PEM texts of one or more certificates
 * @throws {OperatorError} terminal: `InvalidPEM`; `TrustBundleEmpty` (put a `throwawayCa` there); `NotACA` for a leaf, which
 *   as an anchor would let its key mint identities; `TrustBundleIncomplete`; `TrustBundleFull`
 */
export function caBundle(certificatePems: readonly string[]): CaBundle {
  const byHash = new Map<string, X509Certificate>();
  for (const certificate of certificatePems.flatMap((pem) => certificatesFromPem(pem))) {
    byHash.set(createHash('sha256').update(certificate.raw).digest('hex'), certificate);
  }
  const hashes = [...byHash.keys()].toSorted();
  const certificates = hashes.flatMap((hash) => byHash.get(hash) ?? []);
  if (certificates.length === 0) throw refuse('TrustBundleEmpty', 'The bundle of client CAs would be empty.');
  for (const certificate of certificates) requireRoot(certificate, certificates);
  // RFC 8446 §4.2.4: each name has a length of two octets before it.
  const namesSize = certificates.reduce((sum, { raw }) => sum + certificateFields(raw).subject.byteLength + 2, 0);
  if (namesSize > MAXIMUM_BUNDLE_NAMES) {
    throw refuse(
      'TrustBundleFull',
      `The names of ${certificates.length} client CAs take ${namesSize} octets of each TLS handshake, more than ${MAXIMUM_BUNDLE_NAMES}: let fewer issuers share the host.`,
    );
  }
  return { pem: certificates.map(({ raw }) => toPem('CERTIFICATE', raw)).join(''), hashes, namesSize };
}

function requireRoot(start: X509Certificate, certificates: readonly X509Certificate[]): void {
  const seen = new Set<X509Certificate>();
  let current = start;
  for (;;) {
    if (!current.ca) {
      throw refuse('NotACA', 'The bundle of client CAs would hold a certificate that is no CA: remove it.');
    }
    if (isIssuedBy(current, current)) return;
    seen.add(current);
    const child = current;
    const issuer = certificates.find((candidate) => !seen.has(candidate) && isIssuedBy(child, candidate));
    if (issuer === undefined) {
      throw refuse(
        'TrustBundleIncomplete',
        'A client CA is an intermediate whose chain does not reach a self-signed root: add the missing certificates.',
      );
    }
    current = issuer;
  }
}

const TEN_YEARS_MILLISECONDS = 3652 * 24 * 3_600_000;

/**
 * The PEM of a CA whose key exists no more: with it in the bundle, a host without clients requires a certificate that nobody
 * can have, where an empty bundle would be ignored. Different each time: keep the result.
 */
export async function throwawayCa(now: Date): Promise<string> {
  const { certificatePem } = await createCa({
    dn: [[{ type: 'CN', value: 'No client is trusted' }], [{ type: 'O', value: 'Certbound' }]],
    algorithm: 'ECDSA',
    size: 256,
    duration: TEN_YEARS_MILLISECONDS,
    now,
  });
  return certificatePem;
}

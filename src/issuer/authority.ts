/** A certificate authority by its public half: what vouches for its leaves, and for how long. Pure. */
import { createHash, type X509Certificate } from 'node:crypto';
import { OperatorError } from '../errors.ts';
import { certificateFields } from '../x509/certificate-fields.ts';
import { formatDn } from '../x509/dn.ts';
import { dnFromDer } from '../x509/dn-name.ts';
import { keyDigest } from '../x509/key.ts';
import { certificatesFromPem, toPem } from '../x509/pem.ts';
import { isIssuedBy } from '../x509/profile.ts';

export interface Authority {
  /** The issuing CA first, up to the self-signed root; PEM. */
  readonly chainPem: string;
  /** What a client presents after its leaf: the issuing CA and what is between it and the root; PEM. */
  readonly presentedPem: string;
  /** SHA-256 of the issuing CA's certificate, hexadecimal. */
  readonly sha256: string;
  /** Subject of the issuing CA, as RFC 4514 writes it. */
  readonly subject: string;
  /** Names the issuing CA's key; see `keyDigest`. */
  readonly keyDigest: string;
  /** Epoch milliseconds; the narrowest of the chain, because a path is valid only where all of it is. */
  readonly notBefore: number;
  readonly notAfter: number;
}

const MOST_CERTIFICATES = 8;
/** Of `status.caCertificate`. */
const LONGEST_CHAIN = 32_768;

function refuse(code: string, message: string): OperatorError {
  return new OperatorError(code, message, { retry: { class: 'terminal' } });
}

/**
 * Reads a CA and builds its chain. Certificates that do not vouch for it are left out: terminators shall not trust them.
 * @param certificatePem the CA first; its chain may follow, in any order
 * @param rootsPem more candidates for the chain, such as `ca.crt` of cert-manager's Secrets
 * @throws {OperatorError} terminal: `InvalidPEM`, `UnsupportedCASubject`, `CAChainIncomplete` (no self-signed root: nginx
 *   refuses a bundle of only an intermediate), `CAChainTooLong`
 */
export function authorityOf(certificatePem: string, rootsPem: string | undefined): Authority {
  const certificates = certificatesFromPem(certificatePem);
  const candidates = rootsPem === undefined ? certificates : [...certificates, ...certificatesFromPem(rootsPem)];
  const [ca] = certificates;
  if (ca === undefined) throw new TypeError('no certificate');
  const chain = chainOf(ca, candidates);
  const chainPem = pemOf(chain);
  if (chainPem.length > LONGEST_CHAIN) {
    throw refuse('CAChainTooLong', `The chain of the CA has more than ${LONGEST_CHAIN} characters: shorten it.`);
  }
  return {
    chainPem,
    presentedPem: pemOf(chain.length === 1 ? chain : chain.slice(0, -1)),
    sha256: createHash('sha256').update(ca.raw).digest('hex'),
    subject: subjectOf(ca),
    keyDigest: keyDigest(ca.publicKey.export({ type: 'spki', format: 'der' })),
    notBefore: Math.max(...chain.map((certificate) => certificate.validFromDate.getTime())),
    notAfter: Math.min(...chain.map((certificate) => certificate.validToDate.getTime())),
  };
}

function chainOf(ca: X509Certificate, candidates: readonly X509Certificate[]): X509Certificate[] {
  const chain = [ca];
  for (let child = ca; !isIssuedBy(child, child);) {
    const below = child;
    const issuer = candidates.find(
      (candidate) =>
        candidate.ca && !chain.some(({ raw }) => raw.equals(candidate.raw)) && isIssuedBy(below, candidate),
    );
    if (issuer === undefined) {
      throw refuse(
        'CAChainIncomplete',
        `The chain of the CA ends at "${child.subject.replaceAll('\n', ',')}", which is not self-signed: append the CA certificates up to the root to tls.crt, or put them in ca.crt.`,
      );
    }
    chain.push(issuer);
    if (chain.length > MOST_CERTIFICATES) {
      throw refuse(
        'CAChainTooLong',
        `The chain of the CA has more than ${MOST_CERTIFICATES} certificates: shorten it.`,
      );
    }
    child = issuer;
  }
  return chain;
}

function subjectOf(ca: X509Certificate): string {
  try {
    return formatDn(dnFromDer(certificateFields(ca.raw).subject)).slice(0, 1024);
  } catch {
    throw refuse('UnsupportedCASubject', 'The subject of the CA certificate cannot be read: issue it again.');
  }
}

function pemOf(certificates: readonly X509Certificate[]): string {
  return certificates.map(({ raw }) => toPem('CERTIFICATE', raw)).join('');
}

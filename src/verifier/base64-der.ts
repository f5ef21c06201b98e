/**
 * Certificates as the base64 of their DER: HAProxy (`ssl_c_der,base64`; it quotes nothing in a header, not even where
 * templates say `%{+Q}`), Traefik, Cloudflare.
 */
import { CertificateHeaderError } from './refusal.ts';

/** DER of the certificates of a header, the client's own first. */
export type Certificates = readonly [leaf: Buffer, ...chain: Buffer[]];

/**
 * Standard base64 with padding (RFC 4648 §4), in its one spelling.
 * @throws {CertificateHeaderError} `BadBase64`
 */
export function decodeBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what it does not understand; only a round trip shows that nothing was skipped (RFC 4648 §3.5).
  if (bytes.length === 0 || bytes.toString('base64') !== text) throw new CertificateHeaderError('BadBase64');
  return bytes;
}

/** @throws {CertificateHeaderError} */
export function decodeBase64Der(line: string): Certificates {
  // No base64 has a comma: it joins certificates, or lines.
  if (line.includes(',')) throw new CertificateHeaderError('NotOneCertificate');
  return [decodeBase64(line)];
}

/**
 * What the client presented, joined by commas without spaces.
 * @throws {CertificateHeaderError}
 */
export function decodeBase64DerList(line: string): Certificates {
  const [leaf = '', ...chain] = line.split(',');
  if (leaf === '' || chain.includes('')) throw new CertificateHeaderError('BadSyntax');
  return [decodeBase64(leaf), ...chain.map(decodeBase64)];
}

import { createHash, type X509Certificate } from 'node:crypto';

/** `x5t#S256` of a certificate: base64url of the SHA-256 of its DER, without padding (RFC 8705 §3.1). */
export function x5tS256(certificate: Uint8Array | X509Certificate): string {
  const der = certificate instanceof Uint8Array ? certificate : certificate.raw;
  return createHash('sha256').update(der).digest('base64url');
}

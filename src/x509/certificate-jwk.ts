import { calculateJwkThumbprint, type JWK } from 'jose';
import { certificatesFromPem } from './pem.ts';
import { x5tS256 } from './thumbprint.ts';

/** The public members of RFC 7518 §6.2.1 and §6.3.1: an allow-list, so that no private member can ever slip through. */
const PUBLIC_MEMBERS = ['kty', 'crv', 'x', 'y', 'n', 'e'] as const;

/**
 * The JWK of the first certificate, as a `self_signed_tls_client_auth` client registers it (RFC 8705 §2.2.2). `kid` is the
 * RFC 7638 thumbprint of the key; servers match on `x5c`, `x5t#S256`, `kid` or the parameters, each on another.
 * @throws {OperatorError} `InvalidPEM`, terminal
 */
export async function certificateJwk(certificatePem: string): Promise<JWK> {
  const [certificate] = certificatesFromPem(certificatePem);
  if (certificate === undefined) throw new TypeError('no certificate');
  const exported = certificate.publicKey.export({ format: 'jwk' });
  const jwk: JWK = {};
  for (const member of PUBLIC_MEMBERS) {
    const value = exported[member];
    if (value !== undefined) jwk[member] = value;
  }
  return {
    ...jwk,
    use: 'sig',
    kid: await calculateJwkThumbprint(jwk, 'sha256'),
    x5c: [certificate.raw.toString('base64')],
    'x5t#S256': x5tS256(certificate),
  };
}

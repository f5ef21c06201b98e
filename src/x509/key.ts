/** Key pairs: made off the main thread, compared and named by their public half. */
import { createHash, createPublicKey, generateKeyPair as generate, type KeyObject } from 'node:crypto';
import { certificatesFromPem, privateKeyFromPem } from './pem.ts';

export interface KeyAlgorithm {
  readonly algorithm: 'ECDSA' | 'RSA';
  /** Bits: 256 or 384 for ECDSA, 2048 to 4096 for RSA. */
  readonly size: number;
}

export interface KeyPair {
  /** PKCS#8, unencrypted. */
  readonly privateKeyPem: string;
  /** SubjectPublicKeyInfo. */
  readonly publicKeyDer: Uint8Array;
}

/**
 * Makes a key pair on libuv's thread pool: an RSA key of 4096 bits takes seconds, in which the main thread must answer.
 * @throws {RangeError} for a size that the algorithm does not have here
 */
export async function generateKeyPair({ algorithm, size }: KeyAlgorithm): Promise<KeyPair> {
  const { promise, resolve, reject } = Promise.withResolvers<KeyPair>();
  const done = (error: Error | null, publicKey: KeyObject, privateKey: KeyObject): void => {
    if (error !== null) return reject(error);
    resolve({
      privateKeyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      publicKeyDer: publicKey.export({ type: 'spki', format: 'der' }),
    });
  };
  if (algorithm === 'ECDSA' && (size === 256 || size === 384)) generate('ec', { namedCurve: `P-${size}` }, done);
  else if (algorithm === 'RSA' && size >= 2048 && size <= 4096) generate('rsa', { modulusLength: size }, done);
  else throw new RangeError(`no ${algorithm} keys of ${size} bits`);
  return promise;
}

/** The SubjectPublicKeyInfo of a private key. */
export function publicKeyDerOf(privateKeyPem: string): Uint8Array {
  return spki(privateKeyFromPem(privateKeyPem));
}

function spki(key: KeyObject): Buffer {
  return (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'der' });
}

/**
 * Whether the private key is that of the first certificate.
 * @throws {OperatorError} `InvalidPEM`, terminal
 */
export function keyMatchesCertificate(privateKeyPem: string, certificatePem: string): boolean {
  const [certificate] = certificatesFromPem(certificatePem);
  return certificate?.checkPrivateKey(privateKeyFromPem(privateKeyPem)) ?? false;
}

/**
 * Names a key without giving it away: base64url of the SHA-256 of its SubjectPublicKeyInfo (as RFC 7469 §2.4 pins keys),
 * the same for the private and the public half.
 */
export function keyDigest(key: string | Uint8Array): string {
  const der = typeof key === 'string' ? publicKeyDerOf(key) : key;
  return createHash('sha256').update(der).digest('base64url');
}

/** A certificate authority that is ready to sign: its key read once, what each leaf copies from it at hand. */
import { sign, type KeyObject } from 'node:crypto';
import { promisify } from 'node:util';
import { OperatorError } from '../errors.ts';
import { certificateFields } from './certificate-fields.ts';
import { nothing, oid, sequence } from './der.ts';
import { certificatesFromPem, privateKeyFromPem } from './pem.ts';
import { subjectKeyIdentifier } from './profile.ts';

export interface SigningKey {
  /** The DER of the signature's AlgorithmIdentifier. */
  readonly algorithm: Uint8Array;
  /** Signs on libuv's thread pool. */
  readonly sign: (data: Uint8Array) => Promise<Uint8Array>;
}

export interface Signer extends SigningKey {
  /** The DER of the CA's subject, which is the issuer of its leaves, byte for byte. */
  readonly subject: Uint8Array;
  /** Octets; RFC 5280 §4.2.1.1 wants them copied, whatever way they were made. */
  readonly subjectKeyIdentifier: Uint8Array;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const signAsync = promisify<string, Uint8Array, KeyObject, Buffer>(sign);

const ECDSA: ReadonlyMap<string, { readonly hash: string; readonly algorithm: Uint8Array }> = new Map([
  ['prime256v1', { hash: 'sha256', algorithm: sequence(oid('1.2.840.10045.4.3.2')) }],
  ['secp384r1', { hash: 'sha384', algorithm: sequence(oid('1.2.840.10045.4.3.3')) }],
  ['secp521r1', { hash: 'sha512', algorithm: sequence(oid('1.2.840.10045.4.3.4')) }],
]);
const RSA = { hash: 'sha256', algorithm: sequence(oid('1.2.840.113549.1.1.11'), nothing()) };

/**
 * Readies a private key to sign: ECDSA with the hash of the curve's strength, RSA with PKCS#1 v1.5 and SHA-256, which
 * every terminator verifies.
 * @throws {OperatorError} `UnsupportedKey`, terminal
 */
export function signingKey(key: KeyObject): SigningKey {
  const { namedCurve = '', modulusLength = 0 } = key.asymmetricKeyDetails ?? {};
  const scheme = key.asymmetricKeyType === 'rsa' && modulusLength >= 2048 ? RSA : ECDSA.get(namedCurve);
  if (scheme === undefined) {
    throw refuse(
      'UnsupportedKey',
      'The private key cannot sign certificates here: use RSA of 2048 bits or more, or ECDSA on P-256, P-384 or P-521.',
    );
  }
  return { algorithm: scheme.algorithm, sign: (data) => signAsync(scheme.hash, data, key) };
}

/**
 * Readies a CA to sign. Keep the result: reading it costs more than a signature. Whether the CA may sign at all is
 * `checkCa`'s to say; here only what cannot be signed with is refused.
 * @param certificatePem the CA first; a chain may follow
 * @throws {OperatorError} `InvalidPEM`, `UnsupportedKey`, `CAKeyMismatch`, `CAWithoutKeyIdentifier`, `NotACA`, terminal
 */
export function loadSigner(certificatePem: string, privateKeyPem: string): Signer {
  const [certificate] = certificatesFromPem(certificatePem);
  const privateKey = privateKeyFromPem(privateKeyPem);
  if (certificate === undefined || !certificate.checkPrivateKey(privateKey)) {
    throw refuse('CAKeyMismatch', 'The private key is not that of the CA certificate: store the two of one pair.');
  }
  const identifier = subjectKeyIdentifier(certificate);
  if (identifier === undefined) {
    throw refuse(
      'CAWithoutKeyIdentifier',
      'The CA certificate has no subject key identifier (RFC 5280 §4.2.1.2): issue it again with one.',
    );
  }
  const { subject } = certificateFields(certificate.raw);
  if (subject.byteLength <= 2) {
    throw refuse('NotACA', 'The subject of the CA certificate is empty (RFC 5280 §4.1.2.6): issue it again with one.');
  }
  return {
    ...signingKey(privateKey),
    subject,
    subjectKeyIdentifier: Buffer.from(identifier, 'hex'),
    notBefore: certificate.validFromDate,
    notAfter: certificate.validToDate,
  };
}

function refuse(code: string, message: string): OperatorError {
  return new OperatorError(code, message, { retry: { class: 'terminal' } });
}

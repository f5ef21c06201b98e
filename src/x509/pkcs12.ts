/**
 * PKCS#12 (RFC 7292) as Java 11+, .NET and OpenSSL 1.1+ read it, without any of the algorithms that FIPS forbids: PBES2 with
 * PBKDF2-HMAC-SHA-256 and AES-256-CBC, MAC with HMAC-SHA-256. What Java itself writes since JDK-8153005.
 */
import { createCipheriv, createHash, createHmac, hash, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { OperatorError } from '../errors.ts';
import { characterString, explicit, implicit, integer, nothing, octetString, oid, sequence, setOf } from './der.ts';
import { certificatesFromPem, privateKeyFromPem } from './pem.ts';

const DATA = oid('1.2.840.113549.1.7.1');
const ENCRYPTED_DATA = oid('1.2.840.113549.1.7.6');
const SHROUDED_KEY_BAG = oid('1.2.840.113549.1.12.10.1.2');
const CERTIFICATE_BAG = oid('1.2.840.113549.1.12.10.1.3');
const X509_CERTIFICATE = oid('1.2.840.113549.1.9.22.1');
const FRIENDLY_NAME = oid('1.2.840.113549.1.9.20');
const LOCAL_KEY_ID = oid('1.2.840.113549.1.9.21');
/** Oracle's: without it, Java does not take a certificate of a PKCS#12 file for a trust anchor (JDK-8006591). */
const TRUSTED_KEY_USAGE = oid('2.16.840.1.113894.746875.1.1');
const ANY_EXTENDED_KEY_USAGE = oid('2.5.29.37.0');
const PBES2 = oid('1.2.840.113549.1.5.13');
const PBKDF2 = oid('1.2.840.113549.1.5.12');
const AES_256_CBC = oid('2.16.840.1.101.3.4.1.42');
const HMAC_WITH_SHA_256 = sequence(oid('1.2.840.113549.2.9'), nothing());
const SHA_256 = sequence(oid('2.16.840.1.101.3.4.2.1'), nothing());

/** Java's default. Passwords made for keystores are random, so that stretching adds little. */
const ITERATIONS = 10_000;

const derive = promisify(pbkdf2);

export interface KeystoreRequest {
  readonly privateKeyPem: string;
  /** The leaf of the private key, then its intermediates. */
  readonly chainPem: string;
  /** 6 to 128 printable ASCII characters: Java takes no others. */
  readonly password: string;
  /** The alias in Java. */
  readonly friendlyName: string;
}

/**
 * A keystore of one private key and its chain. Salted: the bytes differ each time, so keep the result.
 * @throws {OperatorError} `InvalidPEM`, `InvalidKeystorePassword`, terminal
 */
export async function keystore(request: KeystoreRequest): Promise<Uint8Array> {
  checkPassword(request.password);
  const chain = certificatesFromPem(request.chainPem);
  const key = privateKeyFromPem(request.privateKeyPem).export({ type: 'pkcs8', format: 'der' });
  // What links the key to its leaf; any value that both have, by custom the SHA-1 of the certificate.
  const keyId = createHash('sha1')
    .update(chain[0]?.raw ?? '')
    .digest();
  const linked = [
    attribute(FRIENDLY_NAME, characterString('bmp', request.friendlyName)),
    attribute(LOCAL_KEY_ID, octetString(keyId)),
  ];
  const certificates = chain.map(({ raw }, index) => certificateBag(raw, index === 0 ? linked : []));
  const shrouded = await encrypt(key, request.password);
  const keyBag = bag(SHROUDED_KEY_BAG, sequence(shrouded.algorithm, octetString(shrouded.content)), linked);
  return pfx(
    [await encryptedContent(sequence(...certificates), request.password), plainContent(sequence(keyBag))],
    request.password,
  );
}

/**
 * A truststore of CA certificates, each an anchor for Java. Salted: the bytes differ each time, so keep the result.
 * @throws {OperatorError} `InvalidPEM`, `InvalidKeystorePassword`, terminal
 */
export async function truststore(request: { readonly caPem: string; readonly password: string }): Promise<Uint8Array> {
  checkPassword(request.password);
  const bags = certificatesFromPem(request.caPem).map(({ raw }, index) =>
    certificateBag(raw, [
      attribute(FRIENDLY_NAME, characterString('bmp', `ca-${index + 1}`)),
      attribute(TRUSTED_KEY_USAGE, ANY_EXTENDED_KEY_USAGE),
    ]),
  );
  return pfx([await encryptedContent(sequence(...bags), request.password)], request.password);
}

function checkPassword(password: string): void {
  if (!/^[\x20-\x7e]{6,128}$/.test(password)) {
    throw new OperatorError(
      'InvalidKeystorePassword',
      'The keystore password must have 6 to 128 printable ASCII characters: Java takes no others.',
      { retry: { class: 'terminal' } },
    );
  }
}

function attribute(type: Uint8Array, value: Uint8Array): Uint8Array {
  return sequence(type, setOf(value));
}

function bag(type: Uint8Array, value: Uint8Array, attributes: readonly Uint8Array[]): Uint8Array {
  return sequence(type, explicit(0, value), ...(attributes.length === 0 ? [] : [setOf(...attributes)]));
}

function certificateBag(certificate: Uint8Array, attributes: readonly Uint8Array[]): Uint8Array {
  return bag(CERTIFICATE_BAG, sequence(X509_CERTIFICATE, explicit(0, octetString(certificate))), attributes);
}

/** RFC 8018 §6.2. */
async function encrypt(content: Uint8Array, password: string): Promise<{ algorithm: Uint8Array; content: Uint8Array }> {
  const salt = randomBytes(20);
  const iv = randomBytes(16);
  const key = await derive(password, salt, ITERATIONS, 32, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const derivation = sequence(octetString(salt), integer(ITERATIONS), integer(32), HMAC_WITH_SHA_256);
  return {
    algorithm: sequence(PBES2, sequence(sequence(PBKDF2, derivation), sequence(AES_256_CBC, octetString(iv)))),
    content: Buffer.concat([cipher.update(content), cipher.final()]),
  };
}

function plainContent(content: Uint8Array): Uint8Array {
  return sequence(DATA, explicit(0, octetString(content)));
}

/** RFC 5652 §8: EncryptedData. */
async function encryptedContent(content: Uint8Array, password: string): Promise<Uint8Array> {
  const encrypted = await encrypt(content, password);
  const info = sequence(DATA, encrypted.algorithm, implicit(0, encrypted.content));
  return sequence(ENCRYPTED_DATA, explicit(0, sequence(integer(0), info)));
}

function pfx(contents: readonly Uint8Array[], password: string): Uint8Array {
  const authenticatedSafe = sequence(...contents);
  const salt = randomBytes(20);
  const mac = createHmac('sha256', macKey(password, salt)).update(authenticatedSafe).digest();
  return sequence(
    integer(3),
    plainContent(authenticatedSafe),
    sequence(sequence(SHA_256, octetString(mac)), octetString(salt), integer(ITERATIONS)),
  );
}

/** RFC 7292 Appendix B.2 for a MAC key (ID 3) as long as one SHA-256, so that the first of its blocks is all of it. */
function macKey(password: string, salt: Uint8Array): Buffer {
  const block = 64;
  const fill = (part: Uint8Array): Buffer => Buffer.alloc(Math.ceil(part.byteLength / block) * block, part);
  const bmp = Buffer.from(`${password}\0`, 'utf16le').swap16();
  let key: Buffer = Buffer.concat([Buffer.alloc(block, 3), fill(salt), fill(bmp)]);
  for (let i = 0; i < ITERATIONS; i++) key = hash('sha256', key, 'buffer');
  return key;
}

/** PEM as RFC 7468 §3 writes it strictly: blocks of one kind, canonical base64, and nothing between them. */
import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto';
import { OperatorError } from '../errors.ts';

export interface PemLimits {
  /** Most characters of the whole text. */
  readonly characters: number;
  /** Most certificates. */
  readonly certificates: number;
}

const PEM_LIMITS: PemLimits = { characters: 256 * 1024, certificates: 64 };

interface PemBlock {
  readonly label: string;
  readonly der: Buffer;
}

function invalidPem(problem: string): OperatorError {
  return new OperatorError('InvalidPEM', `The PEM is not valid: ${problem}.`, { retry: { class: 'terminal' } });
}

const BLOCK = /\s*-----BEGIN ([A-Z0-9 ]{1,40})-----\r?\n([A-Za-z0-9+/=\r\n]*?)-----END ([A-Z0-9 ]{1,40})-----(?=\s|$)/y;

function pemBlocks(text: string, maximum: number): PemBlock[] {
  const blocks: PemBlock[] = [];
  const end = text.trimEnd().length;
  BLOCK.lastIndex = 0;
  for (let at = 0; at < end; at = BLOCK.lastIndex) {
    const found = BLOCK.exec(text);
    const [, label, base64, endLabel] = found ?? [];
    if (label === undefined || base64 === undefined) {
      const line = text.slice(0, at).trimEnd().split('\n').length;
      throw invalidPem(
        `after line ${at === 0 ? 0 : line} there is something other than -----BEGIN CERTIFICATE----- blocks of base64 lines: remove comments, text and headers`,
      );
    }
    if (label !== endLabel) throw invalidPem(`a block begins as ${label} and ends as ${endLabel ?? 'nothing'}`);
    const compact = base64.replaceAll(/[\r\n]/g, '');
    const der = Buffer.from(compact, 'base64');
    if (der.length === 0 || der.toString('base64') !== compact)
      throw invalidPem(`the base64 of a ${label} is damaged: copy it again`);
    blocks.push({ label, der });
    if (blocks.length > maximum) throw invalidPem(`it has more than ${maximum} blocks: remove some`);
  }
  return blocks;
}

/**
 * The certificates of a PEM text, in their order; at least one.
 * @throws {OperatorError} `InvalidPEM`, terminal: anything else is in the text, or it is over the limits
 */
export function certificatesFromPem(text: string, limits: PemLimits = PEM_LIMITS): readonly X509Certificate[] {
  if (text.length > limits.characters)
    throw invalidPem(`it is longer than ${limits.characters} characters: remove certificates`);
  const blocks = pemBlocks(text, limits.certificates);
  if (blocks.length === 0) throw invalidPem('it is empty: put at least one certificate there');
  return blocks.map(({ label, der }) => {
    if (label !== 'CERTIFICATE') throw invalidPem(`it has a block of ${label}: only CERTIFICATE belongs here`);
    return certificateFromDer(der);
  });
}

/**
 * The only certificate of a PEM text.
 * @throws {OperatorError} `InvalidPEM`, terminal
 */
export function certificateFromPem(text: string): X509Certificate {
  const [certificate, second] = certificatesFromPem(text);
  if (certificate === undefined || second !== undefined) {
    throw invalidPem('it has more than one certificate: put only one there');
  }
  return certificate;
}

function certificateFromDer(der: Buffer): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch {
    throw invalidPem('a CERTIFICATE block holds something else than a certificate: copy it again');
  }
  // OpenSSL stops reading at the end of the certificate; what follows would be part of nobody's thumbprint.
  if (!certificate.raw.equals(der))
    throw invalidPem('a CERTIFICATE block has more bytes than the certificate: copy it again');
  return certificate;
}

const PRIVATE_KEY_TYPES: ReadonlyMap<string, 'pkcs8' | 'pkcs1' | 'sec1'> = new Map([
  ['PRIVATE KEY', 'pkcs8'],
  ['RSA PRIVATE KEY', 'pkcs1'],
  ['EC PRIVATE KEY', 'sec1'],
]);

/**
 * The private key of a PEM text: unencrypted PKCS#8, or the older RSA and EC forms.
 * @throws {OperatorError} `InvalidPEM`, terminal; nothing of the key is in the error
 */
export function privateKeyFromPem(text: string): KeyObject {
  if (text.length > 64 * 1024) throw invalidPem('the private key is longer than 65536 characters');
  if (/ENCRYPTED/.test(text)) throw invalidPem('the private key is encrypted: decrypt it with `openssl pkey`');
  // `openssl ecparam -genkey` writes the curve once more, in a block before the key.
  const blocks = pemBlocks(text, 2).filter(({ label }) => label !== 'EC PARAMETERS');
  const [block, second] = blocks;
  if (block === undefined || second !== undefined) throw invalidPem('it must hold exactly one private key');
  const type = PRIVATE_KEY_TYPES.get(block.label);
  if (type === undefined) throw invalidPem(`it has a block of ${block.label}: a PRIVATE KEY belongs here`);
  try {
    return createPrivateKey({ key: block.der, format: 'der', type });
  } catch {
    throw invalidPem('the private key cannot be read: copy it again, or convert it with `openssl pkey`');
  }
}

/** DER as a PEM block with lines of 64 characters (RFC 7468 §2). */
export function toPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

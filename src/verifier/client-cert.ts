/** RFC 9440: certificates as Structured Field byte sequences (RFC 8941 §3.3.5). What every other format becomes here. */
import { type Certificates, decodeBase64 } from './base64-der.ts';
import { CertificateHeaderError } from './refusal.ts';

/** Without parameters: RFC 9440 defines none. */
const ITEM = /^:([A-Za-z0-9+/=]*):$/;
const MEMBER = /^[ \t]*:([A-Za-z0-9+/=]*):[ \t]*$/;

function decodeByteSequence(text: string, syntax: RegExp): Buffer {
  const base64 = syntax.exec(text)?.[1];
  if (base64 === undefined) throw new CertificateHeaderError('BadSyntax');
  return decodeBase64(base64);
}

/**
 * `Client-Cert`, RFC 9440 §2.2.
 * @throws {CertificateHeaderError}
 */
export function decodeClientCert(line: string): Certificates {
  if (line.includes(',')) throw new CertificateHeaderError('NotOneCertificate');
  return [decodeByteSequence(line, ITEM)];
}

/**
 * `Client-Cert-Chain`, RFC 9440 §2.3: a list without the leaf.
 * @throws {CertificateHeaderError}
 */
export function decodeClientCertChain(line: string): readonly Buffer[] {
  return line.split(',').map((member) => decodeByteSequence(member, MEMBER));
}

const byteSequence = (der: Uint8Array): string => `:${Buffer.from(der).toString('base64')}:`;

export interface ClientCertFields {
  'client-cert': string;
  'client-cert-chain'?: string;
}

/** The fields of RFC 9440 for a certificate, from whatever format it came; without a chain there is no second one (§2.3). */
export function clientCertFields(decoded: { der: Uint8Array; chain: readonly Uint8Array[] }): ClientCertFields {
  return {
    'client-cert': byteSequence(decoded.der),
    ...(decoded.chain.length > 0 && { 'client-cert-chain': decoded.chain.map(byteSequence).join(', ') }),
  };
}

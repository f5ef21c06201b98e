/** Client certificates that the product would never make, next to those it does: odd names, dates, keys, extensions. */
import { createPrivateKey, randomBytes, type webcrypto } from 'node:crypto';
import { dnToDer } from '../../src/x509/dn-name.ts';
import { parseDn } from '../../src/x509/dn.ts';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  X509CertificateView,
} from '../../src/x509/library.ts';
// After the line above, which makes this package loadable.
import { Extension, type JsonGeneralNames } from '@peculiar/x509';
import type { KeyPairPem } from './throwaway-ca.ts';

export interface ClientCertificateRequest {
  /** RFC 4514 string. */
  subject: string;
  /** Absent: the certificate signs itself. */
  ca?: KeyPairPem;
  san?: JsonGeneralNames;
  notBefore?: Date;
  notAfter?: Date;
  extensions?: readonly { oid: string; value: Uint8Array<ArrayBuffer> }[];
}

export interface ClientCertificate extends KeyPairPem {
  der: Buffer;
  /** What goes into `jwks` at registration: public members, `x5c` with the leaf alone (RFC 8705 §2.2.2). */
  jwk: Record<string, unknown>;
}

const SIGNATURE = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

function signingKey(pem: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' });
  return globalThis.crypto.subtle.importKey('pkcs8', new Uint8Array(der), SIGNATURE, false, ['sign']);
}

export async function createClientCertificate(request: ClientCertificateRequest): Promise<ClientCertificate> {
  const keys = await globalThis.crypto.subtle.generateKey(SIGNATURE, true, ['sign', 'verify']);
  const subject = new Name(dnToDer(parseDn(request.subject)));
  const certificate = await X509CertificateGenerator.create({
    serialNumber: Buffer.concat([Buffer.of(0x01), randomBytes(15)]).toString('hex'),
    subject,
    issuer: request.ca === undefined ? subject : new X509CertificateView(request.ca.certPem).subjectName,
    notBefore: request.notBefore ?? new Date(Date.now() - 300_000),
    notAfter: request.notAfter ?? new Date(Date.now() + 86_400_000),
    signingAlgorithm: SIGNATURE,
    publicKey: keys.publicKey,
    signingKey: request.ca === undefined ? keys.privateKey : await signingKey(request.ca.keyPem),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
      ...(request.san === undefined ? [] : [new SubjectAlternativeNameExtension(request.san)]),
      ...(request.extensions ?? []).map(({ oid, value }) => new Extension(oid, false, value)),
    ],
  });
  const pkcs8 = Buffer.from(await globalThis.crypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = createPrivateKey({ key: pkcs8, type: 'pkcs8', format: 'der' });
  const der = Buffer.from(certificate.rawData);
  const { kty, crv, x, y } = await globalThis.crypto.subtle.exportKey('jwk', keys.publicKey);
  return {
    certPem: `${certificate.toString('pem')}\n`,
    keyPem: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    der,
    jwk: { kty, crv, x, y, use: 'sig', x5c: [der.toString('base64')] },
  };
}

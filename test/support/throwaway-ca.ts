import 'reflect-metadata';
import { randomBytes, type webcrypto } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralNames,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { dnToDer } from '../../src/x509/dn-name.ts';
import { parseDn } from '../../src/x509/dn.ts';

export interface KeyPairPem {
  certPem: string;
  /** PKCS #8. */
  keyPem: string;
}

export interface LeafRequest {
  cn: string;
  /** Each value becomes an RDN of its own; Kubernetes reads them as groups. */
  o?: string | readonly string[];
  dns?: readonly string[];
  ips?: readonly string[];
  clientAuth?: boolean;
  /** Defaults to true where `dns` or `ips` is given. */
  serverAuth?: boolean;
  /** Days of validity from now; negative for one that has expired. Default 7. */
  days?: number;
}

export interface ThrowawayCa extends KeyPairPem {
  issue(request: LeafRequest): Promise<KeyPairPem>;
}

const SIGNATURE = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 86_400_000;
/** Backdated, so that a peer whose clock is a little behind accepts the certificate. */
const BACKDATE_MS = 300_000;

function newKeys(): Promise<webcrypto.CryptoKeyPair> {
  return globalThis.crypto.subtle.generateKey(SIGNATURE, true, ['sign', 'verify']);
}

async function keyPem(keys: webcrypto.CryptoKeyPair): Promise<string> {
  return `${PemConverter.encode(await globalThis.crypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')}\n`;
}

/** Values are given as JSON, never as a DN string: their commas and spaces need no escaping. */
function distinguishedName(cn: string, organizations: readonly string[] = []): Name {
  return new Name([...organizations.map((o) => ({ O: [{ utf8String: o }] })), { CN: [{ utf8String: cn }] }]);
}

/** Positive, 127 bits: RFC 5280 section 4.1.2.2 allows up to 20 octets. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0] ?? 0) & 0x7f || 1;
  return bytes.toString('hex');
}

function validity(days: number): { notBefore: Date; notAfter: Date } {
  const notAfter = new Date(Date.now() + days * DAY_MS);
  return { notBefore: new Date(Math.min(Date.now(), notAfter.getTime() - DAY_MS) - BACKDATE_MS), notAfter };
}

/**
 * A CA of one test: ECDSA P-256, in memory, valid for 30 days.
 * @param name its CN, or its whole DN (RFC 4514)
 */
export async function createThrowawayCa(name: string | { dn: string }): Promise<ThrowawayCa> {
  const caKeys = await newKeys();
  const subject = typeof name === 'string' ? distinguishedName(name) : new Name(dnToDer(parseDn(name.dn)));
  const ca = await X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: subject,
    ...validity(30),
    signingAlgorithm: SIGNATURE,
    publicKey: caKeys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(caKeys.publicKey),
    ],
  });

  return {
    certPem: `${ca.toString('pem')}\n`,
    keyPem: await keyPem(caKeys),
    async issue(request) {
      const keys = await newKeys();
      const names: JsonGeneralNames = [
        ...(request.dns ?? []).map((value) => ({ type: 'dns' as const, value })),
        ...(request.ips ?? []).map((value) => ({ type: 'ip' as const, value })),
      ];
      const usages: string[] = [];
      if (request.clientAuth === true) usages.push(ExtendedKeyUsage.clientAuth);
      if (request.serverAuth ?? names.length > 0) usages.push(ExtendedKeyUsage.serverAuth);
      const extensions: Extension[] = [
        new BasicConstraintsExtension(false, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
        await AuthorityKeyIdentifierExtension.create(ca),
      ];
      if (usages.length > 0) extensions.push(new ExtendedKeyUsageExtension(usages));
      if (names.length > 0) extensions.push(new SubjectAlternativeNameExtension(names));
      const certificate = await X509CertificateGenerator.create({
        serialNumber: serialNumber(),
        subject: distinguishedName(request.cn, typeof request.o === 'string' ? [request.o] : request.o),
        issuer: ca.subjectName,
        ...validity(request.days ?? 7),
        signingAlgorithm: SIGNATURE,
        publicKey: keys.publicKey,
        signingKey: caKeys.privateKey,
        extensions,
      });
      return { certPem: `${certificate.toString('pem')}\n`, keyPem: await keyPem(keys) };
    },
  };
}

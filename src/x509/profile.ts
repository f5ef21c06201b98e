/** What a certificate must be before we use it: a client certificate that somebody else signed, or a CA that is to sign. */
import type { X509Certificate } from 'node:crypto';
import { asOperatorError } from '../errors.ts';
import { certificateFields, type CertificateFields } from './certificate-fields.ts';
import { sequence } from './der.ts';
import { sameDn, type Dn } from './dn.ts';
import { dnFromDer } from './dn-name.ts';
import { keyDigest } from './key.ts';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateView,
} from './library.ts';
import { certificatesFromPem, privateKeyFromPem } from './pem.ts';
import { formatSubject, generalName, type SubjectName } from './subject-name.ts';

/** A rule that a certificate breaks. The message is public and says what to do. */
export interface Violation {
  readonly reason: string;
  readonly message: string;
}

export interface LeafExpectations {
  readonly subject: SubjectName;
  /** SubjectPublicKeyInfo of the key that we made. */
  readonly publicKeyDer: Uint8Array;
  /** What the leaf must chain to; undefined: it must be self-signed. */
  readonly authorities: readonly CertificationAuthority[] | undefined;
}

/** A CA certificate with what is compared of it; reading it costs more than comparing, so keep it. */
export interface CertificationAuthority {
  readonly certificate: X509Certificate;
  /** Hexadecimal; undefined when it has none. */
  readonly subjectKeyIdentifier: string | undefined;
}

/** @throws {OperatorError} `InvalidPEM`, terminal */
export function certificationAuthorities(pem: string): CertificationAuthority[] {
  return certificatesFromPem(pem).map((certificate) => ({
    certificate,
    subjectKeyIdentifier: subjectKeyIdentifier(certificate),
  }));
}

/**
 * What is wrong with the certificate that a signer returned; empty when it may be used.
 * @param chainPem the leaf, then the intermediates in order
 */
export function checkLeaf(chainPem: string, expected: LeafExpectations, now: Date): Violation[] {
  const parsed = parse(chainPem);
  if ('reason' in parsed) return [parsed];
  const [leaf] = parsed;
  if (leaf === undefined) return [];
  const fields = certificateFields(leaf.raw);
  return [
    ...checkShape(fields),
    ...checkUsage(fields),
    ...checkSubject(fields, expected.subject),
    ...checkKey(leaf, expected.publicKeyDer),
    ...checkDates(leaf, now),
    ...(expected.authorities === undefined ? checkSelfSigned(leaf) : checkChain(parsed, fields, expected.authorities)),
  ];
}

function parse(pem: string): readonly X509Certificate[] | Violation {
  try {
    return certificatesFromPem(pem);
  } catch (error) {
    const { code, message } = asOperatorError(error);
    return { reason: code, message };
  }
}

function violation(condition: boolean, reason: string, message: string): Violation[] {
  return condition ? [{ reason, message }] : [];
}

function checkShape({ version, serialNumber, extensions }: CertificateFields): Violation[] {
  const [sign = 0x80] = serialNumber;
  // A leading zero octet only keeps the number positive. 64 random bits may begin with zero bits, but hardly with 16.
  const short = serialNumber.byteLength < 7;
  const types = extensions.map(({ type }) => type);
  return [
    ...violation(
      new Set(types).size !== types.length,
      'RepeatedExtension',
      'The issuer returned a certificate with one extension twice (RFC 5280 §4.2), of which readers see one or the other: correct the issuer.',
    ),
    ...violation(version !== 3, 'NotVersion3', `The issuer returned an X.509 v${version} certificate: it must be v3.`),
    ...violation(
      sign >= 0x80 || short || serialNumber.byteLength > 20,
      'WeakSerialNumber',
      'The issuer gave a serial number that is not positive, longer than 20 octets or shorter than 64 random bits (RFC 5280 §4.1.2.2): correct the issuer.',
    ),
  ];
}

const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const AUTHORITY_KEY_IDENTIFIER = '2.5.29.35';

/** @throws where its value is not what its type says */
function extensionOf<T>(fields: CertificateFields, type: string, read: new (der: Uint8Array) => T): T | undefined {
  const found = fields.extensions.find((extension) => extension.type === type);
  return found === undefined ? undefined : new read(found.der);
}

function checkUsage(fields: CertificateFields): Violation[] {
  const constraints = extensionOf(fields, BASIC_CONSTRAINTS, BasicConstraintsExtension);
  const keyUsage = extensionOf(fields, KEY_USAGE, KeyUsagesExtension);
  const usages = extensionOf(fields, EXTENDED_KEY_USAGE, ExtendedKeyUsageExtension)?.usages ?? [];
  return [
    ...violation(
      constraints === undefined || constraints.ca || !constraints.critical,
      'NotAnEndEntity',
      'The issuer did not return a certificate with critical basicConstraints CA:FALSE: correct its profile.',
    ),
    ...violation(
      keyUsage === undefined || keyUsage.usages !== KeyUsageFlags.digitalSignature || !keyUsage.critical,
      'WrongKeyUsage',
      'The issuer did not return a certificate with critical keyUsage digitalSignature alone: correct its profile.',
    ),
    ...violation(
      usages.length !== 1 || usages[0] !== ExtendedKeyUsage.clientAuth,
      'WrongExtendedKeyUsage',
      'The issuer did not return a certificate with extendedKeyUsage clientAuth alone: correct its profile.',
    ),
  ];
}

function checkSubject(fields: CertificateFields, subject: SubjectName): Violation[] {
  const expectedName = generalName(subject);
  const alternative = extensionOf(fields, SUBJECT_ALTERNATIVE_NAME, Extension)?.value;
  const names = alternative === undefined ? undefined : Buffer.from(alternative);
  // Another name beside ours would be another client's identity at a server that matches on it.
  const alternativesDiffer = expectedName === undefined ? names !== undefined : !names?.equals(sequence(expectedName));
  const dnDiffers = 'dn' in subject && !isSubject(fields.subject, subject.dn);
  return violation(
    alternativesDiffer || dnDiffers,
    'WrongSubject',
    `The issuer returned a certificate whose subject is not exactly ${formatSubject(subject)}: it must not change or add names.`,
  );
}

function checkKey(leaf: X509Certificate, publicKeyDer: Uint8Array): Violation[] {
  return violation(
    keyDigest(leaf.publicKey.export({ type: 'spki', format: 'der' })) !== keyDigest(publicKeyDer),
    'WrongKey',
    'The issuer returned a certificate for another key than the one requested: request it again.',
  );
}

function isSubject(der: Uint8Array, dn: Dn): boolean {
  try {
    return sameDn(dnFromDer(der), dn);
  } catch {
    return false;
  }
}

function checkDates(leaf: X509Certificate, now: Date): Violation[] {
  return [
    ...violation(
      now < leaf.validFromDate,
      'NotYetValid',
      `The issuer returned a certificate that is valid only from ${leaf.validFromDate.toISOString()}: wait, or correct its clock.`,
    ),
    ...violation(
      now > leaf.validToDate,
      'Expired',
      `The issuer returned a certificate that expired at ${leaf.validToDate.toISOString()}: correct its clock.`,
    ),
  ];
}

/** Names, key identifiers and signature: OpenSSL's check of the names alone would take a same-named CA for the issuer. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

function checkSelfSigned(leaf: X509Certificate): Violation[] {
  // Not checkIssued: OpenSSL finds that a key without keyCertSign signed nothing, itself included.
  const selfSigned = leaf.subject === leaf.issuer && leaf.verify(leaf.publicKey);
  return violation(!selfSigned, 'NotSelfSigned', 'The certificate is not signed with its own key: request it again.');
}

function checkChain(
  chain: readonly X509Certificate[],
  fields: CertificateFields,
  authorities: readonly CertificationAuthority[],
): Violation[] {
  const [leaf] = chain;
  const last = chain.at(-1);
  if (leaf === undefined || last === undefined) return [];
  const broken = chain.some((certificate, index) => {
    const issuer = chain[index + 1];
    return issuer !== undefined && !(issuer.ca && isIssuedBy(certificate, issuer));
  });
  const anchor = authorities.find(
    ({ certificate }) => certificate.ca && (certificate.raw.equals(last.raw) || isIssuedBy(last, certificate)),
  );
  if (broken || anchor === undefined || (anchor.certificate.raw.equals(last.raw) && chain.length === 1)) {
    return violation(
      true,
      'UnknownAuthority',
      "The certificate does not chain to the issuer's CA: put the CA that signed it, and every intermediate, where the issuer is configured.",
    );
  }
  const issuer = chain[1] ?? anchor.certificate;
  const known = authorities.find(({ certificate }) => certificate.raw.equals(issuer.raw));
  const issuerKeyIdentifier = known === undefined ? subjectKeyIdentifier(issuer) : known.subjectKeyIdentifier;
  const keyIdentifier = extensionOf(fields, AUTHORITY_KEY_IDENTIFIER, AuthorityKeyIdentifierExtension)?.keyId;
  return [
    ...violation(
      keyIdentifier === undefined || keyIdentifier !== issuerKeyIdentifier,
      'WrongAuthorityKeyIdentifier',
      "The certificate has no authority key identifier equal to its CA's subject key identifier: correct the issuer's profile.",
    ),
    ...violation(
      leaf.validToDate > issuer.validToDate || leaf.validFromDate < issuer.validFromDate,
      'OutlivesCA',
      `The certificate is valid longer than its CA, which ends at ${issuer.validToDate.toISOString()}: shorten the duration, or replace the CA.`,
    ),
  ];
}

/** The subject key identifier of a certificate in hexadecimal; undefined when it has none. */
export function subjectKeyIdentifier(certificate: X509Certificate): string | undefined {
  return new X509CertificateView(certificate.raw).getExtension(SubjectKeyIdentifierExtension)?.keyId;
}

/**
 * What keeps a CA from signing clients; empty when nothing does.
 * @param certificatePem the CA first; its chain may follow
 * @param privateKeyPem undefined when somebody else signs with it
 */
export function checkCa(certificatePem: string, privateKeyPem: string | undefined, now: Date): Violation[] {
  const parsed = parse(certificatePem);
  if ('reason' in parsed) return [parsed];
  const [ca] = parsed;
  if (ca === undefined) return [];
  const keyUsage = new X509CertificateView(ca.raw).getExtension(KeyUsagesExtension)?.usages ?? 0;
  return [
    ...violation(
      !ca.ca || (keyUsage & KeyUsageFlags.keyCertSign) === 0,
      'NotACA',
      'The certificate is no CA (basicConstraints CA:TRUE and keyUsage keyCertSign): store a CA certificate.',
    ),
    ...violation(
      subjectKeyIdentifier(ca) === undefined,
      'CAWithoutKeyIdentifier',
      'The CA certificate has no subject key identifier (RFC 5280 §4.2.1.2): issue it again with one.',
    ),
    ...violation(
      now < ca.validFromDate,
      'CANotYetValid',
      `The CA is valid only from ${ca.validFromDate.toISOString()}: wait, or correct the clock.`,
    ),
    ...violation(
      now > ca.validToDate,
      'CAExpired',
      `The CA expired at ${ca.validToDate.toISOString()}: replace certificate and key, or renew the certificate.`,
    ),
    ...(privateKeyPem === undefined ? [] : checkCaKey(ca, privateKeyPem)),
  ];
}

function checkCaKey(ca: X509Certificate, privateKeyPem: string): Violation[] {
  try {
    return violation(
      !ca.checkPrivateKey(privateKeyFromPem(privateKeyPem)),
      'CAKeyMismatch',
      'The private key is not that of the CA certificate: store the two of one pair.',
    );
  } catch (error) {
    const { code, message } = asOperatorError(error);
    return [{ reason: code, message }];
  }
}

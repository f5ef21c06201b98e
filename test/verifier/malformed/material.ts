/** What the malformed headers are made of: good certificates, and good ways to write them. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { CertificateHeaderRefusal } from '../../../src/verifier/refusal.ts';
import type { TerminatorName } from '../../../src/verifier/terminators.ts';
import { toPem } from '../../../src/x509/pem.ts';
import { createClientCertificate } from '../../support/client-certificate.ts';
import { createThrowawayCa } from '../../support/throwaway-ca.ts';

export interface MalformedHeader {
  /** What is wrong with it. */
  name: string;
  /** Whose header it nearly is. */
  terminator: TerminatorName;
  /** A list is a line for each. */
  value: string | readonly string[];
  /** Of the header with the chain, where the product has one of its own. */
  chain?: string | readonly string[];
  code: CertificateHeaderRefusal;
}

/** A name, a value and what that is refused with. */
export type Malformed<Value = string> = readonly [name: string, value: Value, code: CertificateHeaderRefusal];

export const derOfPem = (pem: string): Buffer => new X509Certificate(pem).raw;
export const vector = (name: string): Buffer =>
  derOfPem(readFileSync(new URL(`../../vectors/${name}.pem`, import.meta.url), 'utf8'));

/** RFC 8705 Appendix A. */
export const der = vector('rfc8705-appendix-a');
/** Somebody else's. */
export const other = (await createClientCertificate({ subject: 'CN=other' })).der;

const authority = await createThrowawayCa('Client CA');
/** Has the name of the one that signs `leaf`, and a key of its own. */
export const namesake = derOfPem((await createThrowawayCa('Client CA')).certPem);
/** Signs `leaf`. */
export const ca = derOfPem(authority.certPem);
export const leaf = (await createClientCertificate({ subject: 'CN=leaf', ca: authority })).der;

export const base64 = der.toString('base64');
export const hashOf = (certificate: Uint8Array): string =>
  new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase();

export const BEGIN = '-----BEGIN CERTIFICATE-----';
export const END = '-----END CERTIFICATE-----';
export const pemOf = (...certificates: readonly Uint8Array[]): string =>
  certificates.map((certificate) => toPem('CERTIFICATE', certificate)).join('');
export const layout = (text: string, width = 64): string =>
  text.replaceAll(new RegExp(`.{${width}}(?=.)`, 'g'), '$&\n');
export const wrap = (body: string): string => `${BEGIN}\n${body}\n${END}\n`;
export const awsEscape = (pem: string): string =>
  encodeURIComponent(pem).replaceAll('%2B', '+').replaceAll('%2F', '/').replaceAll('%3D', '=');
export const replaceAt = (text: string, at: number, by: string): string =>
  text.slice(0, at) + by + text.slice(at + by.length);

export const headers = (
  terminator: TerminatorName,
  malformed: readonly Malformed<string | readonly string[]>[],
): MalformedHeader[] => malformed.map(([name, value, code]) => ({ name, terminator, value, code }));

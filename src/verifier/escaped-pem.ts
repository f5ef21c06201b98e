/** Percent-encoded PEM: nginx's `$ssl_client_escaped_cert` and its kin, Envoy's `Cert` and `Chain`, AWS. */
import { toPem } from '../x509/pem.ts';
import { type Certificates, decodeBase64 } from './base64-der.ts';
import { CertificateHeaderError } from './refusal.ts';

const BEGIN = '-----BEGIN CERTIFICATE-----\n';
const END = '\n-----END CERTIFICATE-----';

/** Layout as OpenSSL and Go write it, RFC 7468's strict one: two spellings of a certificate are two ways to read it. */
function certificatesOf(pem: string): Certificates {
  const found: Buffer[] = [];
  for (let at = 0; at < pem.length; at += 1) {
    const end = pem.startsWith(BEGIN, at) ? pem.indexOf(END, at) : -1;
    const body = pem.slice(at + BEGIN.length, end);
    if (end === -1 || !/^[A-Za-z0-9+/=\n]+$/.test(body)) throw new CertificateHeaderError('NotOneCertificate');
    const der = decodeBase64(body.replaceAll('\n', ''));
    if (toPem('CERTIFICATE', der) !== `${BEGIN}${body}${END}\n`) throw new CertificateHeaderError('BadBase64');
    found.push(der);
    at = end + END.length;
    if (at < pem.length && pem[at] !== '\n') throw new CertificateHeaderError('NotOneCertificate');
  }
  const [leaf, ...chain] = found;
  if (leaf === undefined) throw new CertificateHeaderError('NotOneCertificate');
  return [leaf, ...chain];
}

type Escape = (pem: string) => string;

function decode(line: string, escape: Escape): Certificates {
  let pem: string;
  try {
    // Not a form decoder: that turns the `+` of base64 into a space where a proxy leaves it bare.
    pem = decodeURIComponent(line);
  } catch {
    throw new CertificateHeaderError('BadEscape');
  }
  const certificates = certificatesOf(pem);
  // The hexadecimal digits' case means nothing (RFC 3986 §6.2.2.1). What is escaped and what is not tells products apart.
  const upper = line.replaceAll(/%[0-9A-Fa-f]{2}/g, (triplet) => triplet.toUpperCase());
  if (escape(pem) !== upper) throw new CertificateHeaderError('BadEscape');
  return certificates;
}

function alone(certificates: Certificates): Certificates {
  if (certificates.length > 1) throw new CertificateHeaderError('NotOneCertificate');
  return certificates;
}

/** A PEM has nothing that this leaves bare and nginx escapes. */
const everything: Escape = encodeURIComponent;

/** "URL-encoded PEM, with `+=/` as safe characters". */
const allButBase64: Escape = (pem) =>
  encodeURIComponent(pem).replaceAll(/%2B|%3D|%2F/g, (triplet) => decodeURIComponent(triplet));

/**
 * One certificate, all but letters, digits and `-` escaped.
 * @throws {CertificateHeaderError}
 */
export const decodeEscapedPem = (line: string): Certificates => alone(decode(line, everything));

/** The same for a chain: PEM blocks one after the other, the leaf first. */
export const decodeEscapedPemChain = (line: string): Certificates => decode(line, everything);

/**
 * One certificate as AWS writes it.
 * @throws {CertificateHeaderError}
 */
export const decodeAwsPem = (line: string): Certificates => alone(decode(line, allButBase64));

/** The same for a chain: PEM blocks one after the other, the leaf first. */
export const decodeAwsPemChain = (line: string): Certificates => decode(line, allButBase64);

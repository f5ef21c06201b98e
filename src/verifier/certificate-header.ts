import { X509Certificate } from 'node:crypto';
import { decodeClientCertChain } from './client-cert.ts';
import { CertificateHeaderError } from './refusal.ts';
import { type TerminatorHeaders, type TerminatorName, terminators } from './terminators.ts';

/**
 * What the terminator vouches for. `required`: a certificate whose chain it verified, as a header of its own says of
 * this request. `assumed`: the same, for terminators that send no such header; whoever sets this has seen to it that the
 * terminator ends every connection whose chain it cannot verify. `none`: any certificate whose key the client proved to
 * hold (the caller compares it itself, RFC 8705 §2.2 and §3).
 */
export type CertificateVerification = 'required' | 'assumed' | 'none';

export type DecodedCertificate =
  | {
      ok: true;
      certificate: X509Certificate;
      der: Uint8Array;
      /** DER of what the client sent with it, each the issuer of the one before. Nobody here verified that it is trusted. */
      chain: readonly Uint8Array[];
    }
  | { ok: false; error: CertificateHeaderError };

/** Header lines by lower-case name, one entry a line: `IncomingMessage.headersDistinct`. `headers` joins or drops repeats. */
export type HeaderLines = Readonly<Record<string, readonly string[] | undefined>>;

/** An RSA 4096 certificate with the extensions of a QWAC takes about 6,000. */
const MAX_LINE_LENGTH = 16_384;
const MAX_CHAIN_LENGTH = 10;

/** The only line of a header. RFC 9440 §2.3 lets a chain have several, which no product makes use of: not here. */
function onlyLine(headers: HeaderLines, name: string): string | undefined {
  const lines = headers[name] ?? [];
  if (lines.length > 1) throw new CertificateHeaderError('Repeated');
  return lines[0] === '' ? undefined : lines[0];
}

function bounded(line: string, longest: number): string {
  if (line.length > longest) throw new CertificateHeaderError('TooLarge');
  return line;
}

function assertVerified(headers: HeaderLines, terminator: TerminatorHeaders, wanted: CertificateVerification): void {
  const { verification } = terminator;
  if (typeof verification === 'string') {
    if (wanted === 'none') return;
    if (verification === 'never') throw new CertificateHeaderError('NotVerified');
    if (wanted === 'required') throw new CertificateHeaderError('VerificationAbsent');
    return;
  }
  for (const { header, verified, presented } of verification) {
    const [result, ...more] = headers[header] ?? [];
    if (more.length > 0) throw new CertificateHeaderError('VerificationRepeated');
    if (result === undefined) throw new CertificateHeaderError('VerificationAbsent');
    const believed = wanted === 'none' ? presented : verified;
    if (!believed(result)) throw new CertificateHeaderError('NotVerified');
  }
}

function parseCertificate(der: Uint8Array): X509Certificate {
  try {
    const certificate = new X509Certificate(der);
    // Node looks for PEM before DER, anywhere in the bytes, and ignores what follows a certificate: without this
    // comparison, PEM text inside an extension would be taken for the client's certificate.
    if (certificate.raw.equals(der)) return certificate;
  } catch {
    // Below.
  }
  throw new CertificateHeaderError('BadCertificate');
}

function issued(issuer: X509Certificate, subject: X509Certificate): boolean {
  try {
    return subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
  } catch {
    // A key that OpenSSL cannot use.
    return false;
  }
}

/**
 * The order is TLS's (RFC 5246 §7.4.2), and it is held to: where a proxy on the way joins a forged line and the
 * terminator's own to one list, what looks like a chain is none.
 */
function assertChain(leaf: X509Certificate, ders: readonly Uint8Array[]): void {
  if (ders.length > MAX_CHAIN_LENGTH) throw new CertificateHeaderError('BadChain');
  let subject = leaf;
  for (const issuer of ders.map(parseCertificate)) {
    if (!issued(issuer, subject)) throw new CertificateHeaderError('BadChain');
    subject = issuer;
  }
}

function decode(headers: HeaderLines, terminator: TerminatorHeaders, wanted: CertificateVerification) {
  const longest = terminator.longest ?? MAX_LINE_LENGTH;
  const line = onlyLine(headers, terminator.certificate);
  if (line === undefined) throw new CertificateHeaderError('Absent');
  bounded(line, longest);
  assertVerified(headers, terminator, wanted);
  const [der, ...inLine] = terminator.decode(line);
  const chainLine = terminator.chain === undefined ? undefined : onlyLine(headers, terminator.chain);
  const chain = chainLine === undefined ? inLine : decodeClientCertChain(bounded(chainLine, longest));
  const certificate = parseCertificate(der);
  assertChain(certificate, chain);
  return { certificate, der, chain };
}

/**
 * The client certificate that a TLS terminator forwards, or why it is not believed. Only for requests that are known
 * to come from the terminator. Never throws.
 *
 * @param options.terminator a product, or a row of your own where a name was changed
 * @see RFC 9440 §2.4 and §4, whose rules hold for every product's own header too
 */
export function decodeCertificateHeader(
  headers: HeaderLines,
  options: { terminator: TerminatorName | TerminatorHeaders; verification: CertificateVerification },
): DecodedCertificate {
  const { terminator, verification } = options;
  const row = typeof terminator === 'string' ? terminators[terminator] : terminator;
  try {
    return { ok: true, ...decode(headers, row, verification) };
  } catch (error) {
    if (error instanceof CertificateHeaderError) return { ok: false, error };
    throw error;
  }
}

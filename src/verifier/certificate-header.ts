import { X509Certificate } from 'node:crypto';

/**
 * What the terminator vouched for: `required` believes only a certificate whose chain it verified; `none` takes any
 * certificate whose key the client proved to hold (the caller compares it itself, RFC 8705 §2.2 and §3).
 */
export type CertificateVerification = 'required' | 'none';

/** Why a header was not believed. Stable; safe to log, since none carries the header's content. */
export type CertificateHeaderRefusal =
  | 'Absent'
  | 'Repeated'
  | 'TooLarge'
  | 'BadEscape'
  | 'NotOneCertificate'
  | 'BadBase64'
  | 'BadCertificate'
  | 'VerificationAbsent'
  | 'VerificationRepeated'
  | 'NotVerified';

export type DecodedCertificate =
  { ok: true; certificate: X509Certificate; der: Uint8Array } | { ok: false; reason: CertificateHeaderRefusal };

/** Header lines by lower-case name, one entry a line: `IncomingMessage.headersDistinct`. `headers` joins or drops repeats. */
export type HeaderLines = Readonly<Record<string, readonly string[] | undefined>>;

type Der = { ok: true; der: Uint8Array } | { ok: false; reason: CertificateHeaderRefusal };

interface CertificateHeaderCodec {
  /** Header with the leaf certificate, lower case. */
  certificate: string;
  /** Header with the verification's result, for products that send one. */
  verification?: { header: string; verified: (value: string) => boolean; presented: (value: string) => boolean };
  decode: (value: string) => Der;
}

/** In characters of the encoded header. An RSA 4096 certificate with the extensions of a QWAC takes about 4,000. */
const MAX_HEADER_LENGTH = 16_384;

const refuse = (reason: CertificateHeaderRefusal): { ok: false; reason: CertificateHeaderRefusal } => ({
  ok: false,
  reason,
});

/** `$ssl_client_escaped_cert`: OpenSSL's PEM of the leaf alone, percent-encoded. */
function decodeEscapedPem(value: string): Der {
  let pem: string;
  try {
    // Not a form decoder: that turns the `+` of base64 into a space where a proxy leaves it bare.
    pem = decodeURIComponent(value);
  } catch {
    return refuse('BadEscape');
  }
  const body = /^-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=\n]+)\n-----END CERTIFICATE-----\n?$/.exec(pem)?.[1];
  if (body === undefined) return refuse('NotOneCertificate');
  const base64 = body.replaceAll('\n', '');
  const der = Buffer.from(base64, 'base64');
  // Buffer skips what it does not understand; only a round trip shows that nothing was skipped (RFC 4648 §3.5).
  if (der.toString('base64') !== base64) return refuse('BadBase64');
  // One layout only, RFC 7468's strict one: two spellings of a certificate are two ways to read it.
  if (body !== base64.replaceAll(/.{64}(?=.)/g, '$&\n')) return refuse('BadBase64');
  return { ok: true, der };
}

const codecs = {
  /** ingress-nginx, and what speaks its dialect. The DN headers next to these differ by product and are never read. */
  nginx: {
    certificate: 'ssl-client-cert',
    verification: {
      header: 'ssl-client-verify',
      verified: (value) => value === 'SUCCESS',
      presented: (value) => value === 'SUCCESS' || value.startsWith('FAILED:'),
    },
    decode: decodeEscapedPem,
  },
} satisfies Record<string, CertificateHeaderCodec>;

export type CertificateHeaderFormat = keyof typeof codecs;

function parseCertificate(der: Uint8Array): X509Certificate | undefined {
  try {
    const certificate = new X509Certificate(der);
    // Node looks for PEM before DER, anywhere in the bytes, and ignores what follows a certificate: without this
    // comparison, PEM text inside an extension would be taken for the client's certificate.
    return certificate.raw.equals(der) ? certificate : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The client certificate that a TLS terminator forwards, or why it is not believed. Only for requests that are known
 * to come from the terminator. Never throws.
 *
 * @see RFC 9440 §2.4 and §4, whose rules hold for every product's own header too
 */
export function decodeCertificateHeader(
  headers: HeaderLines,
  options: { format: CertificateHeaderFormat; verification: CertificateVerification },
): DecodedCertificate {
  const codec: CertificateHeaderCodec = codecs[options.format];
  const lines = headers[codec.certificate] ?? [];
  const [value] = lines;
  if (lines.length > 1) return refuse('Repeated');
  if (value === undefined || value === '') return refuse('Absent');
  if (value.length > MAX_HEADER_LENGTH) return refuse('TooLarge');
  if (codec.verification !== undefined) {
    const results = headers[codec.verification.header] ?? [];
    const [result] = results;
    if (results.length > 1) return refuse('VerificationRepeated');
    if (result === undefined) return refuse('VerificationAbsent');
    const believed = options.verification === 'required' ? codec.verification.verified : codec.verification.presented;
    if (!believed(result)) return refuse('NotVerified');
  } else if (options.verification === 'required') {
    return refuse('VerificationAbsent');
  }
  const decoded = codec.decode(value);
  if (!decoded.ok) return decoded;
  const certificate = parseCertificate(decoded.der);
  return certificate === undefined ? refuse('BadCertificate') : { ok: true, certificate, der: decoded.der };
}

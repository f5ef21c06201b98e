import { OperatorError } from '../errors.ts';

/** By code: what was wrong with a request's certificate header, and what to do. Never anything of its content. */
const MESSAGES = {
  Absent:
    'The request has no client certificate: the client sent none, or the terminator does not forward it. Look at the terminator.',
  Repeated:
    'The certificate header came more than once. Only one line can be that of the terminator: make it remove what clients send.',
  TooLarge: 'The certificate header is longer than a certificate is. Look at what the client sends, or who sends it.',
  BadSyntax:
    'The certificate header is not in the format of the configured terminator. Configure the one that sends it.',
  BadEscape:
    'The certificate header is not percent-encoded as the configured terminator does it. Configure the one that sends it.',
  NotOneCertificate: 'The certificate header holds no certificate, or more than the configured terminator sends.',
  BadBase64: 'The base64 of the certificate header is not what an encoder writes.',
  BadCertificate: 'The certificate header holds something else than an X.509 certificate in DER.',
  BadChain:
    'The chain in the certificate header is not one: each certificate must be signed by the next, 10 at most after the leaf. Correct what the client presents.',
  HashMismatch: 'The certificate header holds another certificate than the one whose hash it names, or names none.',
  UnexpectedElements:
    'The certificate header has another number of elements than there are trusted proxies. Make the outermost one replace what clients send.',
  VerificationAbsent:
    'The terminator does not say whether it verified the certificate. Make it send that header, or let one be configured whose settings are known.',
  VerificationRepeated:
    'The header with the result of verification came more than once. Make the terminator remove what clients send.',
  NotVerified: 'The terminator did not verify the certificate.',
} as const;

/** Why a header was not believed. Stable. */
export type CertificateHeaderRefusal = keyof typeof MESSAGES;

/** A certificate header that is not believed. All of it is safe to log: none carries the header's content. */
export class CertificateHeaderError extends OperatorError {
  declare readonly code: CertificateHeaderRefusal;

  constructor(code: CertificateHeaderRefusal) {
    super(code, MESSAGES[code], { retry: { class: 'terminal' } });
  }
}

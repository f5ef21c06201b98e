import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { OperatorError } from '../errors.ts';
import { signSelfSignedLeaf } from '../x509/certificate.ts';
import { publicKeyDerOf } from '../x509/key.ts';
import { checkLeaf } from '../x509/profile.ts';
import { formatSubject, type SubjectName } from '../x509/subject-name.ts';
import { shortened } from './certificate-authority-secret.ts';
import { maxDurationMs } from './grants.ts';
import type { Issued, IssuerDriver, SigningRequest } from './issuer.ts';

/** RFC 5280 appendix A.1, ub-common-name. */
const LONGEST_COMMON_NAME = 64;

/** Certificates signed by their own keys, for `self_signed_tls_client_auth` (RFC 8705 §2.2): the server compares the key. */
export class SelfSignedIssuer implements IssuerDriver {
  async sign(issuer: ClientCertificateIssuer, request: SigningRequest, signal: AbortSignal): Promise<Issued> {
    signal.throwIfAborted();
    const { subject, privateKeyPem } = request;
    const now = new Date(request.now);
    const duration = Math.min(request.durationMs, maxDurationMs(issuer));
    const pem = await signSelfSignedLeaf({ subject, ...commonName(subject), duration, now }, privateKeyPem);
    const expected = { subject, publicKeyDer: publicKeyDerOf(privateKeyPem), authorities: undefined };
    const [violation] = checkLeaf(pem, expected, now);
    if (violation !== undefined) throw new OperatorError(violation.reason, violation.message);
    signal.throwIfAborted();
    return { chainPem: pem, caPem: pem };
  }
}

/** The issuer, here the subject, is never empty (RFC 5280 §4.1.2.4). No server matches on it: the key is the identity. */
function commonName(subject: SubjectName): { commonName?: string } {
  return 'dn' in subject ? {} : { commonName: shortened(formatSubject(subject), LONGEST_COMMON_NAME) };
}

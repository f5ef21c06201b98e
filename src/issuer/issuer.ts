import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import type { SubjectName } from '../x509/subject-name.ts';

export interface SigningRequest {
  subject: SubjectName;
  /** PKCS#8 PEM of the new key; a CA uses its public half only, a self-signed certificate is signed by it. */
  privateKeyPem: string;
  /** Life asked for, milliseconds; an issuer may give less, never more. */
  durationMs: number;
  /** Epoch milliseconds. */
  now: number;
}

export interface Issued {
  /** Leaf first, then what a peer needs to build the chain; PEM. */
  chainPem: string;
  /** The CA certificates that vouch for the leaf; for a self-signed one, itself. PEM. */
  caPem: string;
}

/**
 * Signs one client certificate. A new kind of issuer is one file with this, one line in the registry and one run of the
 * contract suite. Errors are OperatorErrors whose code is the condition's reason; an aborted signal's reason otherwise.
 */
export interface IssuerDriver {
  sign(issuer: ClientCertificateIssuer, request: SigningRequest, signal: AbortSignal): Promise<Issued>;
}

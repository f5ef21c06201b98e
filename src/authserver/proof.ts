import type { ServerConnection } from './connection.ts';

export interface ProofRequest {
  connection: ServerConnection;
  clientId: string;
  /** Leaf first. */
  chainPem: string;
  privateKeyPem: string;
  x5tS256: string;
  /** Those that the client holds. */
  grantTypes: readonly string[];
  /** A registered one; needed for authorization_code. */
  redirectUri?: string | undefined;
  scope?: string | undefined;
}
export type ProofOutcome =
  /** `expiresInSeconds`: the longest access token life that was answered. */
  | { outcome: 'proved'; expiresInSeconds?: number | undefined }
  /** The server authenticated nobody (JSON `invalid_client`), or bound its token to another certificate. */
  | { outcome: 'refused'; message: string }
  /** Anything that may pass: a TLS alert, a terminator's error page, 5xx. */
  | { outcome: 'notYet'; message: string }
  /** Says nothing about the certificate. */
  | { outcome: 'unreachable'; message: string };

/** Throws only when `signal` aborts or the connection has no endpoints yet. */
export declare function proveCertificate(request: ProofRequest, signal: AbortSignal): Promise<ProofOutcome>;

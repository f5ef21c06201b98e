/** What came of an attempt to prove a certificate. */
export type ProofOutcome =
  /** `expiresInSeconds`: the longest access token life that was answered. `token`: real, unused, and to be revoked. */
  | { outcome: 'proved'; expiresInSeconds?: number | undefined; token?: string | undefined }
  /** The server authenticated nobody (JSON `invalid_client`); or it did, but bound its token to another certificate. */
  | { outcome: 'refused'; message: string; authenticated?: boolean }
  /** Anything that may pass: a TLS alert, a terminator's error page, 5xx. */
  | { outcome: 'notYet'; message: string }
  /** Says nothing about the certificate. `unroutable`: this machine has no way to the address at all. */
  | { outcome: 'unreachable'; message: string; unroutable?: boolean; retryAfterMs?: number | undefined };

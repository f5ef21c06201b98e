/** What came of one call to a terminator. */
export type Outcome =
  /** The handshake was ended by an alert about the client's certificate. */
  | { kind: 'alert' }
  /** @param aboutCertificate the page speaks of a certificate */
  | { kind: 'answer'; status: number; aboutCertificate: boolean }
  /** The connection was ended without an answer that is one, or by an alert that may mean anything. */
  | { kind: 'closed' }
  | { kind: 'unreachable'; why: string };

export type Case =
  /** No certificate. */
  | 'none'
  /** A certificate with the name of a client's, from a CA with the name of a trusted one and another key. */
  | 'foreign'
  /** A certificate of a trusted CA. */
  | 'canary'
  /** No certificate, but headers as a terminator writes them for one. */
  | 'forged'
  /** A session that was begun without a certificate, on this host or on another one. */
  | 'resumed';

export interface Observation {
  case: Case;
  outcome: Outcome;
  /** Name of the issuer whose canary it was. */
  issuer?: string;
}

/** What one address said of one host. */
export interface AddressRound {
  /** `ip:port`. */
  address: string;
  observations: readonly Observation[];
}

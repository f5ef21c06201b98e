import type { IngressModel, KeyPair } from './ingress-model.ts';

/** One request that a terminator answered. Empty strings where a value does not apply. */
export interface AccessLogEntry {
  /** Seconds since the epoch, with milliseconds. */
  time: string;
  host: string;
  sni: string;
  method: string;
  uri: string;
  status: string;
  upstreamStatus: string;
  /** `SUCCESS`, `FAILED:<why>` or `NONE`. */
  verify: string;
  clientSerial: string;
  /** `r` for a resumed TLS session, else `.`. */
  sessionReused: string;
}

export interface TerminatorOptions {
  /** To listen on: a loopback address. */
  address: string;
  httpPort: number;
  httpsPort: number;
  /** Served for hosts without a certificate of their own. */
  fakeCertificate: KeyPair;
  /** The ConfigMap that `proxy-set-headers` names: set on every location; an empty value removes the header. */
  proxySetHeaders?: Readonly<Record<string, string>>;
  /** The ConfigMap's `ssl-reject-handshake`: no handshake without a known SNI. Default true, which is not the product's. */
  rejectHandshake?: boolean;
  /** The ConfigMap's `ssl-session-cache`. Default true. */
  sessionCache?: boolean;
}

/** A configuration, and the files that it names. */
export interface TerminatorFiles {
  text: string;
  /** By name relative to the folder. Named by content: a reload never changes a file under a running worker. */
  files: ReadonlyMap<string, string>;
}

/** A TLS terminator in this machine that serves an IngressModel. */
export interface Terminator {
  /**
   * Serves the model; resolves when no new connection is handled by an older one, with whether anything changed.
   * Rejects, and goes on serving the older one, where the model makes no valid configuration.
   */
  apply(model: IngressModel): Promise<boolean>;
  /** What it runs with, as text. */
  configuration(): string;
  accessLog(): Promise<AccessLogEntry[]>;
  stop(): Promise<void>;
}

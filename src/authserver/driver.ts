import type { DriverCapabilities } from './capabilities.ts';
import type { ServerConnection } from './connection/connection.ts';
import type { ServerCredentials } from './credentials.ts';

/** Client metadata as RFC 7591 §2 and RFC 8705 §2.1.2, §3.4 name it, whatever the server calls it. */
export type ClientMetadata = Record<string, unknown>;

/** What a server answered to a create, read or update (RFC 7591 §3.2.1, RFC 7592 §3). Holds secrets. */
export interface Registration {
  clientId: string;
  /** RFC 7592 §3; absent in an answer means unchanged. */
  registrationClientUri?: string | undefined;
  registrationAccessToken?: string | undefined;
  /** The token that the server took for this answer. */
  acceptedToken?: string | undefined;
  /** Every member of the answer but the registration access token. May hold a client_secret. */
  metadata: ClientMetadata;
}

/** One step's way to a server. */
export interface ServerAccess {
  connection: ServerConnection;
  /** Read when a call needs them. */
  credentials: () => Promise<ServerCredentials>;
  signal: AbortSignal;
}

/** What manages one registration. Holds a secret. */
export interface RegistrationHandle {
  clientId: string;
  registrationClientUri: string | undefined;
  registrationAccessToken: string | undefined;
  /** The server's last answer: a PUT replaces, so its body starts from this (RFC 7592 §2.2). */
  lastAnswer: ClientMetadata;
}

/**
 * Registers clients at one kind of authorization server. Nothing here retries: a lost answer to a create or an update is
 * the caller's to recover, from its stored intent. Errors are OperatorErrors; codes are condition reasons:
 * `RegistrationRefused` (the server said no: its own sanitised reason), `RegistrationUnauthorized` (401, 403),
 * `ServerUnavailable` (no answer or 5xx or 429), `AnswerLost` (the request may have been carried out), `AnswerInvalid`;
 * of servers that are managed with a credential also `ClientIdTaken` and `RegistrationNotFound` (it is gone for sure).
 */
export interface RegistrationDriver {
  readonly capabilities: DriverCapabilities;
  create(access: ServerAccess, metadata: ClientMetadata): Promise<Registration>;
  read(access: ServerAccess, handle: RegistrationHandle): Promise<Registration>;
  update(access: ServerAccess, handle: RegistrationHandle, metadata: ClientMetadata): Promise<Registration>;
  /** Resolves when the server says it is gone. */
  remove(access: ServerAccess, handle: RegistrationHandle): Promise<void>;
  /**
   * Only where a credential manages registrations: asks whether the server lets us manage clients, and changes nothing.
   * Errors are as above: `RegistrationUnauthorized` says what the credential lacks.
   */
  authorize?(access: ServerAccess): Promise<void>;
  /**
   * Only where client ids are ours: the client of that id, whoever's it is (`certbound_owner` of its metadata says that);
   * undefined where there is none.
   */
  find?(access: ServerAccess, clientId: string): Promise<Registration | undefined>;
}

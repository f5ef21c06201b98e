import type { AuthorizationServer, AuthorizationServerStatus } from '../api/authorization-server.ts';

export type ServerEndpoints = NonNullable<AuthorizationServerStatus['endpoints']>;
export type ServerCapabilities = NonNullable<AuthorizationServerStatus['capabilities']>;

/** Values of the Secrets that an AuthorizationServer refers to. */
export interface ServerCredentials {
  /** RFC 7591 §1.2. */
  initialAccessToken?: string | undefined;
}

/** How to talk to one AuthorizationServer. */
export declare class ServerConnection {
  constructor(server: Pick<AuthorizationServer, 'metadata' | 'spec' | 'status'>, credentials?: ServerCredentials);
  /** metadata.name */
  readonly name: string;
  readonly issuer: string;
  /** Undefined before the first discovery. */
  readonly endpoints: ServerEndpoints | undefined;
  readonly initialAccessToken: string | undefined;
  close(): Promise<void>;
}

/** One connection for each AuthorizationServer, replaced when its spec, its endpoints or its credentials change. */
export declare class ServerConnections {
  to(
    server: Pick<AuthorizationServer, 'metadata' | 'spec' | 'status'>,
    credentials?: ServerCredentials,
  ): ServerConnection;
  forget(name: string): void;
  close(): Promise<void>;
}

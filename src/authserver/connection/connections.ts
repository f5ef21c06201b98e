import { isDeepStrictEqual } from 'node:util';
import { type ConnectionOptions, type Server, ServerConnection } from './connection.ts';
import { serverTrust } from './server-trust.ts';
import { rateLimitOf, ServerTraffic, type TrafficOptions } from './traffic.ts';

interface Entry<T> {
  shape: unknown;
  value: T;
}

type Options = Omit<ConnectionOptions, 'traffic'> & Omit<TrafficOptions, 'metrics'>;

/** One connection for each AuthorizationServer, replaced when its spec or its endpoints change. */
export class ServerConnections {
  readonly #connections = new Map<string, Entry<ServerConnection>>();
  readonly #traffic = new Map<string, Entry<ServerTraffic>>();
  readonly #options: Options;

  constructor(options: Options = {}) {
    this.#options = options;
  }

  to(server: Server): ServerConnection {
    const { name } = server.metadata;
    const shape = { way: wayTo(server), endpoints: server.status?.endpoints };
    const entry = this.#connections.get(name);
    if (entry !== undefined && isDeepStrictEqual(entry.shape, shape)) return entry.value;
    this.#end(name);
    const value = this.apart(server);
    this.#connections.set(name, { shape, value });
    return value;
  }

  /** One that is nobody else's, but for what is asked of the server in all; who asks for it closes it. */
  apart(server: Server): ServerConnection {
    return new ServerConnection(server, { ...this.#options, traffic: this.#trafficOf(server) });
  }

  /** Calls in flight end by themselves; each has a deadline. */
  forget(name: string): void {
    this.#end(name);
    this.#traffic.get(name)?.value.close();
    this.#traffic.delete(name);
  }

  async close(): Promise<void> {
    const entries = [...this.#connections.values()];
    this.#connections.clear();
    await Promise.all(entries.map(({ value }) => value.close()));
  }

  #end(name: string): void {
    this.#connections
      .get(name)
      ?.value.close()
      .catch(() => undefined);
    this.#connections.delete(name);
  }

  /** What was found on another way to the server says nothing of this one. */
  #trafficOf(server: Server): ServerTraffic {
    const { metadata, spec } = server;
    const shape = { way: wayTo(server), rateLimit: spec.rateLimit };
    const entry = this.#traffic.get(metadata.name);
    if (entry !== undefined && isDeepStrictEqual(entry.shape, shape)) return entry.value;
    const value = new ServerTraffic(metadata.name, rateLimitOf(spec), this.#options);
    this.#traffic.set(metadata.name, { shape, value });
    return value;
  }
}

/** All that decides about how it is reached. */
function wayTo(server: Server): unknown {
  const { uid } = server.metadata;
  const { issuer, connectTo, proxyURL, proxyCredentialsSecretRef, keycloak } = server.spec;
  return {
    uid,
    issuer,
    connectTo,
    adminURL: keycloak?.adminURL,
    proxyURL,
    proxyCredentialsSecretRef,
    trust: serverTrust(server),
  };
}

import dns from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { createSecureContext, type SecureContext } from 'node:tls';
import { callbackify } from 'node:util';
import { Agent, buildConnector, type Dispatcher } from 'undici';
import type { AuthorizationServer, AuthorizationServerStatus } from '../../api/authorization-server.ts';
import { OperatorError } from '../../errors.ts';
import { orAbort } from '../../runtime/abort.ts';
import { type Fence, open } from '../../runtime/fence.ts';
import type { ServerCallMetrics } from '../../telemetry.ts';
import { type CallOutcome, outcomeOf, type ServerOperation } from './call-outcome.ts';
import { exchange, type ServerAnswer, type ServerRequest, type ServerSilence } from './http.ts';
import type { ProofOutcome } from '../proof/proof-outcome.ts';
import { serverTrust, type ServerTrust } from './server-trust.ts';
import { openTunnel, type Proxy, type ProxyCredentials } from './tunnel.ts';
import { type Hold, type Outage, rateLimitOf, ServerTraffic } from './traffic.ts';

export type ServerEndpoints = NonNullable<AuthorizationServerStatus['endpoints']>;
export type ServerCapabilities = NonNullable<AuthorizationServerStatus['capabilities']>;
export type Server = Pick<AuthorizationServer, 'metadata' | 'spec' | 'status'>;

/** A certificate as a client presents it, ready for any number of connections. */
export type ClientTls = SecureContext;

export interface ConnectionOptions {
  /** Asked before each request. Default: it may be sent. */
  fence?: Fence | undefined;
  metrics?: ServerCallMetrics | undefined;
  /** What others ask of the same server too. Default: nobody else does. */
  traffic?: ServerTraffic | undefined;
  /** Of the proxy in front of the server; asked for each connection. Default: none. */
  proxyCredentials?: ((server: Server) => Promise<ProxyCredentials | undefined>) | undefined;
  /** The server does not let the operator itself manage clients. Default: nobody is told. */
  onUnauthorized?: ((server: Server) => void) | undefined;
}

/** Parts of one server that we hold open at a time; more wait. */
const mostConnections = 8;
const mostAddresses = 16;
const lookupMs = 5_000;

const dial = callbackify(openTunnel);

/**
 * How to talk to one AuthorizationServer: whom to trust, where to connect, what to present. Its sockets are private
 * members, so that no log that prints it shows them.
 */
export class ServerConnection {
  readonly #name: string;
  readonly #issuer: string;
  readonly #endpoints: ServerEndpoints | undefined;
  readonly #adminUrl: string | undefined;
  readonly #trust: ServerTrust;
  readonly #proxy: Proxy | undefined;
  readonly #connectTo: ReadonlyMap<string, readonly string[]>;
  readonly #fence: Fence;
  /** Without a client certificate. To read CAs and keys costs more than a handshake. */
  #anonymous: SecureContext | undefined;
  readonly #metrics: ServerCallMetrics | undefined;
  readonly #traffic: ServerTraffic;
  readonly #unauthorized: () => void;
  #shared: Agent | undefined;
  #closed = false;

  constructor(
    server: Server,
    { fence = open, metrics, traffic, proxyCredentials, onUnauthorized }: ConnectionOptions = {},
  ) {
    const { metadata, spec, status } = server;
    this.#name = metadata.name;
    this.#issuer = spec.issuer;
    this.#endpoints = status?.endpoints;
    this.#trust = serverTrust(server);
    this.#adminUrl = spec.keycloak?.adminURL?.replace(/\/+$/, '');
    this.#connectTo = new Map((spec.connectTo ?? []).map(({ host, addresses }) => [host.toLowerCase(), addresses]));
    this.#proxy =
      spec.proxyURL === undefined
        ? undefined
        : {
            url: new URL(spec.proxyURL),
            caPem: this.#trust.known ? this.#trust.pem : undefined,
            lookup: this.#lookup,
            credentials: () => Promise.resolve(proxyCredentials?.(server)),
          };
    this.#fence = fence;
    this.#metrics = metrics;
    this.#unauthorized = () => onUnauthorized?.(server);
    this.#traffic = traffic ?? new ServerTraffic(metadata.name, rateLimitOf(spec), { metrics });
  }

  /** metadata.name */
  get name(): string {
    return this.#name;
  }
  get issuer(): string {
    return this.#issuer;
  }
  /** Undefined before the first discovery. */
  get endpoints(): ServerEndpoints | undefined {
    return this.#endpoints;
  }

  /** Where the server is administered, where that is not where it is served. */
  get adminUrl(): string | undefined {
    return this.#adminUrl;
  }

  /**
   * Kept alive, for reads only: a write on a connection that the server is just closing looks like a lost answer, so each
   * write has a connection of its own.
   */
  get shared(): Dispatcher {
    this.#fence();
    if (this.#closed) throw new OperatorError('ServerUnavailable', 'The connection to the server was closed.');
    this.#shared ??= this.#agent({ connections: mostConnections });
    return this.#shared;
  }

  /**
   * Reads a certificate for {@link withFresh}. Sessions are not shared by what shares it: no connection keeps one.
   * @param chainPem leaf first
   */
  clientTls(chainPem: string, privateKeyPem: string): ClientTls {
    return this.#secureContext({ cert: chainPem, key: privateKeyPem });
  }

  /**
   * Runs `work` with a dispatcher that opens a new TLS connection for its first request: no session cache, since a resumed
   * session keeps the identity it was opened with. What follows in `work` goes over the same connection where the server
   * keeps it.
   *
   * @param options.certificate what to present; nothing by default
   * @param options.address the IP address to connect to, whatever host is asked for
   */
  async withFresh<T>(
    options: { certificate?: ClientTls | undefined; address?: string | undefined },
    work: (dispatcher: Dispatcher) => Promise<T>,
  ): Promise<T> {
    this.#fence();
    const agent = this.#agent({ connections: 1, ...options });
    try {
      return await work(agent);
    } finally {
      agent.destroy().catch(() => undefined);
    }
  }

  /**
   * One request over a dispatcher of this connection: the only way out to a server, paced and counted.
   * @throws {OperatorError} `Cancelled` when `signal` aborts; what the fence throws
   */
  async send(
    operation: ServerOperation,
    request: ServerRequest,
    signal: AbortSignal,
  ): Promise<ServerAnswer | ServerSilence> {
    const withheld = await this.#traffic.admit(request.url, signal);
    if (withheld !== undefined) return withheld;
    const started = performance.now();
    let outcome: CallOutcome = 'cancelled';
    let answer: ServerAnswer | ServerSilence | undefined;
    try {
      // It may have waited for long.
      this.#fence();
      answer = await exchange(request, signal);
      outcome = outcomeOf(answer);
      return answer;
    } finally {
      this.#traffic.ended(request.url, operation, answer);
      this.#metrics?.call(this.#name, operation, outcome, (performance.now() - started) / 1000);
    }
  }

  /** Whether what is to be asked there would not be sent, until when and why. See {@link ServerTraffic.hold}. */
  hold(url: string, key?: string): Hold | undefined {
    return this.#traffic.hold(url, key);
  }

  /** Of each of its origins that does not answer. */
  outages(): Outage[] {
    return this.#traffic.outages();
  }

  /** What came of a certificate that was tried here. */
  tried({ outcome }: ProofOutcome): void {
    this.#metrics?.proof(this.#name, outcome);
  }

  /** Who manages clients here was refused: not a client, but the operator. */
  unauthorized(): void {
    this.#unauthorized();
  }

  /** Members that somebody else changed of a registration here. */
  restored(members: readonly string[]): void {
    for (const member of members) this.#metrics?.restored(this.#name, member);
  }

  /**
   * Every address of a URL's host: from `connectTo`, else from DNS within five seconds; at most 16. Through a proxy its name
   * alone, for the proxy resolves it.
   * @throws the lookup's error; an abort's reason, or a TimeoutError
   */
  async addressesOf(url: string, signal: AbortSignal): Promise<readonly string[]> {
    const host = new URL(url).hostname.replace(/^\[(.*)\]$/, '$1');
    if (isIP(host) !== 0) return [host];
    const pinned = this.#connectTo.get(host);
    if (pinned !== undefined && pinned.length > 0) return pinned;
    if (this.#proxy !== undefined) return [host];
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(lookupMs)]);
    const answers = await orAbort(dns.promises.lookup(host, { all: true, order: 'verbatim' }), deadline);
    return [...new Set(answers.map(({ address }) => address))].slice(0, mostAddresses);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#shared?.close();
  }

  #agent({
    certificate,
    address,
    connections,
  }: {
    certificate?: ClientTls | undefined;
    address?: string | undefined;
    connections: number;
  }): Agent {
    const connect = {
      // Said aloud: NODE_TLS_REJECT_UNAUTHORIZED=0 in the environment changes the default.
      rejectUnauthorized: true,
      allowH2: false,
      maxCachedSessions: 0,
      secureContext: certificate ?? (this.#anonymous ??= this.#secureContext({})),
    };
    return new Agent({
      connections,
      allowH2: false,
      // The caller's deadline is the only clock.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect:
        this.#proxy === undefined
          ? { ...connect, lookup: address === undefined ? this.#lookup : always([address]) }
          : this.#through(this.#proxy, address, buildConnector(connect)),
    });
  }

  /** TLS inside the tunnel is as without it: with the server, whatever the proxy is. */
  #through(proxy: Proxy, address: string | undefined, connect: buildConnector.connector): buildConnector.connector {
    return (options, callback) => {
      const { hostname } = options;
      const host = address ?? this.#connectTo.get(hostname.toLowerCase())?.[0] ?? hostname;
      dial(proxy, host, Number(options.port || 443), (error, httpSocket) => {
        if (error === null) connect({ ...options, httpSocket }, callback);
        else callback(error, null);
      });
    };
  }

  #secureContext(own: { cert?: string; key?: string }): SecureContext {
    if (!this.#trust.known) {
      // Not the system's CAs instead: they may vouch for whom the platform does not trust.
      throw new OperatorError('ServerUnavailable', 'The CAs to trust at the authorization server were not read yet.');
    }
    const { pem } = this.#trust;
    return createSecureContext({ minVersion: 'TLSv1.2', ...(pem === undefined ? {} : { ca: pem }), ...own });
  }

  /** TLS and the Host header keep the real host name: only the address is another. */
  readonly #lookup: LookupFunction = (hostname, options, callback) => {
    const addresses = this.#connectTo.get(hostname.toLowerCase());
    if (addresses === undefined || addresses.length === 0) dns.lookup(hostname, options, callback);
    else always(addresses)(hostname, options, callback);
  };
}

function always(addresses: readonly string[]): LookupFunction {
  return (hostname, options, callback) => {
    const found = addresses.map((address) => ({ address, family: isIP(address) })).filter(({ family }) => family !== 0);
    const [first] = found;
    // Later, as a real lookup answers: net.connect() fails at once where there is no route, and a socket that fails before
    // its listeners are attached ends the process.
    setImmediate(() => {
      if (first === undefined) callback(new Error(`no usable address for ${hostname}`), '', 0);
      else if (options.all === true) callback(null, found);
      else callback(null, first.address, first.family);
    });
  };
}

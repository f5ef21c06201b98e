/**
 * Stands before the real API server and passes everything on as it is, except for what it is told to do wrong. TLS ends here, with
 * a certificate of its own; HTTP/2 as the API server offers it; the bearer token and the user agent go through, so that
 * the audit log still tells who asked.
 */
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { createSecureServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { Agent, request as httpsRequest } from 'node:https';
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { isKubernetesObject } from '../../src/kube/resource.ts';
import { statusOf, type ApiFault } from './api-fault.ts';
import { apiRequestOf, type ApiRequest } from './api-request.ts';
import { listen, type Listening } from './listen.ts';
import { OpenWatch } from './open-watch.ts';
import type { KeyPairPem } from './throwaway-ca.ts';

export interface Injection {
  /** Requests, open watches or events that met it. */
  readonly hits: number;
  /** Requests that the API server has carried out, and whose senders are there and wait for the answer. */
  readonly unanswered: number;
  end(): void;
}

export interface FaultProxyOptions {
  /** The real API server: https://127.0.0.1:port */
  target: string;
  targetCaPem: string;
  certificate: KeyPairPem;
}

/** Its name is also known on create. */
export interface ProxiedRequest extends ApiRequest {
  /** Epoch milliseconds. */
  at: number;
}

/** Who is let in by a client certificate, as an authenticating proxy does it: the API server sees the token's owner. */
export interface CertificateLogin {
  caPem: string;
  token: string;
}

export interface FaultProxy {
  /** https://127.0.0.1:port */
  readonly url: string;
  /** What arrived here, in order, whatever became of it. */
  requests(): readonly ProxiedRequest[];
  /** From now on, also for watches that are open. @param times of hits, after which it ends by itself */
  inject(when: (request: ApiRequest) => boolean, fault: ApiFault, times?: number): Injection;
  /** All of them. */
  endInjections(): void;
  /** Ends watches as an API server does after their time. */
  endWatches(): void;
  /** The connections that are there go dead: they stay open, and nothing passes any more, in either direction. */
  freezeConnections(): number;
  /** RST, for those that are there. */
  resetConnections(): void;
  /** Another certificate for connections from now on. */
  present(certificate: KeyPairPem): void;
  login(by: CertificateLogin | undefined): void;
  stop(): Promise<void>;
}

const WATCH_FAULTS: readonly ApiFault['kind'][] = ['reset', 'silence', 'expire'];
/** Of a connection, not of a message (RFC 9113 §8.2.2). */
const CONNECTION_HEADERS = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'proxy-connection', 'host'];

function passedOn(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const kept = Object.entries(headers).filter(([name]) => !name.startsWith(':') && !CONNECTION_HEADERS.includes(name));
  return Object.fromEntries(kept.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

/** As the API server would see it that has not heard of anything since. */
function pathFrom(url: string, asked: ApiRequest, fault: ApiFault | undefined): string {
  if (fault?.kind !== 'behind') return url;
  const { pathname, searchParams } = new URL(url, 'https://api');
  if (searchParams.has('continue')) return url;
  searchParams.set('resourceVersion', fault.resourceVersion);
  if (asked.verb === 'list') searchParams.set('resourceVersionMatch', 'Exact');
  return `${pathname}?${searchParams.toString()}`;
}

class Rule implements Injection {
  readonly when: (request: ApiRequest) => boolean;
  readonly fault: ApiFault;
  hits = 0;
  unanswered = 0;
  #left: number;

  constructor(when: (request: ApiRequest) => boolean, fault: ApiFault, times: number) {
    this.when = when;
    this.fault = fault;
    this.#left = times;
  }

  concerns(request: ApiRequest): boolean {
    return this.#left > 0 && this.when(request);
  }

  /** Until the sender gives up, or dies. */
  keep(response: Http2ServerResponse): void {
    this.unanswered += 1;
    response.once('close', () => (this.unanswered -= 1));
  }

  hit(): void {
    this.hits += 1;
    this.#left -= 1;
  }

  end(): void {
    this.#left = 0;
  }
}

class Proxy {
  readonly #options: FaultProxyOptions;
  readonly #upstream: Agent;
  readonly #server;
  readonly #rules = new Set<Rule>();
  readonly #watches = new Set<OpenWatch>();
  readonly #requests: ProxiedRequest[] = [];
  /** The operator's side of each connection, by the port from which it is passed on to our TLS server. */
  readonly #connections = new Map<number, { client: Socket; inner: Socket; frozen: boolean }>();
  readonly #sockets = new Set<Socket>();
  #login: CertificateLogin | undefined;
  #front: Listening | undefined;
  #back: Listening | undefined;

  constructor(options: FaultProxyOptions) {
    this.#options = options;
    this.#upstream = new Agent({ keepAlive: true, maxSockets: Infinity, ca: options.targetCaPem });
    const { certPem: cert, keyPem: key } = options.certificate;
    this.#server = createSecureServer(
      { cert, key, allowHTTP1: true, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        this.#serve(request, response).catch(() => this.#reset(request));
      },
    );
    this.#server.on('sessionError', () => undefined);
    this.#server.on('tlsClientError', () => undefined);
  }

  async start(): Promise<FaultProxy> {
    this.#back = await listen(this.#server);
    this.#front = await listen(createServer((client) => this.#relay(client)));
    return {
      url: `https://127.0.0.1:${this.#front.port}`,
      requests: () => this.#requests,
      inject: (when, fault, times = Infinity) => this.#inject(new Rule(when, fault, times)),
      endInjections: () => this.#rules.clear(),
      endWatches: () => this.#watches.forEach((watch) => watch.end()),
      freezeConnections: () => this.#freeze(),
      resetConnections: () => this.#connections.forEach(({ client }) => client.resetAndDestroy()),
      present: ({ certPem: cert, keyPem: key }) => this.#server.setSecureContext({ cert, key }),
      login: (by) => {
        this.#login = by;
      },
      stop: () => this.#stop(),
    };
  }

  /** Bytes, before TLS: what goes dead here is dead for every layer above. */
  #relay(client: Socket): void {
    const inner = connect(this.#back?.port ?? 0, '127.0.0.1');
    const connection = { client, inner, frozen: false };
    inner.once('connect', () => this.#connections.set(inner.localPort ?? 0, connection));
    const pass = (from: Socket, to: Socket) => {
      this.#sockets.add(from);
      from.on('data', (data) => {
        if (!connection.frozen) to.write(data);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        if (from === client || !connection.frozen) to.destroy();
        if (from === inner) this.#connections.delete(inner.localPort ?? 0);
      });
    };
    pass(client, inner);
    pass(inner, client);
  }

  #freeze(): number {
    const connections = [...this.#connections.values()].filter(({ frozen }) => !frozen);
    for (const connection of connections) connection.frozen = true;
    return connections.length;
  }

  #reset({ socket }: Http2ServerRequest): void {
    this.#connections.get(socket.remotePort ?? 0)?.client.resetAndDestroy();
  }

  #inject(rule: Rule): Injection {
    this.#rules.add(rule);
    if (!WATCH_FAULTS.includes(rule.fault.kind)) return rule;
    for (const watch of this.#watches) {
      if (!rule.concerns(watch.asked)) continue;
      rule.hit();
      watch.suffer(rule.fault);
    }
    return rule;
  }

  #ruleFor(asked: ApiRequest, kinds: (kind: ApiFault['kind']) => boolean): Rule | undefined {
    for (const rule of this.#rules) {
      if (!kinds(rule.fault.kind) || !rule.concerns(asked)) continue;
      rule.hit();
      return rule;
    }
    return undefined;
  }

  async #serve(request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> {
    const at = Date.now();
    const { asked, sent } = await whole(request);
    this.#requests.push({ ...asked, at });
    const rule = this.#ruleFor(asked, (kind) => kind !== 'delay');
    const fault = rule?.fault;
    if (fault?.kind === 'answer') return refuse(response, fault.status, fault.reason, fault.headers);
    if (fault?.kind === 'reset' && fault.when === 'before') return this.#reset(request);
    if (fault?.kind === 'silence' && fault.when === 'before') return;
    const headers = this.#authenticated(request);
    if (headers === undefined) return refuse(response, 401, 'Unauthorized');
    const path = pathFrom(request.url, asked, fault);
    const answer = await this.#ask(request, path, headers, sent);
    if (asked.verb === 'watch' && answer.statusCode === 200)
      return this.#watch(request, response, asked, answer, fault);
    await this.#answer(request, response, answer, rule);
  }

  async #answer(
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    answer: IncomingMessage,
    rule: Rule | undefined,
  ): Promise<void> {
    const body = await read(answer);
    const fault = rule?.fault;
    if (fault?.kind === 'reset') return this.#reset(request);
    if (fault?.kind === 'silence') return rule?.keep(response);
    const { 'content-length': _length, ...others } = passedOn(answer.headers);
    response.writeHead(answer.statusCode ?? 502, others);
    response.end(fault?.kind === 'truncate' ? body.subarray(0, body.length / 2) : body);
  }

  #ask(
    request: Http2ServerRequest,
    path: string,
    headers: Record<string, string | string[]>,
    sent: Buffer,
  ): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const url = new URL(path, this.#options.target);
    const asking = httpsRequest(url, { agent: this.#upstream, method: request.method, headers }, resolve);
    asking.on('error', reject);
    // Who has gone is not answered; the API server acts all the same.
    request.on('aborted', () => request.method === 'GET' && asking.destroy());
    asking.end(sent);
    return promise;
  }

  #watch(
    request: Http2ServerRequest,
    response: Http2ServerResponse,
    asked: ApiRequest,
    answer: IncomingMessage,
    fault: ApiFault | undefined,
  ): void {
    const watch = new OpenWatch(asked, response, () => this.#reset(request));
    this.#watches.add(watch);
    response.on('close', () => {
      this.#watches.delete(watch);
      answer.destroy();
    });
    response.on('error', () => undefined);
    response.writeHead(200, passedOn(answer.headers));
    if (fault !== undefined) watch.suffer(fault);
    let rest = '';
    answer.setEncoding('utf8');
    answer.on('data', (text: string) => {
      const lines = `${rest}${text}`.split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const late = this.#ruleFor(asked, (kind) => kind === 'delay')?.fault;
        watch.send(line, late?.kind === 'delay' ? late.milliseconds : 0);
      }
    });
    answer.on('end', () => watch.end());
    answer.on('error', () => response.destroyed || this.#reset(request));
  }

  /** Undefined: by nobody's name. */
  #authenticated(request: Http2ServerRequest): Record<string, string | string[]> | undefined {
    const headers = passedOn(request.headers);
    const login = this.#login;
    if (login === undefined || headers['authorization'] !== undefined) return headers;
    const { socket } = request;
    const presented = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
    const ca = new X509Certificate(login.caPem);
    const valid = presented !== undefined && presented.verify(ca.publicKey) && presented.validToDate > new Date();
    return valid ? { ...headers, authorization: `Bearer ${login.token}` } : undefined;
  }

  async #stop(): Promise<void> {
    // Those that went dead too: nobody else ends them.
    for (const socket of this.#sockets) socket.destroy();
    this.#upstream.destroy();
    await this.#front?.stop();
    await this.#back?.stop();
  }
}

function refuse(response: Http2ServerResponse, status: number, reason: string, headers = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(statusOf(status, reason));
}

async function read(message: IncomingMessage | Http2ServerRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  message.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(message, 'end');
  return Buffer.concat(chunks);
}

/** With what it sends; what it creates is named there. */
async function whole(request: Http2ServerRequest): Promise<{ asked: ApiRequest; sent: Buffer }> {
  const asked = apiRequestOf(request.method, request.url);
  const sent = request.method === 'GET' ? Buffer.alloc(0) : await read(request);
  if (asked.verb !== 'create') return { asked, sent };
  const object: unknown = JSON.parse(sent.toString());
  return { asked: isKubernetesObject(object) ? { ...asked, name: object.metadata.name } : asked, sent };
}

export function startFaultProxy(options: FaultProxyOptions): Promise<FaultProxy> {
  return new Proxy(options).start();
}

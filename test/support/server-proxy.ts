/**
 * Stands before the terminator of an authorization server, on another loopback address and the same port, and passes
 * everything on as it is, except for what it is told to do wrong. TLS ends here, with a certificate of its own, so that what
 * it does to an answer is what the operator's connection sees.
 */
import { createServer, Agent, request as httpsRequest } from 'node:https';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { listen, type Listening } from './listen.ts';
import type { KeyPairPem } from './throwaway-ca.ts';

export interface ServerRequest {
  method: string;
  path: string;
}

/**
 * - `answer`: in the server's place, which never hears of the request; made anew for each.
 * - `reset`: the connection, when the server has acted.
 * - `headers`: status and headers of the answer, and then neither body nor end.
 * - `truncate`: the first half of the answer's body, as if it were whole.
 * - `replace`: the server has acted, and something else is answered.
 * - `delay`: the request is passed on so much later.
 */
export type ServerFault =
  | { kind: 'answer' | 'replace'; with: (request: ServerRequest) => ServerAnswer }
  | { kind: 'reset' | 'headers' | 'truncate' }
  | { kind: 'delay'; milliseconds: number };

export interface ServerAnswer {
  status: number;
  body: string;
  headers?: Readonly<Record<string, string>>;
}

export interface ServerInjection {
  /** Requests that met it. */
  readonly hits: number;
  end(): void;
}

export interface ServerProxy {
  /** What arrived here, in order. */
  requests(): readonly ServerRequest[];
  /** @param times of hits, after which it ends by itself */
  inject(when: (request: ServerRequest) => boolean, fault: ServerFault, times?: number): ServerInjection;
  endInjections(): void;
  /** From now on connections are refused, and those that are there are reset. */
  close(): Promise<void>;
  /** Ends that. */
  open(): Promise<void>;
  stop(): Promise<void>;
}

export interface ServerProxyOptions {
  /** Where it listens. */
  address: string;
  port: number;
  certificate: KeyPairPem;
  /** The terminator, on the same port. */
  target: string;
  targetCaPem: string;
}

class Rule implements ServerInjection {
  readonly when: (request: ServerRequest) => boolean;
  readonly fault: ServerFault;
  hits = 0;
  #left: number;

  constructor(when: (request: ServerRequest) => boolean, fault: ServerFault, times: number) {
    this.when = when;
    this.fault = fault;
    this.#left = times;
  }

  meets(request: ServerRequest): boolean {
    if (this.#left <= 0 || !this.when(request)) return false;
    this.hits += 1;
    this.#left -= 1;
    return true;
  }

  end(): void {
    this.#left = 0;
  }
}

class Proxy implements ServerProxy {
  readonly #options: ServerProxyOptions;
  readonly #upstream: Agent;
  readonly #rules = new Set<Rule>();
  readonly #requests: ServerRequest[] = [];
  /** Below TLS, by the port from which they come. */
  readonly #sockets = new Map<number, Socket>();
  #listening: Listening | undefined;

  constructor(options: ServerProxyOptions) {
    this.#options = options;
    this.#upstream = new Agent({
      ca: options.targetCaPem,
      lookup: (_hostname, _options, callback) => callback(null, [{ address: options.target, family: 4 }]),
    });
  }

  requests(): readonly ServerRequest[] {
    return this.#requests;
  }

  inject(when: (request: ServerRequest) => boolean, fault: ServerFault, times = Infinity): ServerInjection {
    const rule = new Rule(when, fault, times);
    this.#rules.add(rule);
    return rule;
  }

  endInjections(): void {
    this.#rules.clear();
  }

  async open(): Promise<void> {
    const { certPem: cert, keyPem: key } = this.#options.certificate;
    const server = createServer({ cert, key }, (request, response) => {
      this.#serve(request, response).catch(() => this.#reset(request));
    });
    server.on('connection', (socket: Socket) => {
      const port = socket.remotePort ?? 0;
      this.#sockets.set(port, socket);
      socket.once('close', () => this.#sockets.delete(port));
    });
    server.on('tlsClientError', () => undefined);
    this.#listening = await listen(server, this.#options.port, this.#options.address);
  }

  async close(): Promise<void> {
    await this.#listening?.stop();
    this.#listening = undefined;
  }

  async stop(): Promise<void> {
    this.#upstream.destroy();
    await this.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = { method: request.method ?? '', path: request.url ?? '' };
    this.#requests.push(asked);
    const sent = await read(request);
    const fault = [...this.#rules].find((rule) => rule.meets(asked))?.fault;
    if (fault?.kind === 'answer') return send(response, fault.with(asked));
    if (fault?.kind === 'delay') await sleep(fault.milliseconds);
    const answer = await this.#ask(request, sent);
    const body = await read(answer);
    if (fault?.kind === 'reset') return this.#reset(request);
    if (fault?.kind === 'replace') return send(response, fault.with(asked));
    const {
      'content-length': _length,
      'transfer-encoding': _encoding,
      connection: _connection,
      ...headers
    } = answer.headers;
    const length = fault?.kind === 'headers' ? Math.max(1, body.length) : undefined;
    response.writeHead(
      answer.statusCode ?? 502,
      length === undefined ? headers : { ...headers, 'content-length': length },
    );
    if (fault?.kind === 'headers') return response.flushHeaders();
    response.end(fault?.kind === 'truncate' ? body.subarray(0, body.length / 2) : body);
  }

  /** RST: not by the TLS layer, which knows no such thing. */
  #reset({ socket }: IncomingMessage): void {
    this.#sockets.get(socket.remotePort ?? 0)?.resetAndDestroy();
  }

  #ask(request: IncomingMessage, sent: Buffer): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const { connection: _connection, 'transfer-encoding': _encoding, ...headers } = request.headers;
    const host = request.headers.host ?? '';
    const outgoing: OutgoingHttpHeaders = { ...headers, 'content-length': sent.length };
    const asking = httpsRequest(
      new URL(request.url ?? '/', `https://${host}`),
      { agent: this.#upstream, method: request.method, headers: outgoing },
      resolve,
    );
    asking.on('error', reject);
    asking.end(sent);
    return promise;
  }
}

function send(response: ServerResponse, { status, body, headers = {} }: ServerAnswer): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(body);
}

async function read(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  message.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(message, 'end');
  return Buffer.concat(chunks);
}

export async function startServerProxy(options: ServerProxyOptions): Promise<ServerProxy> {
  const proxy = new Proxy(options);
  await proxy.open();
  return proxy;
}

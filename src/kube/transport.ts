import { isDeepStrictEqual } from 'node:util';
import { Agent, buildConnector, type Dispatcher, ProxyAgent, request } from 'undici';
import { OperatorError } from '../errors.ts';
import { orAbort } from '../runtime/abort.ts';
import type { Fence } from '../runtime/fence.ts';
import type { Metrics } from '../telemetry.ts';
import type { Credentials } from './credentials.ts';
import { endWhenDead, pingMs } from './dead-connection.ts';
import { errorFromStatus, KubeError } from './kube-error.ts';

export interface CredentialProvider {
  current(): Promise<Credentials>;
  reload(): boolean;
}

export interface Call {
  /** What is being done, for messages: `update secrets payments/batch`. */
  action: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  path: string;
  query?: Readonly<Record<string, string | number | boolean | undefined>>;
  body?: unknown;
  contentType?: string;
}

export interface TransportOptions {
  credentials: CredentialProvider;
  userAgent: string;
  metrics?: Metrics | undefined;
  /** Asked before each write. */
  fence?: Fence | undefined;
}

type Purpose = 'calls' | 'watches';

interface Pool {
  credentials: Credentials;
  dispatcher: Dispatcher;
}

/** A connection that let a deadline pass may be dead (a peer that vanished behind a NAT): it is replaced, this often at most. */
const replacePauseMs = 2_000;

/**
 * JSON over HTTP/2 to the API server. client-node's own way opens a connection per call (249 creates/s instead of 900)
 * and puts bodies and headers into its errors.
 *
 * Watches have connections of their own: HTTP/2 flow control is shared by all streams of a connection, and a slow
 * reader of large events would hold up every call.
 */
export class Transport {
  readonly #options: TransportOptions;
  readonly #pools = new Map<Purpose, Pool>();
  readonly #replacedAt = new Map<Purpose, number>();
  #closed = false;

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** @returns the parsed body of a 2xx answer. @throws KubeError */
  async call(call: Call, options: { signal?: AbortSignal | undefined; deadlineMs: number }): Promise<unknown> {
    const deadline = startDeadline(options.deadlineMs, options.signal);
    try {
      let answer = await this.#send('calls', call, deadline.signal);
      // A 401 was not acted upon: after a token's rotation the call may be sent again, once.
      if (answer.statusCode === 401 && this.#options.credentials.reload()) {
        await answer.body.dump();
        answer = await this.#send('calls', call, deadline.signal);
      }
      const text = await answer.body.text();
      return readAnswer(call, answer, text);
    } catch (error) {
      if (deadline.expired()) this.#replace('calls');
      throw this.#explain(error, call, deadline.expired(), options);
    } finally {
      deadline.clear();
    }
  }

  /** @returns the body of a 200 as it arrives; `answerMs` bounds the time until then only. @throws KubeError */
  async stream(
    call: Call,
    options: { signal: AbortSignal; answerMs: number },
  ): Promise<Dispatcher.ResponseData['body']> {
    const deadline = startDeadline(options.answerMs, options.signal);
    try {
      // The body outlives this function, so the caller's signal goes along with the deadline's.
      const answer = await this.#send('watches', call, deadline.signal);
      if (answer.statusCode !== 200) {
        if (answer.statusCode === 401) this.#options.credentials.reload();
        readAnswer(call, answer, await answer.body.text());
        throw new KubeError(`The Kubernetes API server answered ${call.action} with ${answer.statusCode}.`, {
          status: answer.statusCode,
          reason: 'Unknown',
        });
      }
      deadline.disarm();
      answer.body.once('close', () => deadline.clear());
      return answer.body;
    } catch (error) {
      const expired = deadline.expired();
      deadline.clear();
      if (expired) this.#replace('watches');
      throw this.#explain(error, call, expired, { signal: options.signal, deadlineMs: options.answerMs });
    }
  }

  /** A watch fell silent: its connection may be dead without either side knowing. */
  suspectWatchConnection(): void {
    this.#replace('watches');
  }

  async close(): Promise<void> {
    this.#closed = true;
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map(({ dispatcher }) => dispatcher.destroy()));
  }

  async #send(purpose: Purpose, call: Call, signal: AbortSignal): Promise<Dispatcher.ResponseData> {
    const credentials = await orAbort(this.#options.credentials.current(), signal);
    const url = new URL(`${credentials.server}${call.path}`);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    // What is outdated is refused for its resourceVersion; a POST has none.
    if (call.method !== 'GET') this.#options.fence?.();
    try {
      const answer = await request(url, {
        dispatcher: this.#dispatcher(purpose, credentials),
        method: call.method,
        headers: {
          ...credentials.headers,
          accept: 'application/json',
          'user-agent': this.#options.userAgent,
          ...(call.body === undefined ? {} : { 'content-type': call.contentType ?? 'application/json' }),
        },
        body: call.body === undefined ? null : JSON.stringify(call.body),
        signal,
        // Ours is the only clock: undici's would end a quiet watch.
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      this.#options.metrics?.requests.request(call.method, url.host, String(answer.statusCode));
      // A client that closes destroys bodies that nobody reads yet; without a listener that would end the process.
      answer.body.on('error', () => undefined);
      return answer;
    } catch (error) {
      this.#options.metrics?.requests.request(call.method, url.host, '<error>');
      throw error;
    }
  }

  /** One pool a purpose for as long as the TLS material stays the same; tokens change without a new connection. */
  #dispatcher(purpose: Purpose, credentials: Credentials): Dispatcher {
    if (this.#closed) throw new KubeError('The Kubernetes client is closed.', { status: 0, reason: 'Cancelled' });
    const pool = this.#pools.get(purpose);
    if (pool !== undefined && sameConnection(pool.credentials, credentials)) {
      pool.credentials = credentials;
      return pool.dispatcher;
    }
    const dispatcher = openPool(credentials);
    this.#pools.set(purpose, { credentials, dispatcher });
    if (pool !== undefined) retire(pool.dispatcher);
    return dispatcher;
  }

  #replace(purpose: Purpose): void {
    const pool = this.#pools.get(purpose);
    const now = performance.now();
    if (pool === undefined || now - (this.#replacedAt.get(purpose) ?? -replacePauseMs) < replacePauseMs) return;
    this.#replacedAt.set(purpose, now);
    this.#pools.delete(purpose);
    retire(pool.dispatcher);
  }

  #explain(
    error: unknown,
    { action }: Call,
    expired: boolean,
    { signal, deadlineMs }: { signal?: AbortSignal | undefined; deadlineMs: number },
  ): unknown {
    if (error instanceof OperatorError) return error;
    if (signal?.aborted === true) {
      return new KubeError(`The call to ${action} was cancelled.`, { status: 0, reason: 'Cancelled' });
    }
    if (expired) {
      return new KubeError(
        `The Kubernetes API server did not answer within ${deadlineMs / 1000} s when asked to ${action}. It is retried.`,
        { status: 0, reason: 'Timeout' },
      );
    }
    // A failed handshake may mean a rotated CA or client certificate.
    this.#options.credentials.reload();
    return new KubeError(`The Kubernetes API server cannot be reached to ${action}. It is retried.`, {
      status: 0,
      reason: 'Unavailable',
      cause: error,
    });
  }
}

function readAnswer(call: Call, answer: Dispatcher.ResponseData, text: string): unknown {
  const body = parseJson(text);
  const { statusCode } = answer;
  if (statusCode < 200 || statusCode > 299) {
    const retryAfter = answer.headers['retry-after'];
    throw errorFromStatus(call.action, body, {
      status: statusCode,
      retryAfter: typeof retryAfter === 'string' ? retryAfter : undefined,
    });
  }
  if (body === undefined) {
    throw new KubeError(`The Kubernetes API server's answer to ${call.action} is not JSON.`, {
      status: statusCode,
      reason: 'NotJSON',
    });
  }
  return body;
}

/** Undefined for what is no JSON: SyntaxError's message quotes the text, which may be a Secret. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function sameConnection(a: Credentials, b: Credentials): boolean {
  return a === b || (a.server === b.server && a.proxyUrl === b.proxyUrl && isDeepStrictEqual(a.tls, b.tls));
}

function openPool({ tls, proxyUrl }: Credentials): Dispatcher {
  // 30 s as client-go: load balancers drop a connection that has been quiet for a minute.
  const connect = { ...tls, keepAlive: true, keepAliveInitialDelay: 30_000 };
  const options = {
    allowH2: true,
    connectTimeout: 10_000,
    keepAliveTimeout: 90_000,
    h2Options: { pingInterval: pingMs },
  };
  if (proxyUrl !== undefined) return new ProxyAgent({ ...options, uri: proxyUrl, requestTls: connect });
  const open = buildConnector({ ...connect, allowH2: true, timeout: options.connectTimeout });
  return new Agent({
    ...options,
    connect: (target, opened) =>
      open(target, (...result) => {
        if (result[1] !== null) endWhenDead(result[1]);
        opened(...result);
      }),
  });
}

/** Calls in flight finish on their old connection; each has its own deadline. */
function retire(dispatcher: Dispatcher): void {
  dispatcher.close().catch(() => undefined);
}

interface Deadline {
  readonly signal: AbortSignal;
  expired(): boolean;
  /** Ends the time limit; the caller's signal stays connected. */
  disarm(): void;
  clear(): void;
}

/** Own timer and listener rather than AbortSignal.any: both are gone with the call, however long the parent lives. */
function startDeadline(milliseconds: number, parent: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  let expired = false;
  const timer = setTimeout(
    () => {
      expired = true;
      controller.abort();
    },
    Math.min(Math.max(1, milliseconds), 2 ** 31 - 1),
  );
  const abort = (): void => controller.abort();
  if (parent?.aborted === true) abort();
  else parent?.addEventListener('abort', abort, { once: true });
  const disarm = (): void => clearTimeout(timer);
  return {
    signal: controller.signal,
    expired: () => expired,
    disarm,
    clear: () => {
      disarm();
      parent?.removeEventListener('abort', abort);
    },
  };
}

import type { Dispatcher } from 'undici';
import { OperatorError } from '../../errors.ts';
import { parseJson } from './json.ts';
import { TunnelError } from './tunnel.ts';
import { untrusted } from './untrusted.ts';

/** From the first packet to the last byte of the body. */
const DEADLINE_MS = 10_000;
const largestBody = 1024 * 1024;

export interface ServerRequest {
  dispatcher: Dispatcher;
  method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  url: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  /** Milliseconds; default 10,000. */
  deadlineMs?: number | undefined;
}

export interface ServerAnswer {
  kind: 'answer';
  status: number;
  /** Undefined where the body is no JSON, whatever its content type says. */
  json: unknown;
  /** It has no body. */
  empty: boolean;
  /** For 3xx: the origin of Location, which is not followed. Its path and query may carry anything. */
  redirectedTo: string | undefined;
  /** Milliseconds, from Retry-After. */
  retryAfterMs: number | undefined;
}

/** No whole answer came. */
export interface ServerSilence {
  kind: 'silence';
  /** False: nothing was sent, so nothing was carried out. */
  sent: boolean;
  /**
   * `tls`: the peer or we ended the handshake; `untrusted`: we don't trust its certificate; `size`: over 1 MiB; `withheld`: it
   * was not sent, for the server does not answer or too much is asked of it.
   */
  why: 'unresolved' | 'unroutable' | 'unconnected' | 'untrusted' | 'tls' | 'deadline' | 'size' | 'broken' | 'withheld';
  /** A clause for messages, without secrets: `it did not answer within 10 s`. */
  clause: string;
  /** Milliseconds, where it is known when to ask again. */
  retryAfterMs?: number | undefined;
}

/**
 * One request to a server that may be hostile: a deadline over everything, at most 1 MiB of body, no redirect followed.
 * Never retries.
 * @throws {OperatorError} `Cancelled` when `signal` aborts; nothing else
 */
export function exchange(request: ServerRequest, signal: AbortSignal): Promise<ServerAnswer | ServerSilence> {
  const { dispatcher, method, headers, body } = request;
  const url = new URL(request.url);
  const deadlineMs = Math.min(request.deadlineMs ?? DEADLINE_MS, 2 ** 31 - 1);
  return new Promise((resolve, reject) => {
    let controller: Dispatcher.DispatchController | undefined;
    let status = 0;
    let location: unknown;
    let retryAfter: unknown;
    let size = 0;
    const chunks: Buffer[] = [];
    let over = false;

    const end = (settle: () => void): void => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      signal.removeEventListener('abort', cancel);
      settle();
    };
    const giveUp = (why: ServerSilence['why'], clause: string): void =>
      end(() => {
        resolve({ kind: 'silence', sent: controller !== undefined, why, clause });
        controller?.abort(new Error(clause));
      });
    const cancel = (): void =>
      end(() => {
        reject(new OperatorError('Cancelled', 'The call to the authorization server was cancelled.'));
        controller?.abort(new Error('cancelled'));
      });
    const timer = setTimeout(
      () => giveUp('deadline', `it did not answer within ${Math.round(deadlineMs / 100) / 10} s`),
      deadlineMs,
    );
    signal.addEventListener('abort', cancel, { once: true });
    if (signal.aborted) return cancel();

    const handler: Dispatcher.DispatchHandler = {
      // Called when a connection takes the request, right before its first byte.
      onRequestStart(started) {
        if (over) started.abort(new Error('too late'));
        else controller = started;
      },
      onResponseStart(_, statusCode, answerHeaders) {
        status = statusCode;
        ({ location, 'retry-after': retryAfter } = answerHeaders);
      },
      onResponseData(_, chunk) {
        size += chunk.length;
        if (size > largestBody) giveUp('size', 'its answer is larger than 1 MiB');
        else chunks.push(chunk);
      },
      onResponseEnd() {
        end(() =>
          resolve({
            kind: 'answer',
            status,
            json: parseJson(Buffer.concat(chunks)),
            empty: size === 0,
            redirectedTo: status >= 300 && status <= 399 ? originOf(location, url) : undefined,
            retryAfterMs: parseRetryAfter(retryAfter),
          }),
        );
      },
      onResponseError(_, error) {
        giveUp(...explain(error, url));
      },
    };
    try {
      dispatcher.dispatch(
        {
          origin: url.origin,
          path: `${url.pathname}${url.search}`,
          method,
          headers: { ...headers },
          body: body ?? null,
        },
        handler,
      );
    } catch (error) {
      giveUp(...explain(error, url));
    }
  });
}

function originOf(location: unknown, base: URL): string {
  if (typeof location !== 'string' || !URL.canParse(location, base.href)) return 'nowhere';
  const { origin, protocol } = new URL(location, base);
  return (origin === 'null' ? protocol : origin).slice(0, 300);
}

/** Delay seconds only (RFC 9110 §10.2.3), at most an hour: a hostile server must not stop us for good. */
function parseRetryAfter(value: unknown): number | undefined {
  if (typeof value !== 'string' || !/^\d{1,9}$/.test(value)) return undefined;
  return Math.min(Number(value) * 1000, 3_600_000);
}

function explain(error: unknown, { host, hostname }: URL): [ServerSilence['why'], string] {
  if (error instanceof TunnelError) return [error.why, error.message];
  const codes = codesOf(error);
  const some = (...wanted: string[]): boolean => wanted.some((code) => codes.includes(code));
  const certificate = codes.find((code) => untrusted.has(code));
  if (certificate !== undefined) {
    return [
      'untrusted',
      `the TLS certificate of ${host} is not trusted (${certificate}): put the CA that signed it into caBundle, or correct it`,
    ];
  }
  const alert = codes.find((code) => code.startsWith('ERR_SSL_'));
  if (alert !== undefined) {
    return [
      'tls',
      `${host} ended the TLS handshake (${alert.slice('ERR_SSL_'.length, 60).toLowerCase().replaceAll('_', ' ')})`,
    ];
  }
  if (some('ENOTFOUND', 'EAI_AGAIN', 'EAI_NODATA'))
    return ['unresolved', `the host name ${hostname} cannot be resolved`];
  if (some('ECONNREFUSED')) return ['unconnected', `${host} refused the connection`];
  if (some('ENETUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT')) return ['unroutable', `there is no route to ${host}`];
  if (some('ETIMEDOUT', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT')) return ['unconnected', `${host} cannot be reached`];
  if (some('UND_ERR_HEADERS_OVERFLOW')) return ['size', 'the header of its answer is too large'];
  return ['broken', `the connection to ${host} broke before the whole answer came`];
}

/** Codes of an error, its causes and its parts (net.connect reports one error per address). */
function codesOf(error: unknown, depth = 0): string[] {
  if (!(error instanceof Error) || depth > 4) return [];
  const own = 'code' in error && typeof error.code === 'string' ? [error.code] : [];
  const parts = error instanceof AggregateError ? error.errors.flatMap((part) => codesOf(part, depth + 1)) : [];
  return [...own, ...codesOf(error.cause, depth + 1), ...parts];
}

import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { KeyPairPem } from './throwaway-ca.ts';

export interface Call {
  url: string;
  method?: string;
  /** A list sends a line for each. */
  headers?: Readonly<Record<string, string | string[]>>;
  /** An object is sent as JSON; parameters are form encoded. */
  body?: URLSearchParams | Readonly<Record<string, unknown>> | readonly unknown[];
  /** What the server's certificate must chain to. */
  ca?: string;
  /** Presented to the server. */
  certificate?: KeyPairPem | undefined;
  /** Milliseconds; default 30,000. */
  deadlineMs?: number | undefined;
}

export interface Answer {
  status: number;
  headers: Readonly<Record<string, readonly string[] | undefined>>;
  text: string;
  /** The body where it is a JSON object, else empty. */
  json: Record<string, unknown>;
}

const DEADLINE_MS = 30_000;

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function encodeBody(body: Call['body']): { text: string; type?: string } {
  if (body === undefined) return { text: '' };
  if (body instanceof URLSearchParams) return { text: body.toString(), type: 'application/x-www-form-urlencoded' };
  return { text: JSON.stringify(body), type: 'application/json' };
}

/** One request on a connection of its own, to 127.0.0.1 whatever the URL's host; rejects where there is no answer. */
export function call(request: Call): Promise<Answer> {
  const url = new URL(request.url);
  const { text: body, type } = encodeBody(request.body);
  return new Promise((resolve, reject) => {
    const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
    const outgoing = send(url, {
      method: request.method ?? (request.body === undefined ? 'GET' : 'POST'),
      agent: false,
      // Else Node takes it from the Host header, which a caller may forge.
      servername: url.hostname,
      signal: AbortSignal.timeout(request.deadlineMs ?? DEADLINE_MS),
      lookup: (_hostname, _options, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]),
      headers: { ...(type && { 'content-type': type }), ...request.headers },
      ...(request.ca === undefined ? {} : { ca: request.ca }),
      ...(request.certificate && { cert: request.certificate.certPem, key: request.certificate.keyPem }),
    });
    outgoing.once('error', reject);
    outgoing.once('response', (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.once('error', reject);
      response.once('end', () => {
        const text = Buffer.concat(chunks).toString('utf8');
        resolve({ status: response.statusCode ?? 0, headers: response.headersDistinct, text, json: parse(text) });
      });
    });
    outgoing.end(body);
  });
}

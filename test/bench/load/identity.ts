/** A published certificate as applications use it: one TLS context, kept connections to every replica of the terminator. */
import { isIP } from 'node:net';
import { createSecureContext } from 'node:tls';
import { Agent, request } from 'undici';
import { z } from 'zod';
import { claimsOf, type ClientCredentials } from '../../support/application.ts';
import type { Caller, Refusal, Tally } from './tally.ts';

/** Each on a connection that resumes the TLS session, as long as the terminator knows it. */
const requestsPerConnection = 5;
const deadlineMs = 30_000;

export interface BoundToken {
  value: string;
  /** Epoch milliseconds. */
  issuedAt: number;
  expiresAt: number;
}

export interface Surroundings {
  /** Of the terminator's replicas. */
  addresses: readonly string[];
  apiUrl: string;
  tally: Tally;
}

interface Answer {
  status: number;
  text: string;
  json: Record<string, unknown>;
}

export class Identity {
  readonly credentials: ClientCredentials;
  readonly #surroundings: Surroundings;
  readonly #agents: readonly Agent[];
  #users = 0;

  constructor(credentials: ClientCredentials, surroundings: Surroundings) {
    const { certificate, caPem } = credentials;
    const secureContext = createSecureContext({ cert: certificate.certPem, key: certificate.keyPem, ca: caPem });
    this.credentials = credentials;
    this.#surroundings = surroundings;
    this.#agents = surroundings.addresses.map(
      (address) =>
        new Agent({
          allowH2: false,
          maxRequestsPerClient: requestsPerConnection,
          connect: {
            secureContext,
            lookup: (_host, options, callback) => {
              const family = isIP(address);
              if (options.all === true) callback(null, [{ address, family }]);
              else callback(null, address, family);
            },
          },
        }),
    );
  }

  get replicas(): number {
    return this.#agents.length;
  }

  /** Until the last that uses it is done, its connections stay. */
  async use<T>(work: (identity: this) => Promise<T>): Promise<T> {
    this.#users += 1;
    try {
      return await work(this);
    } finally {
      this.#users -= 1;
      if (this.#users === 0) await Promise.all(this.#agents.map((agent) => agent.close()));
    }
  }

  /** A token of the authorization server, which must be bound to this certificate (RFC 8705 §3.1). */
  async token(caller: Caller, replica: number): Promise<BoundToken | undefined> {
    const { clientId, tokenEndpoint, x5tS256 } = this.credentials;
    const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId, scope: 'accounts:read' });
    const issuedAt = Date.now();
    const answer = await this.#call(replica, tokenEndpoint, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: body.toString(),
    });
    const response = typeof answer === 'string' ? undefined : tokenResponse.safeParse(answer.json).data;
    const granted = typeof answer !== 'string' && answer.status === 200 ? response : undefined;
    const boundTo = granted === undefined ? undefined : confirmation.safeParse(claimsOf(granted.access_token)).data;
    const bound = boundTo?.cnf['x5t#S256'] === x5tS256;
    this.#add(caller, 'token', answer, granted !== undefined && bound, Infinity);
    if (granted === undefined || !bound) return undefined;
    return { value: granted.access_token, issuedAt, expiresAt: issuedAt + granted.expires_in * 1000 };
  }

  async callApi(caller: Caller, replica: number, token: BoundToken): Promise<void> {
    const headers = { authorization: `Bearer ${token.value}` };
    const answer = await this.#call(replica, this.#surroundings.apiUrl, { method: 'GET', headers });
    const { x5tS256 } = this.credentials;
    const accepted = typeof answer !== 'string' && answer.status === 200 && answer.json['x5t_s256'] === x5tS256;
    this.#add(caller, 'API', answer, accepted, token.expiresAt);
  }

  #add(
    caller: Caller,
    endpoint: Refusal['endpoint'],
    answer: Answer | string,
    accepted: boolean,
    expiresAt: number,
  ): void {
    const { clientId, x5tS256 } = this.credentials;
    const { tally } = this.#surroundings;
    tally.called(caller, endpoint);
    if (accepted) return;
    const detail = `client ${clientId}: ${typeof answer === 'string' ? answer : answer.text.slice(0, 200)}`;
    tally.refuse({ caller, endpoint, reason: reasonOf(answer), detail, x5tS256, at: Date.now(), expiresAt });
  }

  /** @returns the error's words where there is no answer */
  async #call(replica: number, url: string, options: CallOptions): Promise<Answer | string> {
    const agent = this.#agents[replica % this.#agents.length];
    for (let again = false; ; again = true) {
      try {
        const { statusCode, body } = await request(url, {
          ...options,
          ...(agent === undefined ? {} : { dispatcher: agent }),
          headersTimeout: deadlineMs,
          bodyTimeout: deadlineMs,
        });
        const text = await body.text();
        return { status: statusCode, text, json: objectOf(text) };
      } catch (error) {
        // RFC 9112 §9.3.1: a server that reloads closes kept connections, and what was just sent on one is sent again, once. A
        // certificate that is refused is refused again on the new connection.
        if (again || !isClosed(error)) return wordsOf(error);
        this.#surroundings.tally.addResent();
      }
    }
  }
}

interface CallOptions {
  method: 'GET' | 'POST';
  headers: Record<string, string>;
  body?: string;
}

const tokenResponse = z.object({ access_token: z.string(), expires_in: z.number() });
const confirmation = z.object({ cnf: z.object({ 'x5t#S256': z.string() }) });
const object = z.record(z.string(), z.unknown());

function objectOf(text: string): Record<string, unknown> {
  try {
    return object.safeParse(JSON.parse(text)).data ?? {};
  } catch {
    return {};
  }
}

function isClosed(error: unknown): boolean {
  const code: unknown = Reflect.get(Object(error), 'code');
  return code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE';
}

function wordsOf(error: unknown): string {
  const code: unknown = Reflect.get(Object(error), 'code');
  return `${typeof code === 'string' ? code : 'no code'}: ${error instanceof Error ? error.message : String(error)}`;
}

function reasonOf(answer: Answer | string): string {
  if (typeof answer === 'string') return answer.replace(/:.*/s, '');
  const { error } = answer.json;
  if (answer.status === 200) return '200, but bound to another certificate';
  return `${answer.status}${typeof error === 'string' ? ` ${error}` : ''}`;
}

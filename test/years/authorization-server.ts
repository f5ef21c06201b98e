/** An authorization server of the simulation: RFC 7591 and 7592, and client authentication by certificate (RFC 8705). */
import { createHash, type X509Certificate } from 'node:crypto';
import type { ClientMetadata } from '../../src/authserver/driver.ts';
import type { Clock } from '../../src/runtime/clock.ts';

export interface Request {
  method: string;
  path: string;
  /** Bearer token. */
  token: string | undefined;
  body: string;
  /** As the terminator forwards it. */
  certificate: X509Certificate | undefined;
}

export interface Answer {
  status: number;
  json: unknown;
}

interface Registration {
  metadata: ClientMetadata;
  token: string;
  /** Since when, epoch milliseconds. */
  at: number;
  /** What it replaced; undefined: it was created. */
  before: Registration | undefined;
}

export interface ServerHabits {
  /** It replaces the registration access token on every update. */
  rotates: boolean;
  /** And on every read. */
  rotatesOnRead: boolean;
  /** How long the token endpoint goes by what was registered before, milliseconds. */
  lagMs: number;
}

const tokenLifetimeSeconds = 300;
const base64url = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

export class ModelAuthorizationServer {
  readonly #clients = new Map<string, Registration>();
  readonly #clock: Pick<Clock, 'now'>;
  readonly #habits: ServerHabits;
  #serial = 0;

  constructor(clock: Pick<Clock, 'now'>, habits: ServerHabits) {
    this.#clock = clock;
    this.#habits = habits;
  }

  get clientIds(): string[] {
    return [...this.#clients.keys()];
  }

  /** RFC 8705 §2: the subject that was registered, or the certificate itself. */
  accepts(clientId: string, certificate: X509Certificate | undefined): boolean {
    const registration = this.#known(clientId);
    if (registration === undefined || certificate === undefined) return false;
    const { metadata } = registration;
    if (metadata['token_endpoint_auth_method'] === 'self_signed_tls_client_auth') {
      // It looks at no dates itself (RFC 8705 §2.2 asks it to look at none); ours are promised all the same.
      return holdsCertificate(metadata['jwks'], certificate) && isCurrent(certificate, this.#clock.now());
    }
    return hasSubject(certificate, metadata);
  }

  /** What is registered, as its administrators see it. */
  metadataOf(clientId: string): ClientMetadata | undefined {
    return this.#clients.get(clientId)?.metadata;
  }

  /** An administrator edits a client; undefined removes a member. */
  edit(clientId: string, members: ClientMetadata): void {
    const registration = this.#clients.get(clientId);
    if (registration === undefined) throw new TypeError(`there is no client ${clientId}`);
    const metadata = Object.fromEntries(
      Object.entries({ ...registration.metadata, ...members }).filter(([, value]) => value !== undefined),
    );
    this.#clients.set(clientId, { ...registration, metadata });
  }

  /** An administrator replaces the registration access token. */
  replaceToken(clientId: string): void {
    const registration = this.#clients.get(clientId);
    if (registration !== undefined) this.#clients.set(clientId, { ...registration, token: `token-${++this.#serial}` });
  }

  /** Calls by method and path. */
  readonly calls: string[] = [];

  /** A standby takes over that has not heard of the last update. @returns how to take it back */
  failOver(clientId: string): () => void {
    const last = this.#clients.get(clientId);
    if (last?.before !== undefined) this.#clients.set(clientId, last.before);
    return () => last !== undefined && this.#clients.set(clientId, last);
  }

  /** @returns how to restore it as it is now; what it has answered since is unknown to it then */
  backUp(): () => void {
    const copies = [...this.#clients];
    return () => {
      this.#clients.clear();
      for (const [clientId, registration] of copies) this.#clients.set(clientId, registration);
    };
  }

  handle(request: Request): Answer {
    const { method, path } = request;
    this.calls.push(`${method} ${path}`);
    if (path === '/reg') return this.#create(JSON.parse(request.body));
    if (path.startsWith('/reg/')) return this.#manage(request, path.slice('/reg/'.length));
    const form = new URLSearchParams(request.body);
    const clientId = form.get('client_id') ?? '';
    if (method !== 'POST' || !this.accepts(clientId, request.certificate)) {
      return { status: 401, json: { error: 'invalid_client' } };
    }
    return path === '/token' ? this.#issue(request.certificate) : { status: 200, json: {} };
  }

  /** What the token endpoint goes by. */
  #known(clientId: string): Registration | undefined {
    const registration = this.#clients.get(clientId);
    const fresh = registration !== undefined && this.#clock.now() < registration.at + this.#habits.lagMs;
    return fresh ? registration.before : registration;
  }

  #create(metadata: ClientMetadata): Answer {
    const clientId = `client-${++this.#serial}`;
    return this.#put(clientId, metadata, undefined, 201);
  }

  #manage({ method, token, body }: Request, clientId: string): Answer {
    const registration = this.#clients.get(clientId);
    if (registration === undefined || registration.token !== token) return { status: 401, json: undefined };
    if (method === 'DELETE') {
      this.#clients.delete(clientId);
      return { status: 204, json: undefined };
    }
    if (method === 'GET') {
      if (this.#habits.rotatesOnRead) this.replaceToken(clientId);
      return { status: 200, json: answerOf(clientId, this.#clients.get(clientId) ?? registration) };
    }
    const { client_id: _id, ...metadata }: ClientMetadata = JSON.parse(body);
    return this.#put(clientId, metadata, registration, 200);
  }

  #put(clientId: string, metadata: ClientMetadata, before: Registration | undefined, status: number): Answer {
    const kept = before !== undefined && !this.#habits.rotates ? before.token : undefined;
    const token = kept ?? `token-${++this.#serial}`;
    // Older ones than the last are nobody's any more.
    const last = before === undefined ? undefined : { ...before, before: undefined };
    const registration = { metadata, token, at: this.#clock.now(), before: last };
    this.#clients.set(clientId, registration);
    return { status, json: answerOf(clientId, registration) };
  }

  #issue(certificate: X509Certificate | undefined): Answer {
    const thumbprint = createHash('sha256')
      .update(certificate?.raw ?? '')
      .digest('base64url');
    const token = [base64url({ alg: 'none' }), base64url({ cnf: { 'x5t#S256': thumbprint } }), ''].join('.');
    return { status: 200, json: { access_token: token, token_type: 'Bearer', expires_in: tokenLifetimeSeconds } };
  }
}

function answerOf(clientId: string, { metadata, token }: Registration): ClientMetadata {
  return {
    ...metadata,
    client_id: clientId,
    registration_access_token: token,
    registration_client_uri: `${registrationOrigin}/reg/${clientId}`,
  };
}

export const registrationOrigin = 'https://as.example.com';
export const mtlsOrigin = 'https://mtls.as.example.com';

function holdsCertificate(jwks: unknown, { raw }: X509Certificate): boolean {
  const der = raw.toString('base64');
  const keys: unknown = Object(jwks)['keys'];
  return Array.isArray(keys) && keys.some((key: unknown) => Object(key)['x5c']?.[0] === der);
}

function hasSubject({ subject, subjectAltName }: X509Certificate, metadata: ClientMetadata): boolean {
  const { tls_client_auth_subject_dn: dn, tls_client_auth_san_dns: dnsName } = metadata;
  // RFC 4514 writes the last RDN first.
  if (typeof dn === 'string') return subject.split('\n').toReversed().join(',') === dn;
  return typeof dnsName === 'string' && subjectAltName === `DNS:${dnsName}`;
}

const isCurrent = ({ validToDate }: X509Certificate, now: number) => now < validToDate.getTime();

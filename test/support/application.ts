/** An application that uses a published Secret, and keeps the client's contract: new certificate, new token. */
import { z } from 'zod';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { call, type Answer } from './https-call.ts';
import type { KeyPairPem } from './throwaway-ca.ts';

export interface ClientCredentials {
  clientId: string;
  tokenEndpoint: string;
  certificate: KeyPairPem;
  caPem: string;
  x5tS256: string;
}

const secretData = z.object({ data: z.record(z.string(), z.string()) });

/** The decoded values of a Secret. */
export function secretValues(secret: KubernetesObject): Record<string, string> {
  const { data } = secretData.parse(secret);
  return Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]));
}

const published = z.object({
  client_id: z.string(),
  token_endpoint: z.string(),
  'tls.crt': z.string(),
  'tls.key': z.string(),
  'ca.crt': z.string(),
  x5t_s256: z.string(),
});

/** From the published Secret alone. */
export function credentialsOf(secret: KubernetesObject): ClientCredentials {
  const values = published.parse(secretValues(secret));
  return {
    clientId: values.client_id,
    tokenEndpoint: values.token_endpoint,
    certificate: { certPem: values['tls.crt'], keyPem: values['tls.key'] },
    caPem: values['ca.crt'],
    x5tS256: values.x5t_s256,
  };
}

export interface TokenOptions {
  /** Default: the client's own. */
  certificate?: KeyPairPem | undefined;
  parameters?: Record<string, string>;
}

export function requestToken(credentials: ClientCredentials, options: TokenOptions = {}): Promise<Answer> {
  return call({
    url: credentials.tokenEndpoint,
    body: new URLSearchParams({
      grant_type: 'client_credentials',
      client_id: credentials.clientId,
      scope: 'accounts:read',
      ...options.parameters,
    }),
    ca: credentials.caPem,
    certificate: 'certificate' in options ? options.certificate : credentials.certificate,
  });
}

export async function tokenFor(credentials: ClientCredentials): Promise<string> {
  const answer = await requestToken(credentials);
  const token = answer.json['access_token'];
  if (typeof token !== 'string') throw new Error(`no token: ${answer.status} ${answer.text}`);
  return token;
}

/** The claims of a JWT, unverified: to show what it says. */
export function claimsOf(token: string): Record<string, unknown> {
  const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
  return typeof claims === 'object' && claims !== null ? { ...claims } : {};
}

/** A token, and the thumbprint of the certificate that it is bound to. */
export async function boundTokenFor(
  credentials: ClientCredentials,
  parameters: Record<string, string> = {},
): Promise<{ token: string; thumbprint: string }> {
  const answer = await requestToken(credentials, { parameters });
  const token = answer.json['access_token'];
  if (typeof token !== 'string') throw new Error(`no token: ${answer.status} ${answer.text}`);
  const { cnf } = claimsOf(token);
  const thumbprint: unknown = typeof cnf === 'object' && cnf !== null ? Reflect.get(cnf, 'x5t#S256') : undefined;
  if (typeof thumbprint !== 'string')
    throw new Error(`the token is bound to nothing: ${JSON.stringify(claimsOf(token))}`);
  return { token, thumbprint };
}

export interface ApiCall {
  url: string;
  caPem: string;
  token?: string | undefined;
  certificate?: KeyPairPem | undefined;
  headers?: Record<string, string>;
}

export function callApi(request: ApiCall): Promise<Answer> {
  return call({
    url: request.url,
    ca: request.caPem,
    certificate: request.certificate,
    headers: {
      ...(request.token === undefined ? {} : { authorization: `Bearer ${request.token}` }),
      ...request.headers,
    },
  });
}

/** Reads the Secret before every call, as a file watch would, and caches one token per certificate. */
export class Application {
  readonly #read: () => Promise<KubernetesObject | undefined>;
  readonly #tokens = new Map<string, string>();
  readonly #api: { url: string; caPem: string };

  constructor(api: { url: string; caPem: string }, read: () => Promise<KubernetesObject | undefined>) {
    this.#api = api;
    this.#read = read;
  }

  async call(): Promise<Answer> {
    const secret = await this.#read();
    if (secret === undefined) throw new Error('the published Secret is gone');
    const credentials = credentialsOf(secret);
    const token = this.#tokens.get(credentials.x5tS256) ?? (await tokenFor(credentials));
    this.#tokens.set(credentials.x5tS256, token);
    return callApi({ ...this.#api, token, certificate: credentials.certificate });
  }

  /** Thumbprints of the certificates that tokens were bound to so far. */
  thumbprints(): string[] {
    return [...this.#tokens.keys()];
  }
}

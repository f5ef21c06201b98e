/** Somebody who logs in at Keycloak with a browser, for a client that pushes its request (RFC 9126). */
import { createHash, randomBytes } from 'node:crypto';
import type { ClientCredentials } from '../support/application.ts';
import { type Answer, call } from '../support/https-call.ts';

export interface Login {
  issuer: string;
  redirectUri: string;
  username: string;
  password: string;
  scope: string;
}

const random = () => randomBytes(32).toString('base64url');
const endpoint = (issuer: string, path: string) => `${issuer}/protocol/openid-connect/${path}`;

/** What a browser keeps and follows, while it stays at the server. */
class Browser {
  readonly #ca: string;
  readonly #cookies = new Map<string, string>();

  constructor(ca: string) {
    this.#ca = ca;
  }

  async ask(url: string, body?: URLSearchParams): Promise<Answer> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await call({ url, ca: this.#ca, headers: { cookie }, ...(body && { body }) });
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [, name = '', value = ''] = /^([^=;]+)=([^;]*)/.exec(line) ?? [];
      this.#cookies.set(name, value);
    }
    const location = answer.headers['location']?.[0];
    const stays = location !== undefined && new URL(location, url).origin === new URL(url).origin;
    return stays ? this.ask(new URL(location, url).href) : answer;
  }
}

const unescaped = (html: string) => html.replaceAll('&amp;', '&');

/** The answer to the token request at the end of an authorization code grant. */
export async function logIn(credentials: ClientCredentials, login: Login): Promise<Answer> {
  const { issuer, redirectUri } = login;
  const { clientId, certificate, caPem: ca } = credentials;
  const verifier = random();
  const pushed = await call({
    url: endpoint(issuer, 'ext/par/request'),
    ca,
    certificate,
    body: new URLSearchParams({
      client_id: clientId,
      response_type: 'code',
      redirect_uri: redirectUri,
      scope: login.scope,
      state: random(),
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
    }),
  });
  if (pushed.status !== 201) throw new Error(`the request was not taken: ${pushed.status} ${pushed.text}`);
  const query = new URLSearchParams({ client_id: clientId, request_uri: String(pushed.json['request_uri']) });
  const browser = new Browser(ca);
  const page = await browser.ask(`${endpoint(issuer, 'auth')}?${query.toString()}`);
  const action = /<form[^>]+action="([^"]+)"/.exec(page.text)?.[1];
  if (action === undefined) {
    throw new Error(
      `no form to log in with: ${page.status} ${page.headers['location']?.[0]} ${page.text.slice(0, 500)}`,
    );
  }
  const { username, password } = login;
  const entered = await browser.ask(unescaped(action), new URLSearchParams({ username, password }));
  const location = entered.headers['location']?.[0] ?? '';
  const code = URL.canParse(location) ? new URL(location).searchParams.get('code') : null;
  if (code === null) throw new Error(`no code: ${entered.status} ${location} ${entered.text.slice(0, 500)}`);
  return call({
    url: credentials.tokenEndpoint,
    ca,
    certificate,
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: clientId,
      code,
      redirect_uri: redirectUri,
      code_verifier: verifier,
    }),
  });
}

/** RFC 6749 §6. */
export function refresh(credentials: ClientCredentials, token: string): Promise<Answer> {
  const { tokenEndpoint: url, clientId, certificate, caPem: ca } = credentials;
  const body = new URLSearchParams({ grant_type: 'refresh_token', client_id: clientId, refresh_token: token });
  return call({ url, ca, certificate, body });
}

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

/** What the browser sends back. */
function cookiesOf({ headers }: Answer): string {
  return (headers['set-cookie'] ?? []).map((cookie) => cookie.split(';')[0] ?? '').join('; ');
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
  const page = await call({ url: `${endpoint(issuer, 'auth')}?${query}`, ca });
  const action = /<form[^>]+action="([^"]+)"/.exec(page.text)?.[1];
  if (action === undefined) throw new Error(`no form to log in with: ${page.status} ${page.text.slice(0, 500)}`);
  const entered = await call({
    url: unescaped(action),
    ca,
    headers: { cookie: cookiesOf(page) },
    body: new URLSearchParams({ username: login.username, password: login.password }),
  });
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

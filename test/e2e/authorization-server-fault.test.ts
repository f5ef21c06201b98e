/** Faults of the test authorization server: what a client of it sees through the terminator, and what the server then knows. */
import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { AuthorizationServerStore } from '../support/authorization-server-store.ts';
import { startAuthorizationServer } from '../support/authorization-server.ts';
import { type Answer, call } from '../support/https-call.ts';
import { type OAuthDeployment, startOAuthDeployment } from '../support/oauth-deployment.ts';

let world: OAuthDeployment;
before(async () => {
  world = await startOAuthDeployment({ terminator: 'nginx', installNginx: true });
});
afterEach(() => world.authorizationServer.setFault(undefined));
after(() => world.stop());

const METADATA = { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=fault' };
const onRegistration = ({ method, route }: { method: string; route: string }): boolean =>
  method === 'POST' && route === '/reg';

test('a fault may answer instead of the server, which then knows of nothing', async () => {
  const earlier = world.authorizationServer.count();
  world.authorizationServer.setFault((received) =>
    onRegistration(received)
      ? { kind: 'respond', status: 503, body: '<html>', headers: { 'content-type': 'text/html', 'retry-after': '7' } }
      : undefined,
  );
  const answer = await world.register(METADATA);
  assert.equal(answer.status, 503);
  assert.equal(answer.text, '<html>');
  assert.deepEqual(answer.headers['retry-after'], ['7']);
  assert.equal(world.authorizationServer.count(), earlier);
  assert.equal((await world.call('browser', '/jwks')).status, 200);
});

test('a fault may change what the server answers', async () => {
  world.authorizationServer.setFault(() => ({
    kind: 'rewrite',
    body: (body) => ({ ...body, token_endpoint_auth_method: 'client_secret_basic' }),
  }));
  const answer = await world.register(METADATA);
  assert.equal(answer.status, 201);
  assert.equal(answer.json['token_endpoint_auth_method'], 'client_secret_basic');
  const stored = world.authorizationServer.clients().find((c) => c['client_id'] === answer.json['client_id']);
  assert.equal(stored?.['token_endpoint_auth_method'], 'tls_client_auth');
});

test('a connection may be cut before the server acts, or after it has', async () => {
  const earlier = world.authorizationServer.count();
  world.authorizationServer.setFault(() => ({ kind: 'reset', when: 'before' }));
  assert.equal((await world.register(METADATA)).status, 502);
  assert.equal(world.authorizationServer.count(), earlier);
  world.authorizationServer.setFault(() => ({ kind: 'reset', when: 'after' }));
  assert.equal((await world.register(METADATA)).status, 502);
  assert.equal(world.authorizationServer.count(), earlier + 1);
});

test('requests are counted by method and route', async () => {
  const registration = (await world.register(METADATA)).json;
  const { pathname } = new URL(String(registration['registration_client_uri']));
  const headers = { authorization: `Bearer ${String(registration['registration_access_token'])}` };
  const earlier = world.authorizationServer.requests();
  assert.equal((await world.call('browser', pathname, { headers })).status, 200);
  assert.equal((await world.call('browser', pathname, { method: 'DELETE', headers })).status, 204);
  const count = (name: string) => (world.authorizationServer.requests().get(name) ?? 0) - (earlier.get(name) ?? 0);
  assert.deepEqual([count('GET /reg/:id'), count('DELETE /reg/:id'), count('POST /reg')], [1, 1, 0]);
});

test('authorization_code clients register, and push their requests', async () => {
  const redirect = 'https://app.example.test/callback';
  const { json } = await world.register({
    ...METADATA,
    tls_client_auth_subject_dn: 'CN=par',
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: [redirect],
  });
  const certificate = await world.clientCa.issue({ cn: 'par', clientAuth: true });
  const body = new URLSearchParams({
    client_id: String(json['client_id']),
    response_type: 'code',
    redirect_uri: redirect,
    scope: 'openid',
    code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  });
  const pushed = await world.call('mtls', '/request', { body, certificate });
  assert.equal(pushed.status, 201, pushed.text);
  assert.equal((await world.call('mtls', '/request', { body, certificate, headers: {} })).status, 201);
  const impostor = await world.clientCa.issue({ cn: 'other', clientAuth: true });
  assert.equal((await world.call('mtls', '/request', { body, certificate: impostor })).status, 401);
});

const request = (port: number, path: string, token?: string, more: object = {}): Promise<Answer> =>
  call({
    url: `http://127.0.0.1:${port}${path}`,
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
    ...more,
  });

test('initial access token, rotation of registration tokens and a shared store are options', async () => {
  const store = new AuthorizationServerStore();
  const options = {
    issuer: 'https://as.example.test',
    store,
    initialAccessToken: 'canary',
    rotateRegistrationAccessToken: false,
  };
  const [one, two] = [await startAuthorizationServer(options), await startAuthorizationServer(options)];
  try {
    assert.ok((await request(one.port, '/reg', undefined, { body: METADATA })).status >= 400);
    assert.equal((await request(one.port, '/reg', 'wrong', { body: METADATA })).status, 401);
    const { json, status } = await request(one.port, '/reg', 'canary', { body: METADATA });
    assert.equal(status, 201);
    const path = `/reg/${String(json['client_id'])}`;
    const token = String(json['registration_access_token']);
    const body = { ...METADATA, client_id: json['client_id'] };
    const updated = await request(two.port, path, token, { method: 'PUT', body });
    assert.equal(updated.status, 200, updated.text);
    assert.equal(updated.json['registration_access_token'], token);
    assert.equal(two.count(), 1);
    assert.ok(store.forgetClient(String(json['client_id'])));
    assert.equal((await request(one.port, path, token)).status, 401);
  } finally {
    await one.stop();
    await two.stop();
  }
});

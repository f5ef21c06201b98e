/** A client's life at Keycloak, by its Admin REST API, with its own TLS asking for certificates. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { authorizationServer } from '../../src/api/authorization-server.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { claimsOf, requestToken, tokenFor } from '../support/application.ts';
import { createClientCertificate } from '../support/client-certificate.ts';
import { call } from '../support/https-call.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { keepCalling } from '../support/load.ts';
import { logIn, refresh } from './keycloak-login.ts';
import { type KeycloakWorld, API, REDIRECT_URI, startKeycloakWorld } from './keycloak-world.ts';
import { shows } from './support.ts';

/** Renewed after five to ten seconds. */
const SHORT_LIVED = { certificate: { duration: '5m', renewBefore: '4m50s' } };
const limitMs = 120_000;

describe('Keycloak', () => {
  let world: KeycloakWorld;
  before(async () => {
    world = await startKeycloakWorld();
    await world.serverBecomes('corporate', 'True', 'Ready');
  });
  after(() => world?.stop());

  const ready = async (name: string, spec = {}): Promise<TestClient> => {
    const client = await world.client(name, spec).apply();
    await client.ready(limitMs);
    return client;
  };
  const reason = (client: TestClient, type: string, status: string, wanted: string) =>
    client.until(
      ({ conditions }) =>
        conditions?.some((c) => c.type === type && c.status === status && c.reason === wanted) === true,
      limitMs,
    );

  it('gives a token for the published Secret alone, bound to its certificate', async () => {
    const since = world.adminProxy.requests().length;
    const client = await ready('alone');
    const writes = world.adminProxy.requests().slice(since);
    const registered = writes.filter(({ method, path }) => method !== 'GET' && path.startsWith('/admin/'));
    assert.deepEqual(
      registered.map(({ method }) => method),
      ['POST'],
      'it is registered once, as it is to be',
    );
    const status = await client.status();
    assert.equal(status.clientId, world.clientId('alone'));
    const credentials = await client.credentials();
    assert.equal(credentials.clientId, status.clientId);
    const token = await tokenFor(credentials);
    assert.equal(await boundTo(credentials), credentials.x5tS256);

    const introspection = await call({
      url: credentials.tokenEndpoint.replace(/token$/, 'token/introspect'),
      body: new URLSearchParams({ client_id: API, client_secret: world.apiSecret, token }),
      ca: credentials.caPem,
    });
    assert.equal(introspection.json['active'], true, introspection.text);
    assert.deepEqual(introspection.json['cnf'], { 'x5t#S256': credentials.x5tS256 });
    shows('keycloak', 'driver', '`keycloak` (its Admin REST API)');
    shows('keycloak', 'token', 'yes');
    shows('keycloak', 'introspection', 'yes');
  });

  it('refuses whoever is not that client', async () => {
    const [client, other] = [await ready('mine'), await ready('theirs')];
    const credentials = await client.credentials();
    const { certificate: theirs } = await other.credentials();
    const stranger = await createClientCertificate({ subject: 'CN=mine,O=team' });
    for (const certificate of [theirs, undefined, stranger]) {
      const answer = await requestToken(credentials, { certificate }).catch((error: Error) => error);
      if (answer instanceof Error) continue;
      assert.equal(answer.status, 401, answer.text);
      assert.match(String(answer.json['error']), /^(invalid|unauthorized)_client$/);
    }
    assert.equal(await boundTo(credentials), credentials.x5tS256, 'and it is still that client');
    shows('keycloak', 'others', 'refused');
  });

  it('refuses no call while certificates rotate', async () => {
    const client = await ready('rotating', SHORT_LIVED);
    const load = keepCalling(client);
    try {
      await waitFor(() => load.used.size >= 3, limitMs);
    } finally {
      const { calls } = await load.stop();
      assert.ok(calls > 10);
    }
    shows('keycloak', 'rotation', 'none');
    await client.delete();
    await client.gone();
    assert.equal(await world.realm.client(world.clientId('rotating')), undefined);
  });

  it('changes what the spec changes, and keeps what administrators added', async () => {
    const client = await ready('changing', { scope: 'accounts:read' });
    const values = await client.values();
    await world.realm.change(world.clientId('changing'), () => ({ description: 'theirs' }));
    const writing = { parameters: { scope: 'accounts:write' } };
    assert.equal((await requestToken(await client.credentials(), writing)).json['error'], 'invalid_scope');
    await client.apply({ scope: 'accounts:read accounts:write' });
    await client.ready();
    assert.equal((await requestToken(await client.credentials(), writing)).status, 200);
    assert.deepEqual(await client.values(), values);
    const stored = await world.realm.client(world.clientId('changing'));
    assert.equal(stored?.['description'], 'theirs');
    assert.deepEqual(stored.optionalClientScopes.toSorted(), ['accounts:read', 'accounts:write']);
    shows('keycloak', 'update', 'updates the client, which stays the same');
  });

  it('says that the realm has no such scope, and leaves nothing', async () => {
    const patch = (scopes: string[]) => ({ spec: { clients: { scopes } } });
    const server = { name: 'corporate' };
    await world.kube.patch(
      authorizationServers,
      server,
      patch(['accounts:read', 'accounts:write', 'openid', 'nowhere']),
      {
        type: 'merge',
      },
    );
    const client = await world.client('scopeless', { scope: 'accounts:read nowhere' }).apply();
    const { conditions } = await reason(client, 'Registered', 'False', 'MetadataRejected');
    assert.match(conditions?.find(({ type }) => type === 'Registered')?.message ?? '', /scope .*nowhere/);
    assert.equal(await world.realm.client(world.clientId('scopeless')), undefined);
    assert.equal(await client.secret(), undefined);
  });

  it('finds the client again whose creation was not answered', async () => {
    const creation = ({ method, path }: { method: string; path: string }) =>
      method === 'POST' && path.endsWith('/clients');
    const lost = world.adminProxy.inject(creation, { kind: 'reset' }, 1);
    const client = await ready('unanswered');
    assert.equal(lost.hits, 1);
    const record = await client.record();
    assert.deepEqual(record?.state.suspectedOrphans, []);
    const ours = (await world.realm.clients()).filter(({ attributes }) =>
      attributes['certbound.dev/owner']?.endsWith('/team/unanswered'),
    );
    assert.deepEqual(
      ours.map(({ clientId }) => clientId),
      [world.clientId('unanswered')],
    );
    assert.equal(await boundTo(await client.credentials()), (await client.credentials()).x5tS256);
  });

  it('names a client that an administrator deleted, and registers it anew under the same id when asked', async () => {
    const client = await ready('deleted');
    await world.realm.delete(world.clientId('deleted'));
    await client.apply({ scope: 'accounts:read' });
    const { conditions } = await reason(client, 'Ready', 'False', 'RegistrationGone');
    assert.match(conditions?.find(({ type }) => type === 'Ready')?.message ?? '', /finds no such client/);
    await client.annotate({ [RENEW_REQUESTED]: 'anew' });
    await client.ready(limitMs);
    assert.equal((await client.status()).clientId, world.clientId('deleted'));
    assert.equal(await boundTo(await client.credentials()), (await client.credentials()).x5tS256);
  });

  it('says what it can’t do before anything is made', async () => {
    const asked = [
      ['self-signed', { tokenEndpointAuthMethod: 'self_signed_tls_client_auth' }, /self_signed_tls_client_auth/],
      ['by-name', { certificate: { subject: { dnsName: 'by-name.team.example.com' } } }, /tls_client_auth_san_dns/],
    ] as const;
    for (const [name, spec, says] of asked) {
      const client = await world.client(name, spec).apply();
      const { conditions } = await reason(client, 'Registered', 'False', 'Unsupported');
      assert.match(conditions?.find(({ type }) => type === 'Registered')?.message ?? '', says);
      assert.equal(await client.record(), undefined);
      assert.equal(await world.realm.client(world.clientId(name)), undefined);
    }
    shows('keycloak', 'tlsClientAuth', 'its DN alone, compared as text: another subject is `Unsupported`');
    shows('keycloak', 'selfSigned', 'no: `Unsupported`');
  });

  it('says which Secret is missing', async () => {
    const keycloak = { clientId: 'certbound', clientCertificateSecretRef: { name: 'not-there' } };
    await world.server('without-credential', { keycloak });
    const { message } = await world.serverBecomes('without-credential', 'False', 'CredentialMissing');
    assert.match(message, /no key "tls\.crt" in Secret "not-there".*the certificate of client "certbound"/);
  });

  it('ends users’ refresh tokens at a rotation, and says so', async () => {
    const login = { username: 'somebody', password: 'of-this-test-alone', issuer: world.realm.issuer };
    await world.realm.user(login.username, login.password);
    const client = await ready('web', {
      grantTypes: ['authorization_code', 'refresh_token'],
      redirectURIs: [REDIRECT_URI],
      scope: 'openid accounts:read',
    });
    const told = await client.condition('RefreshTokensEndAtRotation');
    assert.equal(told?.status, 'True');
    const server = await world.kube.get(authorizationServers, { name: 'corporate' });
    assert.equal(authorizationServer.parse(server).status?.capabilities?.bindsRefreshTokens, true);

    const old = await client.credentials();
    const tokens = await logIn(old, { ...login, redirectUri: REDIRECT_URI, scope: 'openid accounts:read' });
    assert.equal(tokens.status, 200, tokens.text);
    assert.deepEqual(claimsOf(String(tokens.json['access_token']))['cnf'], { 'x5t#S256': old.x5tS256 });
    const refreshed = await refresh(old, String(tokens.json['refresh_token']));
    assert.equal(refreshed.status, 200, refreshed.text);
    const token = String(refreshed.json['refresh_token']);

    await client.annotate({ [RENEW_REQUESTED]: 'once' });
    await waitFor(async () => (await client.credentials()).x5tS256 !== old.x5tS256, limitMs);
    const renewed = await client.credentials();
    const refused = await refresh(renewed, token);
    assert.deepEqual([refused.status, refused.json['error']], [401, 'unauthorized_client'], refused.text);
    assert.equal((await refresh(old, token)).status, 200, 'the old certificate drains');
    const anew = await logIn(renewed, { ...login, redirectUri: REDIRECT_URI, scope: 'openid accounts:read' });
    assert.deepEqual(claimsOf(String(anew.json['access_token']))['cnf'], { 'x5t#S256': renewed.x5tS256 });
    shows('keycloak', 'refreshTokens', 'end: it binds them to the certificate (`RefreshTokensEndAtRotation`)');
  });

  it('is managed by a client whose certificate the operator itself rotates', async () => {
    const own = await world.client('operator', {}, 'certbound-system').apply();
    await own.ready(limitMs);
    const clientId = world.clientId('operator', 'certbound-system');
    await world.realm.grant(clientId);
    await world.server('by-certificate', {
      keycloak: { clientId, clientCertificateSecretRef: { name: own.secretRef.name } },
    });
    const spec = { authorizationServerRef: { name: 'by-certificate' } };
    const client = await ready('managed', spec);
    const first = (await own.values())['x5t_s256'];
    await own.annotate({ [RENEW_REQUESTED]: 'once' });
    await waitFor(async () => (await own.values())['x5t_s256'] !== first, limitMs);
    await client.apply({ ...spec, scope: 'accounts:read' });
    await client.ready(limitMs);
    assert.deepEqual((await world.realm.client(world.clientId('managed')))?.optionalClientScopes, ['accounts:read']);
    await client.delete();
    await client.gone();
    assert.equal(await world.realm.client(world.clientId('managed')), undefined);
    shows('keycloak', 'deletion', 'deletes the client');
    await own.delete();
  });
});

/** Spring Authorization Server: it registers and manages nothing, compares names as text, and tells the methods apart by the length of the chain. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { echoViolations } from '../../src/authserver/registration/client-metadata.ts';
import { ServerConnection } from '../../src/authserver/connection/connection.ts';
import { dynamicRegistration } from '../../src/authserver/registration/dynamic-registration.ts';
import { formatDn, parseDn } from '../../src/x509/dn.ts';
import { code, handleOf } from '../authserver/contract.ts';
import { access, serverObject } from '../authserver/servers.ts';
import { keepCalling } from '../support/load.ts';
import { claimsOf, requestToken, tokenFor } from '../support/application.ts';
import { createClientCertificate } from '../support/client-certificate.ts';
import { apply } from '../support/cluster-objects.ts';
import { type Answer, call } from '../support/https-call.ts';
import { boundTo, isTrue, type TestClient } from '../support/oauth-client.ts';
import { SPRING_HOST } from '../support/spring-authorization-server.ts';
import { createThrowawayCa, type KeyPairPem } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import {
  GENEROUS_MS,
  KEY_SET_CACHE_MS,
  REDIRECT_URI,
  registered,
  SELF_SIGNED_SERVER,
  SERVER,
  type SpringWorld,
  startSpringWorld,
} from './spring-world.ts';
import { shows } from './support.ts';

describe('Spring Authorization Server', () => {
  let world: SpringWorld;
  before(async () => {
    world = await startSpringWorld();
  });
  after(() => world?.stop());

  const atServer = async (name: string) =>
    (await world.spring.clients()).filter(({ client_name: marker }) => marker === `test-cluster/team/${name}`);

  async function rotated(client: TestClient): Promise<string> {
    const { x5tS256: old } = await client.credentials();
    const wish = String(Math.random());
    await client.annotate({ [RENEW_REQUESTED]: wish });
    await client.until(
      ({ rotation, lastHandledRenew }) => lastHandledRenew === wish && rotation?.phase === 'Draining',
      GENEROUS_MS,
    );
    const { x5tS256 } = await client.credentials();
    assert.notEqual(x5tS256, old);
    return x5tS256;
  }

  describe('self_signed_tls_client_auth, with keys that it reads', () => {
    let selfSigned: TestClient;
    let load: ReturnType<typeof keepCalling>;
    let old: string;

    // Spring keeps what it read for five minutes, so the rotation is begun first and looked at last.
    before(async () => {
      selfSigned = world.client('self-signed', {
        authorizationServerRef: { name: SELF_SIGNED_SERVER },
        tokenEndpointAuthMethod: 'self_signed_tls_client_auth',
      });
      await registered(world, selfSigned);
      ({ x5tS256: old } = await selfSigned.credentials());
      load = keepCalling(selfSigned);
      await selfSigned.annotate({ [RENEW_REQUESTED]: 'now' });
    });

    it('authenticates by a key, not by a chain', async () => {
      const credentials = await selfSigned.credentials();
      assert.equal(await boundTo(credentials), credentials.x5tS256);
      const [client] = await atServer('self-signed');
      assert.deepEqual(client?.methods, ['self_signed_tls_client_auth']);
      const stranger = await createClientCertificate({ subject: 'CN=self-signed,O=team' });
      const answer = await requestToken(credentials, { certificate: stranger });
      assert.equal(answer.json['error'], 'invalid_client', answer.text);
    });

    describe('tls_client_auth', () => {
      tlsClientAuth();
    });

    it('is renewed with no refused call, once the server has read the new key', async () => {
      await selfSigned.until(({ rotation }) => rotation?.phase === 'Draining', KEY_SET_CACHE_MS + GENEROUS_MS);
      const { x5tS256 } = await selfSigned.credentials();
      assert.notEqual(x5tS256, old);
      await waitFor(() => load.used.has(x5tS256), GENEROUS_MS);
      const { calls } = await load.stop();
      assert.ok(calls > 100);
      assert.deepEqual([...load.used], [old, x5tS256]);
      assert.equal((await atServer('self-signed')).length, 1);
      shows('spring', 'selfSigned', 'by `jwks_uri`');
    });
  });

  function tlsClientAuth(): void {
    let first: TestClient;

    it('a token with the published Secret alone, bound to the certificate; introspection says so', async () => {
      first = world.client('first');
      await registered(world, first);
      const credentials = await first.credentials();
      const token = await tokenFor(credentials);
      assert.deepEqual(claimsOf(token)['cnf'], { 'x5t#S256': credentials.x5tS256 });
      const { clientId: client_id, certificate } = credentials;
      const introspected = await world.spring.call('/oauth2/introspect', {
        certificate,
        body: new URLSearchParams({ client_id, token }),
      });
      assert.equal(introspected.json['active'], true, introspected.text);
      assert.deepEqual(introspected.json['cnf'], { 'x5t#S256': credentials.x5tS256 });
      shows('spring', 'driver', '`dynamicRegistration` (RFC 7591 alone)');
      shows('spring', 'token', 'yes');
      shows('spring', 'introspection', 'yes');
      assert.deepEqual((await atServer('first'))[0]?.methods, ['tls_client_auth']);
    });

    it('an initial access token is good for one client; the next waits for another one', async () => {
      await world.newInitialAccessToken();
      const [one, two] = [world.client('token-one'), world.client('token-two')];
      await one.apply();
      await one.ready(GENEROUS_MS);
      await two.apply();
      const status = await two.until(
        ({ conditions = [] }) =>
          conditions.some(({ type, reason }) => type === 'Registered' && reason === 'InitialAccessTokenSpent'),
        GENEROUS_MS,
      );
      const told = status.conditions?.find(({ type }) => type === 'Registered');
      assert.equal(told?.status, 'False');
      assert.match(
        told.message,
        /was used for a registration before, .*put a new one into the Secret of dynamicRegistration/,
      );
      assert.deepEqual(await atServer('token-two'), []);
      await world.newInitialAccessToken();
      await two.ready(GENEROUS_MS);
      assert.equal((await atServer('token-two')).length, 1);
      await world.newInitialAccessToken();
    });

    it('is renewed with no refused call, and the server is told nothing', async () => {
      const { x5tS256: old } = await first.credentials();
      const load = keepCalling(first);
      await waitFor(() => load.used.has(old), GENEROUS_MS);
      const x5tS256 = await rotated(first);
      await waitFor(() => load.used.has(x5tS256), GENEROUS_MS);
      await load.stop();
      assert.deepEqual([...load.used], [old, x5tS256]);
      assert.equal((await atServer('first')).length, 1);
      shows('spring', 'rotation', 'none');
    });

    it('a change that it can’t be told leaves the client working, and says what to do', async () => {
      const { clientId } = await first.status();
      await first.apply({ clientName: 'another' });
      const status = await first.until(
        ({ conditions = [] }) =>
          conditions.some(({ type, reason }) => type === 'Registered' && reason === 'UpdateUnsupported'),
        GENEROUS_MS,
      );
      assert.ok(isTrue(status, 'Ready'));
      assert.match(
        status.conditions?.find(({ type }) => type === 'Registered')?.message ?? '',
        /Undo the change; or create a second OAuthClient/,
      );
      await first.apply();
      await first.until((now) => isTrue(now, 'Registered') && !isTrue(now, 'Stalled'), GENEROUS_MS);
      assert.equal((await first.status()).clientId, clientId);
      shows('spring', 'update', 'not offered: `UpdateUnsupported`');
      assert.equal((await first.record())?.material.registration?.registrationClientUri, undefined);
      shows('spring', 'drift', 'not seen: it shows no registration');
    });

    it('is deleted here, and stays there, with an event that names it', async () => {
      const gone = world.client('gone');
      const clientId = await registered(world, gone);
      await gone.delete();
      await gone.gone();
      assert.equal(await gone.secret(), undefined);
      assert.equal(await gone.ownSecret(), undefined);
      await waitFor(async () => (await world.notes('gone', 'Orphaned')).length > 0, GENEROUS_MS);
      const [note = ''] = await world.notes('gone', 'Orphaned');
      assert.ok(note.includes(clientId), note);
      assert.equal((await atServer('gone'))[0]?.client_id, clientId);
      shows('spring', 'deletion', 'not offered: the client stays there (`Orphaned`)');
    });

    it('whose grant is withdrawn loses its Secret and its keys after the grace, stays there, and is named', async () => {
      const { kube } = world.installation;
      const spec = Object((await kube.get(authorizationServers, { name: SERVER }))?.['spec']);
      const granting = (...scopes: string[]) =>
        apply(kube, {
          apiVersion: 'certbound.dev/v1alpha1',
          kind: authorizationServers.kind,
          metadata: { name: 'withdrawing' },
          spec: { ...spec, clients: { ...spec.clients, scopes, withdrawalGracePeriod: '5s' } },
        });
      await granting('accounts:read');
      const client = world.client('withdrawn', {
        authorizationServerRef: { name: 'withdrawing' },
        scope: 'accounts:read',
      });
      const clientId = await registered(world, client);
      await granting('accounts:write');
      await client.until(
        ({ conditions = [] }) => conditions.some((c) => c.type === 'Registered' && c.reason === 'NotGranted'),
        GENEROUS_MS,
      );
      await waitFor(async () => (await client.secret()) === undefined, GENEROUS_MS);
      await waitFor(async () => (await world.notes('withdrawn', 'Orphaned')).length > 0, GENEROUS_MS);
      const [note = ''] = await world.notes('withdrawn', 'Orphaned');
      assert.ok(note.includes(clientId) && note.includes('delete it there'), note);
      assert.equal((await atServer('withdrawn'))[0]?.client_id, clientId);
      await waitFor(async () => {
        const record = await client.record();
        return record !== undefined && Object.keys(record.material.certificates).length === 0;
      }, GENEROUS_MS);
      const isNamed = async () =>
        (await client.condition('Registered'))?.message.includes(`client ${clientId} since `) === true;
      await waitFor(isNamed, GENEROUS_MS);

      await granting('accounts:read');
      await client.ready(GENEROUS_MS);
      assert.ok(await isNamed());
      const anew = await client.credentials();
      assert.equal(await boundTo(anew), anew.x5tS256);
      // Its certificates don't open what the old registration was granted.
      const asBefore = await requestToken({ ...anew, clientId });
      assert.equal(asBefore.json['error'], 'invalid_client', asBefore.text);
      await client.delete();
      await client.gone();
    });

    it('without converters of its own it registers a client with a secret, which is refused and named', async () => {
      await world.spring.setStock(true);
      // The client before was registered twice.
      await world.newInitialAccessToken();
      try {
        const stock = await world.client('stock').apply();
        const status = await stock.until(
          ({ conditions = [] }) =>
            conditions.some(({ type, reason }) => type === 'Ready' && reason === 'MetadataRejected'),
          GENEROUS_MS,
        );
        assert.match(
          status.conditions?.find(({ type }) => type === 'Ready')?.message ?? '',
          /token_endpoint_auth_method \(asked: tls_client_auth; registered: client_secret_basic\)/,
        );
        assert.equal(await stock.secret(), undefined);
        const [left] = await atServer('stock');
        await waitFor(async () =>
          (await world.notes('stock', 'Orphaned')).some((note) => note.includes(left?.client_id ?? '?')),
        );
        await stock.delete();
        await stock.gone();
      } finally {
        await world.spring.setStock(false);
        await world.newInitialAccessToken();
      }
    });

    it('refresh tokens of a confidential client go on through a rotation, with either certificate (M12)', async () => {
      const login = world.client('code');
      const clientId = await registered(world, login, {
        grantTypes: ['authorization_code', 'refresh_token'],
        redirectURIs: [REDIRECT_URI],
      });
      const { certificate: old } = await login.credentials();
      const granted = await authorizationCode(clientId, old);
      const refresh = (certificate: KeyPairPem) =>
        token({ client_id: clientId, grant_type: 'refresh_token', refresh_token: granted.refreshToken }, certificate);
      assert.equal((await refresh(old)).status, 200);
      const x5tS256 = await rotated(login);
      const { certificate: renewed } = await login.credentials();
      const answer = await refresh(renewed);
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(claimsOf(String(answer.json['access_token']))['cnf'], { 'x5t#S256': x5tS256 });
      assert.equal((await refresh(old)).status, 200, 'the old one drains');
      const other = await world.client('first').credentials();
      assert.equal((await refresh(other.certificate)).json['error'], 'invalid_client');
      shows('spring', 'refreshTokens', 'go on');
    });

    it('M2: a certificate does not speak for another client, nor another CA’s for the same name', async () => {
      const [a, b] = [await world.client('token-one').credentials(), await world.client('token-two').credentials()];
      const crossed = await requestToken(b, { certificate: a.certificate });
      assert.equal(crossed.json['error'], 'invalid_client', crossed.text);
      const stranger = await createThrowawayCa('Stranger CA');
      const impostor = await createClientCertificate({ subject: 'CN=token-one,O=team', ca: stranger });
      await assert.rejects(requestToken(a, { certificate: impostor }), 'the handshake');
      const withoutOne = await requestToken(a, { certificate: undefined });
      assert.ok(withoutOne.status >= 400 && withoutOne.json['access_token'] === undefined, withoutOne.text);
      shows('spring', 'others', 'refused');
    });

    it('a certificate without its issuer is taken for a self-signed one', async () => {
      const { certificate, ...credentials } = await world.client('token-one').credentials();
      const [leaf = ''] = certificate.certPem.split(/(?<=-----END CERTIFICATE-----\n)/);
      assert.notEqual(leaf, certificate.certPem);
      const answer = await requestToken(
        { ...credentials, certificate },
        { certificate: { ...certificate, certPem: leaf } },
      );
      assert.equal(answer.json['error'], 'invalid_client', answer.text);
    });

    const names = [
      'CN=m3,O=Acme\\, Inc.',
      'CN=m3\\+plus,OU=a=b#c',
      'CN=m3 \\"quoted\\"\\\\',
      'CN=Zoë Müller,O=株式会社,C=JP',
      'CN=m3,OU=one,OU=two,DC=example,DC=test',
      'UID=m3,STREET=Main 1,L=Here,ST=There',
      '2.5.4.5=#1303313233',
      // Java has the attributes of an RDN in the order of their DER.
      'UID=7+CN=m3,O=Acme',
      'CN=m3 with a longer name+UID=7,O=Acme',
    ];
    it('M3: it compares names as text, and what is registered is its text', async () => {
      for (const name of names) {
        const dn = formatDn(parseDn(name));
        const { clientId, status, text } = await register({ tls_client_auth_subject_dn: dn });
        assert.equal(status, 201, `${name}: ${text}`);
        const answer = await token({ client_id: clientId, grant_type: 'client_credentials' }, await issued(dn));
        assert.equal(answer.status, 200, `${dn}: ${answer.text}`);
      }
      // RFC 4514 §4 would have it the same name.
      const { clientId } = await register({ tls_client_auth_subject_dn: 'cn=M3 text,o=acme' });
      const answer = await token(
        { client_id: clientId, grant_type: 'client_credentials' },
        await issued('CN=M3 text,O=acme'),
      );
      assert.equal(answer.json['error'], 'invalid_client');
    });

    it('M4, M5: exactly one name, and no alternative ones', async () => {
      const dn = { tls_client_auth_subject_dn: 'CN=m4' };
      const alternatives = {
        tls_client_auth_san_dns: 'm4.example.test',
        tls_client_auth_san_uri: 'spiffe://example.test/m4',
        tls_client_auth_san_ip: '192.0.2.4',
        tls_client_auth_san_email: 'm4@example.test',
      };
      for (const members of [{}, ...Object.entries(alternatives).map(([name, value]) => ({ [name]: value }))]) {
        const answer = await register({ ...members, scope: 'accounts:read' });
        assert.equal(answer.status, 400, JSON.stringify(members));
        assert.match(answer.text, /invalid_client_metadata/);
      }
      for (const [name, value] of Object.entries(alternatives)) {
        assert.equal((await register({ ...dn, [name]: value })).status, 400);
      }
      shows('spring', 'tlsClientAuth', 'its DN alone, compared as text');
    });

    it('by OpenID Connect it registers what it understands, shows it, and changes or deletes nothing', async () => {
      const { issuer, caPem: caBundle } = world.spring;
      const connection = new ServerConnection(
        serverObject(
          { issuer, caBundle, connectTo: [{ host: SPRING_HOST, addresses: ['127.0.0.1'] }] },
          { tokenEndpoint: `${issuer}/oauth2/token`, registrationEndpoint: `${issuer}/connect/register` },
        ),
      );
      const initialAccessToken = await world.spring.initialAccessToken();
      const asked = {
        client_name: 'oidc',
        token_endpoint_auth_method: 'tls_client_auth',
        tls_client_auth_subject_dn: 'CN=oidc',
        tls_client_certificate_bound_access_tokens: true,
        grant_types: ['authorization_code'],
        response_types: ['code'],
        redirect_uris: [REDIRECT_URI],
      };
      const created = await dynamicRegistration.create(access(connection, { initialAccessToken }), asked);
      const refused = await code(dynamicRegistration.create(access(connection, { initialAccessToken }), asked));
      assert.equal(refused, 'InitialAccessTokenSpent');
      assert.deepEqual(
        echoViolations(asked, created.metadata)
          .map(({ member }) => member)
          .toSorted(),
        ['tls_client_auth_subject_dn', 'tls_client_certificate_bound_access_tokens', 'token_endpoint_auth_method'],
      );
      const handle = handleOf(created);
      const read = await dynamicRegistration.read(access(connection), handle);
      assert.equal(read.clientId, created.clientId);
      assert.equal(read.registrationAccessToken, undefined);
      assert.equal(await code(dynamicRegistration.update(access(connection), handle, asked)), 'RegistrationRefused');
      assert.equal(await code(dynamicRegistration.remove(access(connection), handle)), 'DeletionUnsupported');
      await connection.close();
    });
  }

  /** With the issuer behind it, as Certbound publishes it. */
  async function issued(subject: string): Promise<KeyPairPem> {
    const { certificatePem, privateKeyPem } = world.clientCa;
    const leaf = await createClientCertificate({ subject, ca: { certPem: certificatePem, keyPem: privateKeyPem } });
    return { certPem: leaf.certPem + certificatePem, keyPem: leaf.keyPem };
  }

  /** Straight at the server. */
  async function register(
    members: Record<string, unknown>,
  ): Promise<{ clientId: string; status: number; text: string }> {
    const { json, status, text } = await world.spring.call('/oauth2/register', {
      headers: { authorization: `Bearer ${await world.spring.initialAccessToken()}` },
      body: {
        client_name: 'straight',
        token_endpoint_auth_method: 'tls_client_auth',
        tls_client_certificate_bound_access_tokens: true,
        grant_types: ['client_credentials'],
        ...members,
      },
    });
    return { clientId: String(json['client_id']), status, text };
  }

  const token = (form: Record<string, string>, certificate: KeyPairPem): Promise<Answer> =>
    world.spring.call('/oauth2/token', { certificate, body: new URLSearchParams(form) });

  /** A pushed request (RFC 9126), a user who signs in, and the code exchanged, all with the client's certificate. */
  async function authorizationCode(clientId: string, certificate: KeyPairPem): Promise<{ refreshToken: string }> {
    const verifier = 'a'.repeat(43);
    const challenge = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(verifier))).toString('base64url');
    const pushed = await world.spring.call('/oauth2/par', {
      certificate,
      body: new URLSearchParams({
        client_id: clientId,
        response_type: 'code',
        redirect_uri: REDIRECT_URI,
        scope: 'accounts:read',
        code_challenge: challenge,
        code_challenge_method: 'S256',
      }),
    });
    assert.equal(pushed.status, 201, pushed.text);
    const query = new URLSearchParams({ client_id: clientId, request_uri: String(pushed.json['request_uri']) });
    const { name, password } = world.spring.user;
    const signedIn = await call({
      url: `${world.spring.issuer}/oauth2/authorize?${query.toString()}`,
      ca: world.spring.caPem,
      headers: { authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` },
    });
    assert.equal(signedIn.status, 302, signedIn.text);
    const location = new URL(signedIn.headers['location']?.[0] ?? '');
    assert.equal(location.origin + location.pathname, REDIRECT_URI);
    const answer = await token(
      {
        client_id: clientId,
        grant_type: 'authorization_code',
        code: location.searchParams.get('code') ?? '',
        redirect_uri: REDIRECT_URI,
        code_verifier: verifier,
      },
      certificate,
    );
    assert.equal(answer.status, 200, answer.text);
    return { refreshToken: String(answer.json['refresh_token']) };
  }
});

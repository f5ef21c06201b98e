/** The driver for Keycloak against a real one. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { changedMembers, echoViolations } from '../../src/authserver/registration/client-metadata.ts';
import { ServerConnection } from '../../src/authserver/connection/connection.ts';
import type { ServerCredentials } from '../../src/authserver/credentials.ts';
import { discover } from '../../src/authserver/discovery.ts';
import { keycloak as driver } from '../../src/authserver/keycloak/keycloak.ts';
import { driverFor } from '../../src/authserver/registry.ts';
import { OperatorError } from '../../src/errors.ts';
import { driverContract, handleOf, metadataOf } from '../authserver/contract.ts';
import { access, HOST, lasting, serverObject } from '../authserver/servers.ts';
import { freePort } from '../support/free-port.ts';
import { type Keycloak, LEAST_ROLES, type Realm, startKeycloak } from '../support/keycloak.ts';
import { type ServerProxy, startServerProxy } from '../support/server-proxy.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';

const extensions = { caSubject: 'CN=Example Client CA,O=Example' };
const asked = () => metadataOf('tls_client_auth', { extensions });

function management(clientId: string, clientSecret: string): ServerCredentials {
  return { management: { clientId, proof: { clientSecret } } };
}

describe('Keycloak', () => {
  let server: Keycloak;
  let realm: Realm;
  let proxy: ServerProxy;
  let connection: ServerConnection;
  let credentials: ServerCredentials;

  before(async () => {
    const [ca, clientCa] = [await createThrowawayCa('Server CA'), await createThrowawayCa('Client CA')];
    const port = await freePort();
    const issue = () => ca.issue({ cn: HOST, dns: [HOST] });
    const certificate = await issue();
    server = await startKeycloak({
      host: HOST,
      port,
      tls: await issue(),
      caPem: ca.certPem,
      clientCaPem: clientCa.certPem,
    });
    proxy = await startServerProxy({
      address: '127.0.0.2',
      port,
      certificate,
      target: '127.0.0.1',
      targetCaPem: ca.certPem,
    });
    realm = await server.realm('corporate');
    for (const scope of ['accounts:read', 'accounts:write']) await realm.scope(scope);
    const { secret } = await realm.serviceAccount('certbound', LEAST_ROLES);
    credentials = management('certbound', secret);
    const spec = {
      issuer: realm.issuer,
      keycloak: { clientId: 'certbound' },
      caBundle: ca.certPem,
      connectTo: [{ host: HOST, addresses: ['127.0.0.2'] }],
    };
    const first = new ServerConnection(serverObject(spec));
    const { endpoints, capabilities } = await discover(first, spec, lasting());
    await first.close();
    assert.ok(capabilities.authMethods?.includes('tls_client_auth'));
    assert.equal(capabilities.certificateBoundTokens, true);
    connection = new ServerConnection(serverObject(spec, endpoints));
  });
  after(async () => {
    await connection?.close();
    await proxy?.stop();
    await server?.stop();
  });

  driverContract(driver, () =>
    Promise.resolve({
      connection,
      credentials,
      strange: management('certbound', 'another secret'),
      clients: async () => (await realm.clients()).map(({ clientId }) => clientId).toSorted(),
      loseAnswers: (lose) => {
        if (!lose) proxy.endInjections();
        else proxy.inject(({ method, path }) => method !== 'GET' && path.startsWith('/admin/'), { kind: 'reset' });
      },
      forget: (clientId) => realm.delete(clientId),
      refused: { metadata: { redirect_uris: ['https://app.example.com/cb#there'] }, says: / It says: .*redirect/i },
    }),
  );

  const stored = async (clientId: string) => {
    const client = await realm.client(clientId);
    assert.ok(client !== undefined);
    return client;
  };

  test('it is what the registry has for its spec', () => {
    const spec = { issuer: realm.issuer, keycloak: { clientId: 'certbound' } };
    assert.equal(driverFor({ spec }), driver);
  });

  test('a client is made that its certificate alone authenticates, exactly compared', async () => {
    const metadata = await asked();
    const { clientId } = await driver.create(access(connection, credentials), metadata);
    const client = await stored(clientId);
    assert.equal(client['clientAuthenticatorType'], 'client-x509');
    assert.equal(client.attributes['x509.subjectdn'], metadata['tls_client_auth_subject_dn']);
    assert.equal(client.attributes['x509.casubjectdn'], 'CN=Example Client CA,O=Example');
    assert.equal(client.attributes['x509.allow.regex.pattern.comparison'], 'false');
    assert.equal(client.attributes['tls.client.certificate.bound.access.tokens'], 'true');
    assert.equal(client.attributes['certbound.dev/owner'], metadata['certbound_owner']);
    assert.deepEqual(client.optionalClientScopes, ['accounts:read']);
    assert.ok(client.defaultClientScopes.includes('basic'), 'the scopes that the realm gives every client');
    const flags = ['publicClient', 'standardFlowEnabled', 'implicitFlowEnabled', 'directAccessGrantsEnabled'];
    for (const flag of [...flags, 'fullScopeAllowed', 'bearerOnly']) assert.equal(client[flag], false, flag);
    assert.equal(client['serviceAccountsEnabled'], true);
  });

  test('an update keeps what administrators added, and undoes what they did to ours', async () => {
    const metadata = await asked();
    const created = await driver.create(access(connection, credentials), metadata);
    const { clientId } = created;
    await realm.change(clientId, ({ attributes }) => ({
      description: 'seen by people',
      attributes: {
        ...attributes,
        'access.token.lifespan': '120',
        'x509.subjectdn': '.*',
        'x509.allow.regex.pattern.comparison': 'true',
        'tls.client.certificate.bound.access.tokens': 'false',
      },
      directAccessGrantsEnabled: true,
      redirectUris: ['https://evil.example.com/*'],
    }));
    const read = await driver.read(access(connection, credentials), handleOf(created));
    assert.deepEqual(changedMembers(metadata, read.metadata).toSorted(), [
      'grant_types',
      'redirect_uris',
      'tls_client_auth_subject_dn',
      'tls_client_certificate_bound_access_tokens',
    ]);
    const updated = await driver.update(access(connection, credentials), handleOf(created), metadata);
    assert.deepEqual(echoViolations(metadata, updated.metadata), []);
    const client = await stored(clientId);
    assert.equal(client['description'], 'seen by people');
    assert.equal(client.attributes['access.token.lifespan'], '120');
    assert.equal(client.attributes['x509.subjectdn'], metadata['tls_client_auth_subject_dn']);
    assert.equal(client['directAccessGrantsEnabled'], false);
    assert.deepEqual(client.redirectUris, []);
  });

  test('a pattern in place of the subject is another subject', async () => {
    const metadata = await asked();
    const created = await driver.create(access(connection, credentials), metadata);
    await realm.change(created.clientId, ({ attributes }) => ({
      attributes: { ...attributes, 'x509.allow.regex.pattern.comparison': '' },
    }));
    const read = await driver.read(access(connection, credentials), handleOf(created));
    assert.deepEqual(changedMembers(metadata, read.metadata), ['tls_client_auth_subject_dn']);
  });

  test('the CA that is compared can be cleared', async () => {
    const { tls_client_auth_ca_subject_dn: _ca, ...without } = await asked();
    const created = await driver.create(access(connection, credentials), {
      ...without,
      tls_client_auth_ca_subject_dn: 'CN=A',
    });
    const updated = await driver.update(access(connection, credentials), handleOf(created), without);
    assert.deepEqual(echoViolations(without, updated.metadata), []);
    assert.equal((await stored(created.clientId)).attributes['x509.casubjectdn'], undefined);
  });

  test('a scope that the realm has by default, or not at all', async () => {
    const metadata = { ...(await asked()), scope: 'openid profile accounts:read no-such-scope' };
    const created = await driver.create(access(connection, credentials), metadata);
    assert.deepEqual(changedMembers(metadata, created.metadata), ['scope']);
    assert.equal(created.metadata['scope'], 'openid accounts:read profile');
    const client = await stored(created.clientId);
    assert.ok(!client.defaultClientScopes.includes('profile'), 'it has to be asked for');
    const wanted = { ...metadata, scope: 'email openid' };
    const updated = await driver.update(access(connection, credentials), handleOf(created), wanted);
    assert.deepEqual(echoViolations(wanted, updated.metadata), []);
    const { defaultClientScopes, optionalClientScopes } = await stored(created.clientId);
    assert.deepEqual([defaultClientScopes.includes('email'), optionalClientScopes], [false, ['email']]);
  });

  test('a redirect URI with a wildcard is refused before anything is made', async () => {
    const count = (await realm.clients()).length;
    const metadata = { ...(await asked()), redirect_uris: ['https://app.example.com/cb/*'] };
    await assert.rejects(
      driver.create(access(connection, credentials), metadata),
      /RegistrationRefused|write the whole URI/,
    );
    assert.equal((await realm.clients()).length, count);
  });

  test('a client that was imported anew is still known; one that lost its mark stays ours by its id', async () => {
    const metadata = await asked();
    const created = await driver.create(access(connection, credentials), metadata);
    const { id: _old, ...copy } = await stored(created.clientId);
    await realm.delete(created.clientId);
    await realm.admin('POST', '/clients', copy);
    const read = await driver.read(access(connection, credentials), handleOf(created));
    assert.deepEqual(changedMembers(metadata, read.metadata), []);
    await realm.change(created.clientId, ({ attributes }) => ({
      attributes: { ...attributes, 'certbound.dev/owner': '' },
    }));
    const unmarked = await driver.read(access(connection, credentials), handleOf(read));
    assert.deepEqual(changedMembers(metadata, unmarked.metadata), ['certbound_owner']);
    const updated = await driver.update(access(connection, credentials), handleOf(read), metadata);
    assert.deepEqual(changedMembers(metadata, updated.metadata), []);
  });

  test('what another owner has by now is not deleted', async () => {
    const created = await driver.create(access(connection, credentials), await asked());
    await realm.change(created.clientId, ({ attributes }) => ({
      attributes: { ...attributes, 'certbound.dev/owner': 'us2/other/one' },
    }));
    await assert.rejects(driver.remove(access(connection, credentials), handleOf(created)), { code: 'ClientIdTaken' });
    assert.ok((await realm.client(created.clientId)) !== undefined);
  });

  describe('the service account of the operator', () => {
    for (const roles of [[], ['view-clients'], ['create-client']]) {
      test(`is refused with ${roles.join() || 'no role'}, and says which it needs`, async () => {
        const clientId = `operator-with-${roles.join('-') || 'nothing'}`;
        const { secret } = await realm.serviceAccount(clientId, roles);
        const count = (await realm.clients()).length;
        const metadata = await asked();
        await assert.rejects(driver.create(access(connection, management(clientId, secret)), metadata), (error) => {
          assert.ok(error instanceof OperatorError);
          assert.equal(error.code, 'RegistrationUnauthorized');
          assert.match(error.message, /\(403\).*the role manage-clients of the client realm-management/);
          return true;
        });
        assert.equal((await realm.clients()).length, count);
      });
    }

    test('with another secret, without one, or gone, says so without the secret', async () => {
      for (const credential of [management('certbound', 'not-the-secret-0123456789'), management('nobody', 'a'), {}]) {
        await assert.rejects(driver.create(access(connection, credential), await asked()), (error) => {
          assert.ok(error instanceof OperatorError);
          assert.equal(error.code, 'RegistrationUnauthorized');
          assert.doesNotMatch(error.message, /not-the-secret/);
          return true;
        });
      }
    });

    test('a token that ended or was revoked is replaced once', async () => {
      const created = await driver.create(access(connection, credentials), await asked());
      // Keycloak refuses every token of before.
      await realm.admin('PUT', '', { notBefore: Math.floor(Date.now() / 1000) + 1 });
      await new Promise((resolve) => setTimeout(resolve, 2_000));
      const read = await driver.read(access(connection, credentials), handleOf(created));
      assert.equal(read.clientId, created.clientId);
    });
  });
});

/**
 * What is wrong with what a platform says of Keycloak, or with what Keycloak is set up to allow: said in Keycloak's own words, with
 * nothing written, and over once it is put right: within a minute, as a clock of its own shows (test/years/timers.test.ts).
 */
import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { authorizationServers } from '../../src/api/resources.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { LEAST_ROLES } from '../support/keycloak.ts';
import { type KeycloakWorld, startKeycloakWorld } from './keycloak-world.ts';

const limitMs = 150_000;
const SECRET = 'not-the-secret-of-anybody';

describe('Keycloak, set up wrongly', () => {
  let world: KeycloakWorld;
  before(async () => {
    world = await startKeycloakWorld();
    await world.serverBecomes('corporate', 'True', 'Ready');
  });
  after(() => world?.stop());

  const at = (name: string) => ({ authorizationServerRef: { name } });
  const told = async (client: TestClient, reason: string): Promise<string> => {
    const { conditions } = await client.until(
      (status) => status.conditions?.some((c) => c.type === 'Registered' && c.reason === reason) === true,
      limitMs,
    );
    return conditions?.find(({ type }) => type === 'Registered')?.message ?? '';
  };
  const nothingWritten = async (client: TestClient) => {
    assert.equal(await client.secret(), undefined, 'a Secret was published');
    assert.equal(await client.record(), undefined, 'an own Secret was written');
    assert.equal(await world.realm.client(world.clientId(client.ref.name)), undefined, 'a client was registered');
  };
  /** The cause ends; so does what it caused. How long that takes says more of the machine's load. */
  async function recovers(t: TestContext, end: () => Promise<unknown>, over: () => Promise<unknown>): Promise<void> {
    await end();
    const since = performance.now();
    await over();
    t.diagnostic(`over after ${Math.round(performance.now() - since)} ms`);
  }
  const credential = (clientId: string, name: string) => ({
    keycloak: { clientId, clientSecretRef: { name, key: 'client-secret' } },
  });

  it('a wrong secret is the server’s problem, in Keycloak’s words; another Secret is taken at once', async (t) => {
    await world.secret('wrong', { 'client-secret': SECRET });
    await world.server('wrong-secret', credential('certbound', 'wrong'));
    const { message } = await world.serverBecomes('wrong-secret', 'False', 'RegistrationUnauthorized');
    assert.match(
      message,
      /no token as client "certbound" \(401\)\. It says: (invalid|unauthorized)_client: .*Check that client in the realm/,
    );
    const client = await world.client('wrong-secret', at('wrong-secret')).apply();
    assert.match(await told(client, 'AuthorizationServerNotReady'), /a problem that the platform team sees/);
    await nothingWritten(client);
    assert.doesNotMatch(`${message}${await world.log()}`, new RegExp(SECRET));
    await recovers(
      t,
      () => world.secret('wrong', { 'client-secret': world.clientSecret }),
      () => client.ready(limitMs),
    );
    await world.serverBecomes('wrong-secret', 'True', 'Ready');
  });

  it('a client that is not there is named', async () => {
    await world.server('nobody', credential('nobody', 'keycloak'));
    const { message } = await world.serverBecomes('nobody', 'False', 'RegistrationUnauthorized');
    assert.match(message, /no token as client "nobody" \(401\)\. It says: /);
  });

  for (const roles of [[], ['view-clients'], ['create-client']]) {
    it(`with ${roles.join() || 'no role'} it says which role is missing, until it is given`, async (t) => {
      const name = `operator-with-${roles.join() || 'nothing'}`;
      const { secret } = await world.realm.serviceAccount(name, roles);
      await world.secret(name, { 'client-secret': secret });
      await world.server(name, credential(name, name));
      const { message } = await world.serverBecomes(name, 'False', 'RegistrationUnauthorized');
      assert.match(message, /did not let us manage clients.* the role manage-clients of the client realm-management/);
      const client = await world.client(name, at(name)).apply();
      await told(client, 'AuthorizationServerNotReady');
      await nothingWritten(client);
      await recovers(
        t,
        () => world.realm.grant(name, LEAST_ROLES),
        () => client.ready(limitMs),
      );
    });
  }

  it('a role that is taken away is told by the server too, and what is published goes on', async (t) => {
    const name = 'losing-its-role';
    const { secret } = await world.realm.serviceAccount(name, LEAST_ROLES);
    await world.secret(name, { 'client-secret': secret });
    await world.server(name, credential(name, name));
    const client = await world.client(name, at(name)).apply();
    await client.ready(limitMs);
    const values = await client.values();
    await world.realm.revoke(name);
    await client.apply({ scope: 'accounts:read' });
    assert.match(await told(client, 'RegistrationUnauthorized'), /\(403\)/);
    const { message } = await world.serverBecomes(name, 'False', 'RegistrationUnauthorized');
    assert.match(message, /the role manage-clients/);
    assert.deepEqual(await client.values(), values);
    assert.equal(await boundTo(await client.credentials()), values['x5t_s256']);
    await recovers(
      t,
      () => world.realm.grant(name, LEAST_ROLES),
      async () => {
        await client.until(
          ({ conditions }) => conditions?.some((c) => c.type === 'Registered' && c.status === 'True') === true,
          limitMs,
        );
        await client.ready(limitMs);
      },
    );
    assert.deepEqual((await world.realm.client(world.clientId(name)))?.optionalClientScopes, ['accounts:read']);
    await world.serverBecomes(name, 'True', 'Ready');
  });

  it('a realm that is not there, until it is', async (t) => {
    const issuer = world.realm.issuer.replace(/[^/]+$/, 'later');
    await world.server('later', { issuer });
    const { message } = await world.serverBecomes('later', 'False', 'DiscoveryFailed');
    assert.match(message, /realms\/later.* answered 404 and says: Realm does not exist.*Check the issuer/);
    const client = await world.client('later', at('later')).apply();
    await told(client, 'AuthorizationServerNotReady');
    await nothingWritten(client);
    let secret = '';
    await recovers(
      t,
      async () => {
        const realm = await world.keycloak.realm('later');
        for (const scope of ['accounts:read', 'accounts:write']) await realm.scope(scope);
        ({ secret } = await realm.serviceAccount('certbound', LEAST_ROLES));
      },
      // The credential is the other realm's.
      () => world.serverBecomes('later', 'False', 'RegistrationUnauthorized'),
    );
    await world.secret('later', { 'client-secret': secret });
    await world.kube.patch(
      authorizationServers,
      { name: 'later' },
      { spec: { keycloak: { clientSecretRef: { name: 'later' } } } },
      { type: 'merge' },
    );
    await client.ready(limitMs);
  });

  it('a CA that did not sign its certificate, and an Admin REST API that is elsewhere', async (t) => {
    await world.server('untrusted', { caBundle: world.clientCa.certPem });
    assert.match(
      (await world.serverBecomes('untrusted', 'False', 'ServerUnavailable')).message,
      /not trusted.*caBundle/,
    );
    const client = await world.client('untrusted', at('untrusted')).apply();
    await told(client, 'AuthorizationServerNotReady');
    await nothingWritten(client);
    await recovers(
      t,
      () => world.server('untrusted'),
      () => client.ready(limitMs),
    );
    const { keycloak } = await specOf('corporate');
    await world.server('elsewhere', { keycloak: { ...keycloak, adminURL: `${keycloak.adminURL}/auth` } });
    assert.match(
      (await world.serverBecomes('elsewhere', 'False', 'RegistrationRefused')).message,
      /\(404\).*Is keycloak\.adminURL of the AuthorizationServer right\?/,
    );
    await recovers(
      t,
      () => world.server('elsewhere'),
      () => world.serverBecomes('elsewhere', 'True', 'Ready'),
    );
  });

  async function specOf(name: string): Promise<{ keycloak: { clientId: string; adminURL: string } }> {
    return Object((await world.kube.get(authorizationServers, { name }))?.['spec']);
  }

  it('a client_id that somebody has: theirs is untouched, ours is registered once it is free', async (t) => {
    const clientId = world.clientId('taken');
    await world.realm.admin('POST', '/clients', { clientId, description: 'theirs' });
    const theirs = await world.realm.client(clientId);
    const client = await world.client('taken').apply();
    assert.match(await told(client, 'ClientIdTaken'), /left as it is.*rename or delete/);
    assert.equal(await client.secret(), undefined);
    assert.deepEqual(await world.realm.client(clientId), theirs);
    await recovers(
      t,
      () => world.realm.delete(clientId),
      () => client.ready(limitMs),
    );
  });

  it('metadata that Keycloak refuses, until its policy allows them', async (t) => {
    const profiles = (executor: Record<string, unknown>[]) => ({
      profiles: executor.length === 0 ? [] : [{ name: 'strict', description: '', executors: executor }],
    });
    const policies = (on: boolean) => ({
      policies: on
        ? [
            {
              name: 'strict',
              description: '',
              enabled: true,
              conditions: [{ condition: 'any-client', configuration: {} }],
              profiles: ['strict'],
            },
          ]
        : [],
    });
    // Of all that a profile can demand, this one no client of ours can be.
    const executor = {
      executor: 'secure-client-authenticator',
      configuration: { 'allowed-client-authenticators': ['client-jwt'] },
    };
    await world.realm.admin('PUT', '/client-policies/profiles', profiles([executor]));
    await world.realm.admin('PUT', '/client-policies/policies', policies(true));
    const client = await world.client('refused').apply();
    const message = await told(client, 'RegistrationRefused');
    assert.match(
      message,
      /refused to register the client \(400\)\. It says: .+Change the OAuthClient or what the realm allows/,
    );
    assert.equal(await client.secret(), undefined);
    assert.equal(await world.realm.client(world.clientId('refused')), undefined);
    await recovers(
      t,
      async () => {
        await world.realm.admin('PUT', '/client-policies/policies', policies(false));
        await world.realm.admin('PUT', '/client-policies/profiles', profiles([]));
      },
      () => client.ready(limitMs),
    );
  });
});

/** A client that an administrator deleted at the authorization server, or whose metadata was changed there. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { SELF_SIGNED_SERVER } from '../support/self-signed-platform.ts';
import { startLifecycleWorld, type LifecycleWorld } from './lifecycle-world.ts';

const narrower = 'accounts:read';

describe('a registration that is gone', () => {
  let world: LifecycleWorld;
  before(async () => {
    world = await startLifecycleWorld('self_signed_tls_client_auth');
  });
  after(() => world?.installation.stop());

  /** Deleted at the server, and found out by an update; meanwhile another client is accepted there. */
  const deleted = async (name: string): Promise<{ client: TestClient; clientId: string }> => {
    const client = world.client(name);
    await client.apply();
    const { clientId = '' } = await client.ready();
    assert.ok(world.installation.authorizationServer.store.forgetClient(clientId));
    await client.apply({ scope: narrower });
    await client.until(
      ({ conditions }) => conditions?.some(({ reason }) => reason === 'RegistrationAccessTokenLost') === true,
    );
    const witness = world.client(`${name}-witness`);
    await witness.apply();
    await witness.ready();
    return { client, clientId };
  };
  const assertAnew = async (client: TestClient, before_: string) => {
    const { clientId, certificates } = await client.ready();
    assert.notEqual(clientId, before_);
    assert.equal(certificates?.length, 1);
    const registered = client.registrations();
    assert.deepEqual(
      registered.map((metadata) => [metadata['client_id'], metadata['scope']]),
      [[clientId, narrower]],
    );
    const credentials = await client.credentials();
    assert.equal(credentials.clientId, clientId);
    assert.equal(await boundTo(credentials), credentials.x5tS256);
  };

  it('is named, and registered anew when somebody asks for it', async () => {
    const { client, clientId } = await deleted('manual');
    const { conditions } = await client.until(
      ({ conditions: all }) =>
        all?.some(
          ({ type, status, reason }) => type === 'Ready' && status === 'False' && reason === 'RegistrationGone',
        ) === true,
    );
    assert.match(
      conditions?.find(({ type }) => type === 'Ready')?.message ?? '',
      new RegExp(`client ${clientId} no longer`),
    );
    assert.deepEqual(client.registrations(), []);
    await client.annotate({ [RENEW_REQUESTED]: 'anew' });
    await assertAnew(client, clientId);
  });

  it('is registered anew by itself where the platform wants that', async () => {
    const patch = { spec: { clients: { recovery: 'Recreate' } } };
    await world.installation.kube.patch(authorizationServers, { name: SELF_SIGNED_SERVER }, patch, { type: 'merge' });
    const { client, clientId } = await deleted('recreated');
    await client.until(({ clientId: now }) => now !== undefined && now !== clientId, 120_000);
    await assertAnew(client, clientId);
  });
});

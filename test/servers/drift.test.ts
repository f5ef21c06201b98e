/** Clients that an administrator edits at oidc-provider: what is ours is put back, what is theirs is kept. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { authorizationServers } from '../../src/api/resources.ts';
import { events } from '../../src/kube/resource.ts';
import { startLifecycleWorld, SCOPES, type LifecycleWorld } from '../e2e/lifecycle-world.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { SELF_SIGNED_SERVER } from '../support/self-signed-platform.ts';
import { waitFor } from '../support/wait-for.ts';
import { PUT_BACK, shows } from './support.ts';

const foreign = { logo_uri: 'https://app.example.test/logo.png', contacts: ['team@example.test'] };
/** verifyInterval, and time for the machine. */
const limitMs = 150_000;

for (const method of ['tls_client_auth', 'self_signed_tls_client_auth'] as const) {
  describe(`drift of ${method} clients`, () => {
    let world: LifecycleWorld;
    before(async () => {
      world = await startLifecycleWorld(method);
      const { kube } = world.installation;
      const name = method === 'tls_client_auth' ? 'corporate' : SELF_SIGNED_SERVER;
      await kube.patch(authorizationServers, { name }, { spec: { verifyInterval: '1m' } }, { type: 'merge' });
    });
    after(() => world?.installation.stop());

    const stored = (clientId: string): Record<string, unknown> => {
      const entry = world.installation.authorizationServer.store.model('Client').get(clientId);
      assert.ok(entry !== undefined);
      return entry.payload;
    };
    const told = async (name: string) =>
      (await world.installation.kube.list(events, { namespace: 'team' })).items
        .filter((e) => e['reason'] === 'RegistrationRestored' && Reflect.get(Object(e['regarding']), 'name') === name)
        .map((e) => String(e['note']));

    const ours =
      method === 'tls_client_auth' ? { tls_client_auth_subject_dn: 'CN=somebody,O=else' } : { jwks: { keys: [] } };
    const edits: [string, Record<string, unknown>][] = [
      ['identity', ours],
      ['scope', { scope: SCOPES[0] }],
      ['redirect', { redirect_uris: ['https://elsewhere.example.test/cb'] }],
      ['unbound', { tls_client_certificate_bound_access_tokens: false }],
      ['public', { token_endpoint_auth_method: 'none', jwks: undefined, tls_client_auth_subject_dn: undefined }],
    ];

    it('each edit is put back, told, and what others added is there still', async () => {
      const clients: [TestClient, Record<string, unknown>][] = edits.map(([name, edit]) => [world.client(name), edit]);
      await Promise.all(clients.map(([client]) => client.apply()));
      await Promise.all(clients.map(([client]) => client.ready()));
      const before_ = new Map<TestClient, Record<string, unknown>>();
      for (const [client, edit] of clients) {
        const { clientId = '' } = await client.status();
        before_.set(client, structuredClone(stored(clientId)));
        Object.assign(stored(clientId), edit, foreign);
      }
      for (const [client, edit] of clients) {
        const { clientId = '' } = await client.status();
        const isBack = () => {
          const now = stored(clientId);
          return Object.keys(edit).every(
            (member) => JSON.stringify(now[member]) === JSON.stringify(before_.get(client)?.[member]),
          );
        };
        await waitFor(isBack, limitMs);
        const { logo_uri: logo, contacts } = stored(clientId);
        assert.deepEqual({ logo_uri: logo, contacts }, foreign);
        await waitFor(async () => (await told(client.ref.name)).length > 0);
        const [note = ''] = await told(client.ref.name);
        for (const member of Object.keys(edit)) assert.ok(note.includes(member) || edit[member] === undefined, note);
        await client.ready();
        const credentials = await client.credentials();
        assert.equal(credentials.clientId, clientId);
        assert.equal(await boundTo(credentials), credentials.x5tS256);
      }
      shows('oidc-provider', 'drift', PUT_BACK);
    });

    it('with what the repair answered the client can still be managed', async () => {
      const client = world.client('scope');
      await client.apply({ scope: 'accounts:read' });
      await client.ready();
      assert.equal(client.registrations()[0]?.['scope'], 'accounts:read');
      assert.equal(client.registrations()[0]?.['logo_uri'], foreign.logo_uri);
      await client.delete();
      await client.gone();
      assert.deepEqual(client.registrations(), []);
    });
  });
}

/** What the operator can't put right at an authorization server: it says so, and what is published goes on as far as it can. */
import assert from 'node:assert/strict';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { boundTo, isTrue, type TestClient } from '../support/oauth-client.ts';
import type { ServerFaultWorld } from './authorization-server-world.ts';
import type { OtherCase } from './suite.ts';
import { clientOf, selfSignedClientOf } from './world.ts';

const AREA = 'Authorization server, for good';
const READ = { scope: 'accounts:read' };
const WRITE = { scope: 'accounts:read accounts:write' };
const isUpdate = ({ method }: { method: string }) => method === 'PUT';

async function works(client: TestClient): Promise<string> {
  const credentials = await client.credentials();
  assert.equal(await boundTo(credentials), credentials.x5tS256);
  return credentials.x5tS256;
}

const says = (client: TestClient, type: string, reason: string) =>
  client.until(({ conditions = [] }) => conditions.some((c) => c.type === type && c.reason === reason));

/** As the administrator of the server does it. */
async function forgotten({ installation }: ServerFaultWorld, client: TestClient): Promise<void> {
  const { clientId } = await client.credentials();
  assert.ok(installation.authorizationServer.store.forgetClient(clientId));
}

async function removed(client: TestClient): Promise<void> {
  await client.delete();
  await client.gone();
  assert.deepEqual(client.registrations(), []);
  assert.equal(await client.ownSecret(), undefined);
}

const cases: readonly OtherCase<ServerFaultWorld>[] = [
  {
    name: 'token lost, tls_client_auth',
    area: AREA,
    fault:
      'the server replaces the registration access token on update, and the answer to an update is lost (`tls_client_auth`)',
    outcome:
      '`Registered=Unknown/RegistrationAccessTokenLost`, `Ready` stays; a renewal needs no registration and goes on. Once the client is deleted at the server, the object can be',
    async run(world) {
      const client = await clientOf(world, 'token-lost-tls').apply(READ);
      await client.ready();
      const before = await works(client);
      world.rotatesTokens = true;
      world.corporate.inject(isUpdate, { kind: 'reset' }, 1);
      await client.apply(WRITE);
      const status = await says(client, 'Registered', 'RegistrationAccessTokenLost');
      assert.ok(isTrue(status, 'Ready'));
      assert.equal(await works(client), before);
      await client.annotate({ [RENEW_REQUESTED]: 'now' });
      await client.until((s) => s.lastHandledRenew === 'now' && s.rotation?.phase === 'Draining');
      assert.notEqual(await works(client), before);
      assert.equal(client.registrations().length, 1);
      await forgotten(world, client);
      await removed(client);
    },
  },
  {
    name: 'token lost, self_signed_tls_client_auth',
    area: AREA,
    fault: 'the same, of a `self_signed_tls_client_auth` client while its key is rotated',
    outcome: 'the same, but that the new key can’t be published: the old one stays published, and works',
    async run(world) {
      const client = await selfSignedClientOf(world, 'token-lost-self').apply(READ);
      await client.ready();
      const before = await works(client);
      world.rotatesTokens = true;
      world.selfSigned.inject(isUpdate, { kind: 'reset' }, 1);
      await client.annotate({ [RENEW_REQUESTED]: 'now' });
      const status = await says(client, 'Registered', 'RegistrationAccessTokenLost');
      assert.ok(isTrue(status, 'Ready'));
      assert.equal(await works(client), before, 'nothing is published that is not proved');
      await forgotten(world, client);
      await removed(client);
    },
  },
  {
    name: 'client edited',
    area: AREA,
    fault: 'somebody changes a registration at the server',
    outcome:
      'is put back at the next look (`verifyInterval`) or update, in our members only: what was added besides is kept',
    async run(world) {
      const { authorizationServer } = world.installation;
      const client = await clientOf(world, 'edited').apply(READ);
      const { clientId = '' } = await client.ready();
      const entry = authorizationServer.store.model('Client').get(clientId);
      assert.ok(entry !== undefined);
      entry.payload['scope'] = 'accounts:write';
      entry.payload['client_uri'] = 'https://theirs.example';
      await client.apply(WRITE);
      await client.ready();
      const [registered, ...others] = client.registrations();
      assert.deepEqual(others, []);
      assert.deepEqual([registered?.['scope'], registered?.['client_uri']], [WRITE.scope, 'https://theirs.example']);
      await works(client);
      await removed(client);
    },
  },
  {
    name: 'client deleted',
    area: AREA,
    fault: 'somebody deletes a client at the server; then its certificate is renewed',
    outcome:
      '`CertificateRefused`, and nothing else is published; nothing is registered anew. The object can be deleted',
    async run(world) {
      const client = await clientOf(world, 'deleted-there').apply(READ);
      await client.ready();
      const before = await client.credentials();
      await forgotten(world, client);
      await client.annotate({ [RENEW_REQUESTED]: 'now' });
      await says(client, 'Proved', 'CertificateRefused');
      assert.equal((await client.credentials()).x5tS256, before.x5tS256);
      assert.deepEqual(client.registrations(), []);
      await removed(client);
    },
  },
];

export const conditionCases: readonly OtherCase<ServerFaultWorld>[] = cases.map((each) => ({
  ...each,
  async run(world) {
    try {
      await each.run(world);
    } finally {
      world.rotatesTokens = false;
      world.corporate.endInjections();
      world.selfSigned.endInjections();
    }
  },
}));

/** Somebody else edits a registration at the authorization server: ours is put back, theirs is kept, and nobody fights. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ClientMetadata } from '../../src/authserver/driver.ts';
import { hour } from '../oauthclient/view.ts';
import { World, type WorldOptions } from './world.ts';

const minute = 60_000;

async function ready(options: WorldOptions): Promise<World> {
  // What is registered otherwise may be refused: that is what is looked at here.
  const world = new World({ verifyInterval: '1h', watched: false, ...options });
  await world.begin();
  await world.run(world.clock.now() + 2 * hour);
  assert.equal(world.ready, 'True/Ready');
  return world;
}

const clientIdOf = (world: World) => world.client.status?.clientId ?? '';
const registered = (world: World) => world.authorizationServer.metadataOf(clientIdOf(world)) ?? {};
const condition = (world: World, type: string) => world.client.status?.conditions?.find((one) => one.type === type);
const count = (world: World, call: string) => world.authorizationServer.calls.filter((one) => one === call).length;
const reads = (world: World) => count(world, `GET /reg/${clientIdOf(world)}`);
const updates = (world: World) => count(world, `PUT /reg/${clientIdOf(world)}`);

const foreign = { logo_uri: 'https://app.example.com/logo.png', contacts: ['team@example.com'] };

describe('a client that was edited at the server', () => {
  const edits: [string, 'tls_client_auth' | 'self_signed_tls_client_auth', ClientMetadata][] = [
    ['its scope was removed', 'tls_client_auth', { scope: undefined }],
    ['its scope was widened', 'tls_client_auth', { scope: 'accounts:read accounts:write admin' }],
    ['it got another subject', 'tls_client_auth', { tls_client_auth_subject_dn: 'CN=somebody' }],
    ['it got a second subject', 'tls_client_auth', { tls_client_auth_san_dns: 'host.example.com' }],
    ['its keys were removed', 'self_signed_tls_client_auth', { jwks: { keys: [] } }],
    [
      'its keys are another’s',
      'self_signed_tls_client_auth',
      { jwks: undefined, jwks_uri: 'https://other.example.com' },
    ],
    [
      'it authenticates with a secret',
      'tls_client_auth',
      { token_endpoint_auth_method: 'client_secret_basic', client_secret: 'a secret' },
    ],
    ['its tokens are bound to nothing', 'tls_client_auth', { tls_client_certificate_bound_access_tokens: false }],
    ['it got a redirect URI', 'tls_client_auth', { redirect_uris: ['https://elsewhere.example.com/cb'] }],
    ['it got a grant type', 'tls_client_auth', { grant_types: ['client_credentials', 'password'] }],
    ['somebody took its name', 'tls_client_auth', { client_name: 'ours now' }],
  ];
  for (const [name, method, edit] of edits) {
    for (const rotates of [false, true]) {
      test(`${name}${rotates ? ', tokens rotate' : ''}: is put back within the interval, and what others added is kept`, async () => {
        const world = await ready({ method, server: { rotates } });
        const { client_secret: _none, ...before } = registered(world);
        world.authorizationServer.edit(clientIdOf(world), { ...edit, ...foreign });
        await world.run(world.clock.now() + hour + minute);
        assert.deepEqual(registered(world), { ...before, ...foreign });
        assert.equal(world.ready, 'True/Ready');
        assert.equal(condition(world, 'Registered')?.status, 'True');
        assert.ok(world.works);
        assert.equal(world.authorizationServer.clientIds.length, 1);
      });
    }
  }

  test('what others added is theirs: no update, and the next one of ours keeps it', async () => {
    const world = await ready({ method: 'self_signed_tls_client_auth' });
    const before = updates(world);
    world.authorizationServer.edit(clientIdOf(world), foreign);
    const version = world.record;
    await world.run(world.clock.now() + 3 * hour);
    assert.equal(updates(world), before);
    assert.deepEqual(world.record, version, 'a look is no write');
    // Not looked at since: it is read before the update all the same.
    world.authorizationServer.edit(clientIdOf(world), { policy_uri: 'https://app.example.com/policy' });
    world.requestRenewal('1');
    await world.run(world.clock.now() + 10 * minute);
    assert.ok(updates(world) > before);
    const { logo_uri: logo, contacts, policy_uri: policy } = registered(world);
    assert.deepEqual({ logo_uri: logo, contacts }, foreign);
    assert.equal(policy, 'https://app.example.com/policy');
  });

  test('is read once in the interval, and nothing is written at rest', async () => {
    const world = await ready({ method: 'tls_client_auth' });
    const [before, written] = [reads(world), world.record];
    await world.run(world.clock.now() + 10 * hour);
    const more = reads(world) - before;
    assert.ok(more >= 9 && more <= 12, `${more} reads in ten hours`);
    assert.deepEqual(world.record, written);
    assert.equal(updates(world), 0);
  });

  test('the operator dies at every point of the repair, and it is put back', async () => {
    for (let point = 0; point < 12; point++) {
      const world = await ready({ method: 'self_signed_tls_client_auth' });
      const before = registered(world);
      world.authorizationServer.edit(clientIdOf(world), { scope: 'accounts:read', ...foreign });
      world.killAfter(point);
      const alive = await world.run(world.clock.now() + hour + minute);
      if (!alive) {
        world.start();
        await world.run(world.clock.now() + 2 * hour);
      }
      assert.deepEqual(registered(world), { ...before, ...foreign }, `killed at point ${point}`);
      assert.equal(world.record?.state.intent, undefined);
      assert.equal(world.ready, 'True/Ready');
    }
  });
});

describe('somebody who edits it again and again', () => {
  const wars: [string, ClientMetadata, string][] = [
    ['what it may ask for', { scope: 'accounts:read' }, 'True/Ready'],
    ['how it authenticates', { tls_client_auth_subject_dn: 'CN=somebody' }, 'False/Refused'],
  ];
  for (const [name, edit, then] of wars) {
    test(`${name}: is answered ever less often, and the condition says what is changed`, async () => {
      const world = await ready({ method: 'tls_client_auth' });
      const before = updates(world);
      const end = world.clock.now() + 2 * hour;
      const seen = new Set<string | undefined>();
      let message = '';
      while (world.clock.now() < end) {
        world.authorizationServer.edit(clientIdOf(world), edit);
        await world.run(world.clock.now() + 1_000);
        const { status, reason, message: says = '' } = condition(world, 'Registered') ?? {};
        if (end - world.clock.now() > hour || status !== 'False' || reason !== 'RegistrationReverted') continue;
        seen.add(world.ready);
        message = says;
      }
      // Unanswered for two seconds after each, it would be some hundreds.
      const repairs = updates(world) - before;
      assert.ok(repairs >= 4 && repairs <= 110, `${repairs} updates in two hours`);
      assert.ok(seen.has(then), [...seen].join());
      assert.match(
        message,
        new RegExp(`${Object.keys(edit).join()} \\(asked: .*; registered: .*\\).*Change the OAuthClient`),
      );
      // They stop.
      await world.run(world.clock.now() + hour);
      assert.equal(world.ready, 'True/Ready');
      assert.equal(condition(world, 'Registered')?.status, 'True');
      assert.equal(condition(world, 'Stalled'), undefined);
      assert.equal(registered(world)['scope'], 'accounts:read accounts:write');
    });
  }
});

describe('a server whose reads replace the registration access token', () => {
  test('is read once, and then only where it is needed', async () => {
    const world = await ready({ method: 'tls_client_auth', server: { rotatesOnRead: true } });
    const before = reads(world);
    assert.ok(before <= 1);
    await world.run(world.clock.now() + 24 * hour);
    world.kill();
    world.start();
    await world.run(world.clock.now() + 24 * hour);
    assert.equal(reads(world), 1);
    assert.equal(world.record?.state.registration?.readsRotate, true);
    world.change({ scope: 'accounts:read' });
    await world.run(world.clock.now() + hour);
    assert.equal(registered(world)['scope'], 'accounts:read', 'with the token that the read got');
    assert.equal(reads(world), 1);
  });
});

describe('a registration that can’t be read', () => {
  test('because its token was replaced there: says so, works on, and is looked at no more than once in the interval', async () => {
    const world = await ready({ method: 'tls_client_auth' });
    world.authorizationServer.replaceToken(clientIdOf(world));
    await world.run(world.clock.now() + 2 * hour);
    const { status, reason } = condition(world, 'Registered') ?? {};
    assert.deepEqual([status, reason], ['Unknown', 'RegistrationAccessTokenLost']);
    assert.equal(world.ready, 'True/Ready');
    const before = reads(world);
    await world.run(world.clock.now() + 5 * hour);
    assert.ok(reads(world) - before <= 6, `${reads(world) - before} reads`);
    const { lastTransitionTime } = condition(world, 'Registered') ?? {};
    world.kill();
    world.start();
    await world.run(world.clock.now() + 5 * minute);
    assert.equal(condition(world, 'Registered')?.reason, 'RegistrationAccessTokenLost');
    assert.equal(condition(world, 'Registered')?.lastTransitionTime, lastTransitionTime, 'also through a restart');
  });

  test('because the server is away: nothing is said, and nothing done', async () => {
    const world = await ready({ method: 'tls_client_auth' });
    const before = world.client.status;
    world.awayUntil = world.clock.now() + 5 * hour;
    await world.run(world.clock.now() + 4 * hour);
    assert.deepEqual(world.client.status, before);
  });
});

/** Backups that are too old, on either side: what is published goes on working, or the condition names what was lost. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { day, hour } from '../oauthclient/view.ts';
import { World, type WorldOptions } from './world.ts';

const methods = ['tls_client_auth', 'self_signed_tls_client_auth'] as const;

async function ready(options: WorldOptions): Promise<World> {
  const world = new World({ verifyInterval: '24h', ...options });
  await world.begin();
  await world.run(world.clock.now() + hour);
  assert.equal(world.ready, 'True/Ready');
  return world;
}

const condition = (world: World, type: string) =>
  world.client.status?.conditions?.find((one) => one.type === type)?.reason;

/** Several rotations, and the copy of the operator's own Secrets from before them is put back. */
async function restored(world: World, ageMs: number): Promise<void> {
  const restore = world.backUp();
  await world.run(world.clock.now() + ageMs);
  world.kill();
  restore();
  world.start();
}

/** Renewed every two days and a half or so. */
const weekly: WorldOptions['spec'] = { certificate: { duration: '96h', drain: '1h' } };
const monthly: WorldOptions['spec'] = { certificate: { drain: '1h' } };

describe('the operator’s own Secrets are restored from a copy of a week ago', () => {
  for (const [name, spec, days] of [
    ['what it had has ended', weekly, 7],
    ['what it had is still valid', monthly, 22],
  ] as const) {
    for (const rotates of [false, true]) {
      test(`tls_client_auth, ${name}${rotates ? ', tokens rotate' : ''}: nobody is refused for a moment`, async () => {
        const world = await ready({ method: 'tls_client_auth', spec, server: { rotates } });
        await restored(world, days * day);
        const before = world.verifier.published?.x5tS256;
        await world.run(world.clock.now() + hour);
        assert.equal(world.ready, 'True/Ready');
        assert.notEqual(world.verifier.published?.x5tS256, before, 'a successor that the record knows');
        assert.equal(world.authorizationServer.clientIds.length, 1);
        await world.run(world.clock.now() + 5 * day);
        assert.equal(world.ready, 'True/Ready');
      });
    }
  }

  test('self_signed_tls_client_auth: what is published is left alone, and the condition says what to do', async () => {
    const world = await ready({ method: 'self_signed_tls_client_auth', spec: weekly });
    await restored(world, 7 * day);
    const before = world.verifier.published?.x5tS256;
    await world.run(world.clock.now() + hour);
    assert.equal(world.ready, 'False/RecordOutdated');
    assert.equal(world.verifier.published?.x5tS256, before);
    assert.ok(world.works);
  });

  test('self_signed_tls_client_auth: and goes on from there when it is asked to', async () => {
    const world = await ready({ method: 'self_signed_tls_client_auth', spec: weekly, watched: false });
    await restored(world, 7 * day);
    await world.run(world.clock.now() + hour);
    assert.equal(world.ready, 'False/RecordOutdated');
    world.requestRenewal('1');
    await world.run(world.clock.now() + hour);
    assert.equal(world.ready, 'True/Ready');
    assert.equal(world.authorizationServer.clientIds.length, 1);
    await world.run(world.clock.now() + 8 * day);
    assert.ok(world.works);
  });

  for (const method of methods) {
    test(`${method}: a copy that misses nothing changes nothing`, async () => {
      const world = await ready({ method });
      await restored(world, day);
      await world.run(world.clock.now() + hour);
      assert.equal(world.ready, 'True/Ready');
      assert.equal(world.verifier.issued.size, 1);
    });
  }
});

describe('the authorization server is restored from a backup', () => {
  for (const rotates of [false, true]) {
    test(`with the key before the last${rotates ? ', and the token before the last' : ''}: it is told again what it forgot`, async () => {
      const world = await ready({ method: 'self_signed_tls_client_auth', server: { rotates }, watched: false });
      const restore = world.authorizationServer.backUp();
      world.requestRenewal('1');
      await world.run(world.clock.now() + hour);
      const before = world.verifier.published?.x5tS256;
      restore();
      assert.ok(!world.works);
      await world.run(world.clock.now() + 25 * hour);
      assert.equal(world.ready, 'True/Ready');
      assert.equal(world.verifier.published?.x5tS256, before, 'nothing was issued for it');
      assert.ok(world.works);
    });
  }

  test('between the registration of a new key and its proof: it is registered again, in time', async () => {
    const world = await ready({ method: 'self_signed_tls_client_auth', server: { lagMs: 30_000 } });
    const restore = world.authorizationServer.backUp();
    world.requestRenewal('1');
    await world.run(world.clock.now() + 10_000);
    assert.ok(world.busy, 'registered, and not proved yet');
    restore();
    await world.run(world.clock.now() + hour);
    assert.equal(world.ready, 'True/Ready');
    assert.equal(world.verifier.publications, 2);
  });

  test('twice from the same one: the token before the last is the one that it took', async () => {
    const spec = { certificate: { drain: '1m' } };
    const server = { rotates: true };
    const world = await ready({ method: 'self_signed_tls_client_auth', spec, server, watched: false });
    const restore = world.authorizationServer.backUp();
    for (const value of ['1', '2', '3']) {
      world.requestRenewal(value);
      // The third waits for the first drain to end.
      await world.run(world.clock.now() + (value === '3' ? 20 : 2) * 60_000);
      assert.equal(world.client.status?.lastHandledRenew, value);
      assert.ok(world.works || value !== '3');
      if (value !== '3') restore();
    }
    assert.equal(world.ready, 'True/Ready');
    assert.notEqual(condition(world, 'Registered'), 'RegistrationAccessTokenLost');
  });

  for (const method of methods) {
    test(`${method}: without the client: Refused, and nothing is registered unasked`, async () => {
      const world = new World({ method, verifyInterval: '24h', watched: false });
      const restore = world.authorizationServer.backUp();
      await world.begin();
      await world.run(world.clock.now() + hour);
      restore();
      await world.run(world.clock.now() + 25 * hour);
      assert.equal(world.ready, 'False/Refused');
      assert.deepEqual(world.authorizationServer.clientIds, []);
    });
  }
});

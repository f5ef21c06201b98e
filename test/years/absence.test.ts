/** P11: stopped for 72 hours, nothing published stops working. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { OAuthClientSpec } from '../../src/api/oauth-client.ts';
import { renewalOf } from '../../src/oauthclient/schedule.ts';
import { day, hour, viewOf, settled } from '../oauthclient/view.ts';
import { assertWellEnded } from './ending.ts';
import { randomFrom } from './random.ts';
import { longestAbsenceMs } from './trouble.ts';
import { World, type WorldOptions } from './world.ts';

const methods = ['tls_client_auth', 'self_signed_tls_client_auth'] as const;

/** A client in the middle of its first certificate. */
async function begun(options: WorldOptions): Promise<World> {
  const world = new World({ verifyInterval: '720h', ...options });
  await world.begin();
  await world.run(world.clock.now() + day);
  assert.equal(world.ready, 'True/Ready');
  return world;
}

/** When its successor is begun. */
function renewal(world: World): number {
  const published = world.record?.state.certificates.find(({ role }) => role === 'Published');
  assert.ok(published !== undefined);
  return Date.parse(
    world.client.status?.certificates?.find(({ x5tS256 }) => x5tS256 === published.x5tS256)?.renewalTime ?? '',
  );
}

describe('the operator is stopped for 72 hours', () => {
  for (const method of methods) {
    test(`${method}: at any point of a renewal, and nothing published stops working`, async () => {
      let died = 0;
      for (let points = 0; points === died && points < 200; points++) {
        const world = await begun({ method, seed: points });
        await world.run(renewal(world) - 1);
        world.killAfter(points);
        if (await world.run(renewal(world) + hour)) continue;
        died++;
        await world.run(world.clock.now() + longestAbsenceMs);
        world.start();
        await world.run(world.clock.now() + 3 * day);
        assert.equal(world.ready, 'True/Ready');
      }
      // Every write and every call of a renewal, before it arrived and after.
      assert.ok(died > 15, `it died at ${died} points`);
    });
  }

  for (const method of methods) {
    test(`${method}: at any point of a first registration, which is one, or one more that is reported`, async () => {
      let died = 0;
      for (let points = 0; points === died && points < 200; points++) {
        const world = new World({ method, verifyInterval: '720h', seed: points });
        await world.begin();
        world.killAfter(points);
        if (await world.run(world.clock.now() + hour)) continue;
        died++;
        await world.run(world.clock.now() + longestAbsenceMs);
        world.start();
        await world.run(world.clock.now() + hour);
        assertWellEnded(world, { renewals: 0, changes: 0 });
      }
      assert.ok(died > 20, `it died at ${died} points`);
    });
  }

  test('at any point of a first registration, and the platform names clients otherwise then: one identity is held', async () => {
    for (let points = 0, died = true; died; points++) {
      const world = new World({ method: 'tls_client_auth', verifyInterval: '720h', seed: points });
      await world.begin();
      world.killAfter(points);
      died = !(await world.run(world.clock.now() + hour));
      world.grant({ identityTemplates: [{ dn: 'CN={name}' }, { dn: 'CN={namespace}.{name},OU={clusterId}' }] });
      if (died) world.start();
      await world.run(world.clock.now() + hour);
      assertWellEnded(world, { renewals: 0, changes: 1 });
      assert.equal(world.heldIdentities.length, 1, `killed at point ${points}`);
    }
  });

  for (const method of methods) {
    test(`${method}: at random moments of four months, one after the other`, async () => {
      const world = await begun({ method, seed: 3 });
      const random = randomFrom(5);
      const end = world.clock.now() + 120 * day;
      while (world.clock.now() < end) {
        await world.run(world.clock.now() + random.below(3 * day));
        world.kill();
        await world.run(world.clock.now() + longestAbsenceMs);
        world.start();
      }
      await world.run(end + day);
      assert.equal(world.ready, 'True/Ready');
      assert.ok(world.verifier.issued.size <= 7, `${world.verifier.issued.size} certificates`);
    });
  }
});

describe('what it takes is a renewBefore of more than 72 hours', () => {
  /** Stopped a moment before the renewal, which is the worst. */
  async function stopped(spec: Partial<OAuthClientSpec>): Promise<World> {
    const world = await begun({ method: 'tls_client_auth', spec, watched: false });
    await world.run(renewal(world) - 1);
    world.kill();
    await world.run(world.clock.now() + longestAbsenceMs);
    return world;
  }

  test('by default it is a third of the life, which is 240 hours', async () => {
    const { desired } = viewOf(settled());
    assert.equal(desired.certificate.renewBeforeMs, 240 * hour);
    assert.ok((await stopped({})).works);
    const certificate = { stagedAt: '2026-01-01T00:00:00Z', notAfter: '2026-01-31T00:00:00Z' };
    // The spread only makes it earlier.
    assert.ok(renewalOf(certificate, desired) <= Date.parse(certificate.notAfter) - 240 * hour);
  });

  test('73 hours are enough', async () => {
    assert.ok((await stopped({ certificate: { duration: '240h', renewBefore: '73h' } })).works);
  });

  test('60 hours are not: the status says so to whoever looks, until the successor is published', async () => {
    const world = await stopped({ certificate: { duration: '240h', renewBefore: '60h' } });
    assert.ok(!world.works);
    world.awayUntil = world.clock.now() + hour;
    world.start();
    await world.run(world.clock.now() + hour / 2);
    assert.equal(world.ready, 'False/Expired');
    const stalled = world.client.status?.conditions?.find(({ type }) => type === 'Stalled');
    assert.match(stalled?.message ?? '', /ended at .* and could not be replaced/);
    await world.run(world.clock.now() + hour);
    assert.equal(world.ready, 'True/Ready');
    assert.ok(world.works);
  });
});

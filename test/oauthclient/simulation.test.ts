import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import { certificateIn } from '../../src/oauthclient/record.ts';
import { retirementOf } from '../../src/oauthclient/schedule.ts';
import { Pass } from '../../src/runtime/pass.ts';
import { createLogger } from '../../src/telemetry.ts';
import { day, hour, now } from './view.ts';
import { Killed, World, type Answer } from './world.ts';

const logger = createLogger({ level: 'error' });
const never = new AbortController().signal;

/** P1 and P3: what an application reads is accepted, and so is what it may have read before. */
function assertAccepted(world: World): void {
  const { secret, record } = world;
  if (secret === undefined || world.client.metadata.deletionTimestamp !== undefined) return;
  assert.ok(world.accepts(secret.clientId, secret.x5tS256), `${secret.x5tS256} is published and not accepted`);
  assert.ok(world.keys.has(secret.x5tS256), `the key of ${secret.x5tS256} was destroyed`);
  const at = world.clock.now();
  const { desired } = world;
  for (const certificate of record?.certificates ?? []) {
    const { x5tS256 } = certificate;
    const drains = certificate.role === 'Draining' && retirementOf(certificate, desired) > at;
    if (drains) assert.ok(world.accepts(secret.clientId, x5tS256), `${x5tS256} drains and is not accepted`);
  }
  // However late it was published: from when applications could read another one.
  for (const [x5tS256, left] of world.left) {
    const notAfter = Date.parse(world.issued.get(x5tS256)?.notAfter ?? '');
    const end = Math.min(notAfter, left + (desired.certificate.drainMs ?? Infinity) - 5_000);
    if (at < end && x5tS256 !== secret.x5tS256) {
      assert.ok(world.accepts(secret.clientId, x5tS256), `${x5tS256} was read until ${left} and is not accepted`);
    }
  }
}

/** One life of the operator: until it is killed, or has nothing to do before `end` and nothing half done. */
async function live(world: World, end: number): Promise<'killed' | 'resting'> {
  world.restart();
  const observer = {
    before: () => world.point(),
    after: () => {
      assertAccepted(world);
      if (world.dying) throw new Killed();
      world.point();
    },
  };
  const pass = new Pass(world.kind(), { clock: world.clock, logger, observer });
  try {
    for (let turn = 0; turn < 5000; turn++) {
      const { requeueAfterMs } = await pass.reconcile('payments/batch', never);
      assertAccepted(world);
      if (requeueAfterMs === undefined) return 'resting';
      if (world.clock.now() + requeueAfterMs > end && !world.busy) return 'resting';
      world.clock.advance(requeueAfterMs);
    }
  } catch (error) {
    if (error instanceof Killed) return 'killed';
    throw error;
  }
  throw new Error('it never comes to rest');
}

interface Life {
  /** How many crash points it survives. */
  points: number;
  /** How long nobody runs after it, milliseconds. */
  down: number;
}

/** Lives that end at their crash points, then one that does not. */
async function survive(world: World, lives: readonly Life[], end: number): Promise<void> {
  for (const { points, down } of lives) {
    let left = points;
    world.point = () => {
      if (left-- > 0) return;
      world.dying = true;
      throw new Killed();
    };
    if ((await live(world, end)) === 'killed') world.clock.advance(down);
  }
  world.point = () => undefined;
  assert.equal(await live(world, end), 'resting');
}

const killedAfterProof = async (down: number) => {
  const world = new World('self_signed_tls_client_auth', '48h');
  await survive(world, [], now + 10 * day);
  const old = world.secret?.x5tS256 ?? '';
  const client = world.secret?.clientId ?? '';
  world.point = () => {
    if (certificateIn(world.record, 'Published')?.x5tS256 === old) return;
    world.dying = true;
    throw new Killed();
  };
  assert.equal(await live(world, now + 25 * day), 'killed');
  assert.equal(world.secret?.x5tS256, old, 'proved and not published');
  world.clock.advance(down);
  const drained = world.clock.now() + 48 * hour - 10_000;
  await survive(world, [], drained);
  assert.notEqual(world.secret.x5tS256, old);
  world.clock.advance(drained - world.clock.now());
  return world.accepts(client, old);
};

const history = fc.record({
  method: fc.constantFrom<AuthMethod>('tls_client_auth', 'self_signed_tls_client_auth'),
  drain: fc.constantFrom(undefined, '1h', '48h'),
  lag: fc.constantFrom(0, 3_000, 90_000),
  answers: fc.array(fc.constantFrom<Answer>('ok', 'ok', 'refused', 'lost'), { maxLength: 6 }),
  // P11: up to 72 hours.
  lives: fc.array(fc.record({ points: fc.nat(40), down: fc.nat(72 * hour) }), { maxLength: 8 }),
  ending: fc.array(fc.record({ points: fc.nat(12), down: fc.nat(hour) }), { maxLength: 4 }),
});

describe('a client through crashes, refusals and lost answers', () => {
  for (const method of ['tls_client_auth', 'self_signed_tls_client_auth'] as const) {
    test(`${method}: four months without a fault`, async () => {
      const world = new World(method, undefined);
      await survive(world, [], now + 120 * day);
      assert.equal(world.registrations.size, 1);
      // 30 days each, replaced after 20, give or take the jitter.
      assert.ok(world.issued.size >= 6 && world.issued.size <= 7, `${world.issued.size} certificates`);
      assert.equal(world.proofs, world.issued.size, 'each proved once');
      assert.equal(world.client.status?.conditions?.[0]?.status, 'True');
    });
  }

  for (const method of ['tls_client_auth', 'self_signed_tls_client_auth'] as const) {
    test(`${method}: another drain and another renewBefore take effect at once`, async () => {
      const world = new World(method, undefined);
      const end = now + 25 * day;
      await survive(world, [], end);
      world.clock.advance(end - world.clock.now());
      const draining = world.record?.certificates.find((c) => c.role === 'Draining')?.x5tS256 ?? '';
      assert.ok(world.keys.has(draining));

      world.change({ drain: '1h' });
      world.left.clear(); // What it was promised before was taken back.
      await survive(world, [], end + hour);
      assert.ok(!world.keys.has(draining));
      if (method === 'self_signed_tls_client_auth') {
        assert.ok(!world.accepts(world.secret?.clientId ?? '', draining));
      }

      const issued = world.issued.size;
      world.change({ drain: '1h', renewBefore: '700h' });
      await survive(world, [], world.clock.now());
      assert.equal(world.issued.size, issued + 1);
    });
  }

  test('withdrawn and granted again, wherever the operator dies: nobody is let in who is granted nothing', async () => {
    const times = fc.record({
      method: fc.constantFrom<AuthMethod>('tls_client_auth', 'self_signed_tls_client_auth'),
      withdrawnFor: fc.integer({ min: 1, max: 80 * hour }),
      lives: fc.array(fc.record({ points: fc.nat(12), down: fc.nat(30 * hour) }), { maxLength: 5 }),
      again: fc.array(fc.record({ points: fc.nat(20), down: fc.nat(hour) }), { maxLength: 4 }),
    });
    await fc.assert(
      fc.asyncProperty(times, async ({ method, withdrawnFor, lives, again }) => {
        const world = new World(method, undefined);
        await survive(world, [], now + 10 * day);
        const before = world.secret;
        const withdrawn = world.clock.now();
        world.grant(false);
        await survive(world, lives, withdrawn + withdrawnFor);
        const ended = world.record?.registration === undefined;
        const since = Date.parse(world.record?.withdrawal?.since ?? '');
        assert.equal(ended, world.clock.now() >= since + day, 'the grace is a day');
        assert.equal(world.client.status?.conditions?.[0]?.reason, 'NotGranted');
        if (ended) {
          assert.equal(world.registrations.size, 0, 'still registered');
          assert.equal(world.secret, undefined, 'still published');
          assert.equal(world.keys.size, 0, 'keys are kept');
          assert.ok(world.claim === undefined || world.claim.expires !== undefined, 'the identity is held');
        } else {
          assertAccepted(world);
          assert.equal(world.secret?.clientId, before?.clientId);
        }
        world.grant(true);
        // However long it is down each time, and however long it waits after a lost answer.
        await survive(world, again, world.clock.now() + 8 * hour);
        const others = [...world.registrations.keys()].filter((clientId) => clientId !== world.secret?.clientId);
        assert.ok(
          others.length <= (world.record?.suspectedOrphans.length ?? 0),
          `registered besides: ${others.join()}`,
        );
        assert.equal(world.secret?.clientId === before?.clientId, !ended, 'the same client exactly within the grace');
        assertAccepted(world);
        assert.equal(world.client.status?.conditions?.[0]?.status, 'True');
        assert.equal(world.claim?.expires, undefined);
      }),
      { numRuns: 60 },
    );
  });

  test('down between the proof and publication: the drain begins with publication', async () => {
    assert.ok(await killedAfterProof(0));
    assert.ok(await killedAfterProof(72 * hour));
  });

  test('always one registration, and what is published always works', async () => {
    await fc.assert(
      fc.asyncProperty(history, async ({ method, drain, lag, answers, lives, ending }) => {
        const world = new World(method, drain);
        world.answers = [...answers];
        world.lag = lag;
        const end = now + 100 * day;
        await survive(world, lives, end);

        const { record, secret } = world;
        assert.ok(secret !== undefined && record !== undefined);
        assert.equal(certificateIn(record, 'Next'), undefined, 'nothing is left half done');
        assert.equal(certificateIn(record, 'Published')?.x5tS256, secret.x5tS256);
        assert.equal(record.registration?.clientId, secret.clientId);
        assert.equal(record.intent, undefined);
        assert.ok(record.certificates.length <= 3);
        assert.deepEqual(
          world.client.status?.conditions?.map((c) => `${c.type}=${c.status}`),
          ['Ready=True', 'CertificateReady=True', 'Registered=True', 'Proved=True', 'TerminatorsReady=True'],
        );
        // P4: every other client at the server was reported, and nobody has its key.
        const orphans = [...world.registrations.keys()].filter((clientId) => clientId !== secret.clientId);
        assert.ok(orphans.length <= record.suspectedOrphans.length, `${orphans.length} orphans`);
        if (method === 'self_signed_tls_client_auth') {
          for (const orphan of orphans) {
            assert.ok([...world.keys].every((key) => !world.accepts(orphan, key)));
          }
        }

        world.delete();
        await survive(world, ending, world.clock.now() + day);
        assert.deepEqual([...world.registrations.keys()].toSorted(), orphans.toSorted());
        assert.equal(world.secret, undefined);
        assert.equal(world.record, undefined);
        assert.equal(world.keys.size, 0);
        assert.ok(world.claim === undefined || world.claim.expires !== undefined);
        assert.deepEqual(world.client.metadata.finalizers, []);
      }),
      { numRuns: 80 },
    );
  });
});

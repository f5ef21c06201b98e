import assert from 'node:assert/strict';
import { before, describe, mock, test } from 'node:test';
import * as fc from 'fast-check';
import type { OAuthClientSpec } from '../../src/api/oauth-client.ts';
import { day, now } from '../oauthclient/view.ts';
import { assertWellEnded } from './ending.ts';
import { randomFrom } from './random.ts';
import { live, settled, type History } from './trouble.ts';
import { World, type WorldOptions } from './world.ts';

const decade = 3652 * day;
const year = 365 * day;
const month = 30 * day;
/** More of them: `CERTBOUND_YEARS_RUNS=500 node --test test/years/years.test.ts`. */
const runs = Number(process.env['CERTBOUND_YEARS_RUNS'] ?? 6);

interface Kind extends WorldOptions {
  changes?: History['changes'];
}

const kinds: Record<string, Kind> = {
  'three terminators behind one address': {
    method: 'tls_client_auth',
    spec: { certificate: { drain: '24h' } },
    addresses: 'one',
  },
  'P-384, a drain of two days, keystores, a SAN': {
    method: 'tls_client_auth',
    spec: {
      certificate: {
        duration: '2160h',
        renewBefore: '240h',
        drain: '48h',
        privateKey: { size: 384 },
        subject: { dnsName: 'batch.payments.clients.example.com' },
      },
      secret: { pkcs12: {} },
    },
    delaysMs: [2_000, 45_000, 9_000],
  },
  'RSA, a server that is slow to know': {
    method: 'self_signed_tls_client_auth',
    spec: { certificate: { duration: '4380h', privateKey: { algorithm: 'RSA' } } },
    server: { lagMs: 20_000 },
  },
  'self-signed, the shortest drain, tokens that rotate': {
    method: 'self_signed_tls_client_auth',
    spec: { certificate: { duration: '1440h', drain: '1m' }, secret: { pkcs12: {} } },
    server: { rotates: true },
    changes: [{ secret: {} }, { secret: { pkcs12: {} } }, { scope: 'accounts:read' }],
  },
  'keys, durations and drains that change': {
    method: 'tls_client_auth',
    spec: { certificate: { duration: '1440h' } },
    server: { rotates: true },
    changes: [
      { certificate: { duration: '1440h', privateKey: { size: 384 } } },
      { certificate: { duration: '2160h', drain: '1h' } },
      { certificate: { duration: '4380h' } },
      { certificate: {} },
      { certificate: { duration: '1440h', renewBefore: '700h', drain: '24h' } },
      { scope: 'accounts:read' },
      { scope: 'accounts:read accounts:write' },
    ],
  },
};

const options = (kind: Kind, seed: number): WorldOptions => ({
  caDuration: '175200h',
  // Re-proofs are looked at by themselves; four a day would be all that this does.
  verifyInterval: '720h',
  ...kind,
  seed,
});

/** The operator's own chance is seeded too, so that a life can be lived again. */
function chance(seed: number): void {
  mock.method(Math, 'random', randomFrom(seed).next);
}

async function lived(kind: Kind, seed: number, lasts: number, longestPauseMs: number): Promise<World> {
  chance(seed);
  const world = new World(options(kind, seed));
  const { changes } = kind;
  const asked = await live(world, {
    until: now + lasts,
    longestPauseMs,
    ...(changes === undefined ? {} : { changes }),
  });
  await settled(world);
  assertWellEnded(world, asked);
  return world;
}

describe('ten years of one client', () => {
  before(() => chance(1));

  test('nothing ever goes wrong', async () => {
    const world = new World(options({ method: 'tls_client_auth' }, 1));
    await world.begin();
    await world.run(now + decade);
    assertWellEnded(world, { renewals: 0, changes: 0 });
    const { issued, publications } = world.verifier;
    // 30 days each, replaced after 20, give or take the jitter.
    assert.ok(issued.size >= 180 && issued.size <= 190, `${issued.size} certificates`);
    assert.equal(publications, issued.size, 'each published once');
  });

  for (const method of ['tls_client_auth', 'self_signed_tls_client_auth'] as const) {
    test(`${method}: with everything that goes wrong`, async () => {
      const world = await lived({ method }, 7, decade, month);
      assert.ok(world.verifier.looks > 4_000, `looked ${world.verifier.looks} times`);
    });
  }
});

describe('another CA, while three terminators take their time', () => {
  for (const addresses of ['one', 'each'] as const) {
    test(addresses === 'one' ? 'behind one address' : 'at an address each', async () => {
      for (let seed = 0; seed < 3; seed++) {
        const world = new World({
          ...options({ method: 'tls_client_auth', spec: { certificate: { drain: '1h' } }, addresses }, seed),
          delaysMs: [0, 2_000, 20_000],
        });
        await world.begin();
        for (let more = 0; more < 4; more++) {
          await world.run(world.clock.now() + 5 * day);
          world.addIssuer();
          // Also where the operator has forgotten when it wrote the bundle.
          world.killAfter(4 + world.random.below(20));
          if (!(await world.run(world.clock.now() + 2_000))) world.start();
          world.killAfter(Infinity);
        }
        await settled(world);
        assert.equal(new Set([...world.verifier.issued.values()].map(({ issuer }) => issuer)).size, 5);
      }
    });
  }
});

describe('some years of one client, with everything that goes wrong', () => {
  for (const [name, kind] of Object.entries(kinds)) {
    test(name, async () => {
      const world = await lived(kind, 7, year, month);
      assert.ok(world.verifier.looks > 150, `looked ${world.verifier.looks} times`);
    });
  }
  const spec: fc.Arbitrary<Partial<OAuthClientSpec>> = fc.record({
    certificate: fc.constantFrom(
      {},
      { drain: '1m' },
      { duration: '240h' },
      { duration: '240h', renewBefore: '120h', drain: '2h' },
      { duration: '24h', drain: '1h' },
      { privateKey: { size: 384 }, drain: '48h' },
    ),
    secret: fc.constantFrom({}, {}, { pkcs12: {} }),
  });
  const kind: fc.Arbitrary<Kind> = fc.record({
    method: fc.constantFrom('tls_client_auth' as const, 'self_signed_tls_client_auth' as const),
    spec,
    server: fc.record({ rotates: fc.boolean(), lagMs: fc.constantFrom(0, 3_000, 90_000) }),
    delaysMs: fc.tuple(fc.nat(10_000), fc.nat(10_000), fc.nat(50_000)),
    addresses: fc.constantFrom('one' as const, 'each' as const),
  });

  test('any client', async () => {
    await fc.assert(
      fc.asyncProperty(kind, fc.integer(), async (any, seed) => {
        const short = any.spec?.certificate?.duration === '24h';
        await lived(any, seed, short ? 5 * day : 4 * month, short ? day : 10 * day);
      }),
      { numRuns: runs, endOnFailure: true },
    );
  });
});

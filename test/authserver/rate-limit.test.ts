import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { nextTurn, type RateLimit, spent, untouched } from '../../src/authserver/connection/rate-limit.ts';

const limits = fc.record({
  requestsPerSecond: fc.integer({ min: 1, max: 1000 }),
  burst: fc.integer({ min: 1, max: 100 }),
});
const asks = fc.array(fc.integer({ min: 0, max: 3_000 }), { maxLength: 300 });

/** When each of them may go, as they come. */
function turns(limit: RateLimit, pauses: readonly number[]): { asked: number; turn: number }[] {
  let allowance = untouched;
  let now = 0;
  return pauses.map((pause) => {
    now += pause;
    const turn = nextTurn(allowance, limit, now);
    allowance = spent(allowance, limit, now);
    return { asked: now, turn };
  });
}

describe('the rate limit', () => {
  test('is kept over any span of time, and first come are first served', () => {
    fc.assert(
      fc.property(limits, asks, (limit, pauses) => {
        const given = turns(limit, pauses).map(({ turn }) => turn);
        for (const [i, from] of given.entries()) {
          assert.ok(from >= (given[i - 1] ?? 0));
          for (const [j, to] of given.entries()) {
            if (j < i) continue;
            const most = limit.burst + ((to - from) / 1000) * limit.requestsPerSecond;
            assert.ok(j - i + 1 <= most + 1e-6, `${j - i + 1} from ${from} to ${to}`);
          }
        }
      }),
    );
  });

  test('keeps nobody waiting who comes no faster than that', () => {
    const limit = { requestsPerSecond: 10, burst: 1 };
    for (const { asked, turn } of turns(
      limit,
      Array.from({ length: 50 }, () => 100),
    ))
      assert.equal(turn, asked);
  });

  test('lets a burst go at once after a rest, and then one after the other', () => {
    const waits = turns({ requestsPerSecond: 10, burst: 3 }, [0, 0, 0, 0, 0]).map(({ turn }) => turn);
    assert.deepEqual(waits, [0, 0, 0, 100, 200]);
  });
});

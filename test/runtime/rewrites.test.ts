import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { contestOf } from '../../src/runtime/contest.ts';
import { Rewrites } from '../../src/runtime/rewrites.ts';

const minute = 60_000;

/** Who undoes at once whatever we write: the times at which we write, in the first `lastsMs`. */
function fight(lastsMs: number): number[] {
  const rewrites = new Rewrites();
  const times: number[] = [];
  for (let now = 0; now < lastsMs; now += 20) {
    const contest = contestOf(rewrites.of('a'), 'same', now);
    if (contest !== undefined && now < contest.nextAt) continue;
    rewrites.wrote('a', 'same', now);
    times.push(now);
  }
  return times;
}

describe('what is written again and again', () => {
  test('is written at once three times, then after ever longer pauses, and never given up', () => {
    const times = fight(30 * minute);
    assert.deepEqual(times.slice(0, 7), [0, 20, 40, 60, 5_060, 15_060, 35_060]);
    assert.ok(times.length < 30, `${times.length} writes in half an hour`);
    for (const [index, time] of times.entries()) {
      assert.ok((times[index + 1] ?? 30 * minute) - time <= 10 * minute, `nothing for ten minutes after ${time}`);
    }
  });

  test('is nobody’s concern when it happens now and then', () => {
    const rewrites = new Rewrites();
    for (let now = 0; now < 60 * minute; now += 5 * minute) {
      assert.equal(contestOf(rewrites.of('a'), 'same', now), undefined);
      rewrites.wrote('a', 'same', now);
    }
  });

  test('holds up nothing new, and nothing else', () => {
    const rewrites = new Rewrites();
    for (let now = 0; now < 5; now++) rewrites.wrote('a', 'same', now);
    assert.ok(contestOf(rewrites.of('a'), 'same', 5) !== undefined);
    assert.equal(contestOf(rewrites.of('a'), 'new', 5), undefined);
    assert.equal(contestOf(rewrites.of('b'), 'same', 5), undefined);
    rewrites.wrote('a', 'new', 5);
    assert.equal(contestOf(rewrites.of('a'), 'new', 6), undefined, 'once is no contest');
    rewrites.forget('a');
    assert.equal(contestOf(rewrites.of('a'), 'new', 6), undefined);
  });
});

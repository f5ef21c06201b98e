import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { condition, mergeConditions, type Condition, type Verdict } from '../../src/api/conditions.ts';

const then = '2026-01-01T00:00:00Z';
const now = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const ready: Condition = {
  type: 'Ready',
  status: 'True',
  observedGeneration: 3,
  lastTransitionTime: then,
  reason: 'Ready',
  message: 'All is well.',
};
const verdict = (change: Partial<Verdict> = {}): Verdict => ({
  type: 'Ready',
  status: 'True',
  reason: 'Ready',
  message: 'All is well.',
  ...change,
});

describe('conditions', () => {
  test('an equal verdict gives the very same entry, whenever', () => {
    assert.deepEqual(mergeConditions([ready], [verdict()], 3, now), [ready]);
  });

  test('the time of transition moves with the status alone, in whole seconds', () => {
    const table: [Partial<Verdict>, string][] = [
      [{ reason: 'Other' }, then],
      [{ message: 'Other.' }, then],
      [{ status: 'False' }, '2026-01-02T03:04:05Z'],
      [{ status: 'Unknown' }, '2026-01-02T03:04:05Z'],
    ];
    for (const [change, time] of table) {
      const [merged] = mergeConditions([ready], [verdict(change)], 4, now);
      assert.deepEqual(merged, { ...ready, ...change, observedGeneration: 4, lastTransitionTime: time });
    }
  });

  test('a condition that is new begins now', () => {
    const [merged] = mergeConditions([], [verdict()], 1, now);
    assert.equal(merged?.lastTransitionTime, '2026-01-02T03:04:05Z');
  });

  test('the order is that of the verdicts; what nobody speaks of any more is gone', () => {
    const stalled = { ...ready, type: 'Stalled' };
    const merged = mergeConditions([stalled, ready], [verdict(), verdict({ type: 'Proved' })], 3, now);
    assert.deepEqual(
      merged.map(({ type }) => type),
      ['Ready', 'Proved'],
    );
  });

  test('what is written fits the schema, however long a server quotes itself', () => {
    const [merged] = mergeConditions([], [verdict({ message: 'x'.repeat(100_000) })], 1, now);
    assert.equal(condition.safeParse(merged).success, true);
    assert.equal(merged?.message.length, 4096);
  });
});

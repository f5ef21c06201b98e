/** Whether a server answers: what may be sent to it, whatever comes of it and whenever. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { admit, type Breaker, type CallResult, closed, settle } from '../../src/authserver/connection/breaker.ts';

const LONGEST_PAUSE_MS = 20_000;
const TRIAL_MS = 15_000;

interface Event {
  afterMs: number;
  /** What comes of a call that was admitted, or of one that went long before. */
  result: CallResult;
}
const events = (result: fc.Arbitrary<CallResult>): fc.Arbitrary<Event[]> =>
  fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 40_000 }), result }), { maxLength: 200 });
const anything = fc.constantFrom<CallResult>('answered', 'failed', 'unknown');

/** Asks at each of the times, and is told at once. */
function run(sequence: readonly Event[], from: Breaker = closed, start = 0) {
  let breaker = from;
  let now = start;
  const sent: number[] = [];
  for (const { afterMs, result } of sequence) {
    now += afterMs;
    const asked = admit(breaker, now);
    breaker = asked.breaker;
    if (!asked.admitted) continue;
    sent.push(now);
    breaker = settle(breaker, now, result);
  }
  return { breaker, sent, now };
}

const times = (count: number, result: CallResult, afterMs = 0): Event[] =>
  Array.from({ length: count }, () => ({ afterMs, result }));

describe('the breaker', () => {
  test('lets everything through until five calls in a row have failed', () => {
    assert.equal(run([...times(4, 'failed'), ...times(1, 'answered'), ...times(4, 'failed')]).breaker.state, 'closed');
    assert.equal(run(times(5, 'failed')).breaker.state, 'open');
  });

  test('sends nothing while it is open, and never for longer than 20 s', () => {
    fc.assert(
      fc.property(events(anything), (before) => {
        const { breaker, now } = run(before);
        if (breaker.state === 'closed') return;
        assert.ok(breaker.until - now <= LONGEST_PAUSE_MS);
        assert.equal(admit(breaker, breaker.until - 1).admitted, breaker.until - 1 >= breaker.until);
        assert.equal(admit(breaker, breaker.until).admitted, true);
      }),
    );
  });

  test('sends a dead server a bounded number of calls', () => {
    fc.assert(
      fc.property(events(fc.constant('failed')), (sequence) => {
        const { sent, now } = run(sequence);
        // Five to begin with, pauses of 2, 4, 8 and 16 s, and then one in 20 s.
        assert.ok(sent.length <= 5 + 4 + Math.ceil(now / LONGEST_PAUSE_MS), `${sent.length} calls in ${now} ms`);
      }),
    );
  });

  test('sends one call at a time to see whether it answers again', () => {
    const { breaker, now } = run(times(5, 'failed'));
    const due = now + 2_000;
    const trial = admit(breaker, due);
    assert.deepEqual([trial.admitted, admit(trial.breaker, due).admitted], [true, false]);
    assert.equal(admit(trial.breaker, due + TRIAL_MS - 1).admitted, false);
    assert.equal(admit(trial.breaker, due + TRIAL_MS).admitted, true, 'should nothing be heard of it');
    const cancelled = settle(trial.breaker, due + 5, 'unknown');
    assert.equal(admit(cancelled, due + 5).admitted, true, 'nobody waits for it any more');
    assert.equal(admit(settle(trial.breaker, due + 5, 'failed'), due + 5).admitted, false);
  });

  test('is closed by any answer, whatever came before', () => {
    fc.assert(
      fc.property(events(anything), (before) => {
        const { breaker, now } = run(before);
        const after = settle(breaker, now, 'answered');
        assert.deepEqual([after.state, admit(after, now).admitted], ['closed', true]);
      }),
    );
  });

  test('opens for longer when the server fails again within a minute, and not when it does later', () => {
    const pause = (rest: number) => {
      const opened = run(times(5, 'failed'));
      const answered = settle(admit(opened.breaker, 2_000).breaker, 2_000, 'answered');
      const { breaker, now } = run(times(5, 'failed'), answered, 2_000 + rest);
      return breaker.state === 'closed' ? 0 : breaker.until - now;
    };
    assert.deepEqual([pause(1_000), pause(61_000)], [4_000, 2_000]);
  });

  test('keeps since when it is open', () => {
    const { breaker } = run([...times(5, 'failed', 100), ...times(9, 'failed', 30_000)]);
    assert.equal(breaker.state === 'closed' ? undefined : breaker.since, 500);
  });
});

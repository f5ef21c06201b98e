import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sleep, systemClock } from '../../src/runtime/clock.ts';
import { FakeClock } from '../support/fake-clock.ts';

test('a delay beyond the range of setTimeout does not fire at once', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let fired = false;
  const timer = systemClock.timer(90 * 24 * 3600 * 1000, () => {
    fired = true;
  });
  t.mock.timers.tick(1000);
  assert.equal(fired, false);
  t.mock.timers.reset();
  timer.cancel();
});

test('the system clock fires short timers and cancels them', async () => {
  let cancelled = false;
  systemClock
    .timer(1, () => {
      cancelled = true;
    })
    .cancel();
  await new Promise<void>((resolve) => {
    systemClock.timer(5, resolve);
  });
  assert.equal(cancelled, false);
});

test('sleep ends with the delay, or with the signal', async () => {
  const clock = new FakeClock();
  let woken = 0;
  const abort = new AbortController();
  const count = (): void => void woken++;
  void sleep(clock, 1000).then(count);
  void sleep(clock, 5000, abort.signal).then(count);
  await clock.advanceAsync(999);
  assert.equal(woken, 0);
  await clock.advanceAsync(1);
  assert.equal(woken, 1);
  abort.abort();
  await clock.advanceAsync(0);
  assert.equal(woken, 2);
  assert.equal(clock.timers, 0, 'an aborted sleep leaves no timer behind');
  await sleep(clock, 1e9, abort.signal);
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { WorkQueue } from '../../src/runtime/workqueue.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';

interface Worker {
  taken: string[];
}

function startWorker(queue: WorkQueue): Worker {
  const worker: Worker = { taken: [] };
  void (async () => {
    for (let key = await queue.take(); key !== undefined; key = await queue.take()) worker.taken.push(key);
  })();
  return worker;
}

describe('workqueue', () => {
  test('a key added twice while it waits is taken once, in the order of the first add', async () => {
    const queue = new WorkQueue({ clock: new FakeClock() });
    for (const key of ['a', 'b', 'a', 'c', 'b']) queue.add(key);
    assert.equal(queue.depth, 3);
    assert.deepEqual([await queue.take(), await queue.take(), await queue.take()], ['a', 'b', 'c']);
  });

  test('what was added before anybody worked: the latest news first, and news since then before the rest', async () => {
    const queue = new WorkQueue({ clock: new FakeClock() });
    for (const key of ['a', 'b', 'c', 'd', 'b']) queue.addToBacklog(key);
    assert.equal(queue.depth, 4);
    assert.equal(await queue.take(), 'b');
    queue.add('new');
    queue.add('a');
    assert.deepEqual([await queue.take(), await queue.take()], ['new', 'a']);
    assert.deepEqual([await queue.take(), await queue.take()], ['d', 'c']);
    assert.equal(queue.depth, 0);
  });

  test('a key of the backlog is taken once, whatever came after', async () => {
    const queue = new WorkQueue({ clock: new FakeClock() });
    queue.addToBacklog('a');
    queue.add('a');
    queue.addToBacklog('a');
    assert.equal(queue.depth, 1);
    assert.equal(await queue.take(), 'a');
    queue.add('a');
    assert.equal(queue.depth, 0);
    queue.done('a');
    assert.equal(await queue.take(), 'a');
  });

  test('news without end does not keep the backlog waiting without end', async () => {
    const queue = new WorkQueue({ clock: new FakeClock() });
    queue.addToBacklog('old');
    queue.addToBacklog('older');
    const taken: (string | undefined)[] = [];
    for (let i = 0; i < 12; i++) {
      queue.add(`new-${i}`);
      taken.push(await queue.take());
    }
    assert.ok(taken.includes('old') && taken.includes('older'), taken.join());
  });

  test('shutting down drops the backlog too', async () => {
    const queue = new WorkQueue({ clock: new FakeClock() });
    queue.addToBacklog('a');
    await queue.shutDown();
    assert.equal(queue.depth, 0);
    assert.equal(await queue.take(), undefined);
  });

  /** `red-1` is of the group red. */
  const grouped = (most: number | (() => number), isUrgent: (key: string) => boolean = () => false) =>
    new WorkQueue({
      clock: new FakeClock(),
      groupOf: (key) => ({ name: key.split('-')[0] ?? '', most: typeof most === 'number' ? most : most() }),
      isUrgent,
    });

  test('keys of one group never get every worker', async () => {
    const queue = grouped(2);
    const worker = startWorker(queue);
    for (let i = 0; i < 100; i++) queue.add(`red-${i}`);
    queue.add('blue-0');
    await settle();
    assert.deepEqual(worker.taken, ['red-0', 'red-1', 'blue-0']);
    assert.equal(queue.depth, 98);
    queue.done('red-1');
    await settle();
    assert.deepEqual(worker.taken.slice(3), ['red-2'], 'the next of the group takes its place');
    queue.add('red-0');
    queue.done('red-0');
    await settle();
    assert.deepEqual(worker.taken.slice(4), ['red-3'], 'what is added again goes to the end');
  });

  test('a group that may have more gets more', async () => {
    let most = 1;
    const queue = grouped(() => most);
    const worker = startWorker(queue);
    for (let i = 0; i < 10; i++) queue.add(`red-${i}`);
    await settle();
    assert.equal(worker.taken.length, 1);
    most = 4;
    queue.done('red-0');
    await settle();
    assert.equal(worker.taken.length, 5);
  });

  test('what is urgent goes before the rest of its group, but keeps nobody waiting without end', async () => {
    const queue = grouped(1, (key) => key.includes('urgent'));
    const worker = startWorker(queue);
    for (let i = 0; i < 20; i++) queue.add(`red-${i}`);
    for (let i = 0; i < 20; i++) queue.add(`red-urgent-${i}`);
    for (let i = 0; i < 12; i++) {
      await settle();
      queue.done(worker.taken.at(-1) ?? '');
    }
    const urgent = worker.taken.slice(1).filter((key) => key.includes('urgent'));
    assert.ok(urgent.length >= 8 && urgent.length <= 10, worker.taken.join());
  });

  test('a key added while it is worked on runs once more, after the first run', async () => {
    const queue = new WorkQueue({ clock: new FakeClock() });
    queue.add('a');
    assert.equal(await queue.take(), 'a');
    queue.add('a');
    queue.add('a');
    assert.equal(queue.depth, 0);
    queue.done('a');
    assert.equal(await queue.take(), 'a');
    queue.done('a');
    assert.equal(queue.depth, 0);
  });

  test('the earliest of several delays counts, and an immediate add is not held back', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock });
    const worker = startWorker(queue);
    queue.addAfter('a', 5000);
    queue.addAfter('a', 1000);
    queue.addAfter('a', 9000);
    await clock.advanceAsync(999);
    assert.deepEqual(worker.taken, []);
    await clock.advanceAsync(1);
    assert.deepEqual(worker.taken, ['a']);
    queue.done('a');
    await clock.advanceAsync(60_000);
    assert.deepEqual(worker.taken, ['a'], 'the later delays were replaced');
    queue.addAfter('b', 5000);
    queue.add('b');
    await settle();
    assert.deepEqual(worker.taken, ['a', 'b']);
  });

  test('failures double the delay up to the maximum, success starts anew', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock, baseDelayMs: 5, maxDelayMs: 60_000, random: () => 0 });
    const worker = startWorker(queue);
    const delays: number[] = [];
    for (let failure = 0; failure < 20; failure++) {
      const before = clock.monotonic();
      const taken = worker.taken.length;
      queue.addRateLimited('a');
      while (worker.taken.length === taken) await clock.advanceAsync(5);
      queue.done('a');
      delays.push(clock.monotonic() - before);
    }
    assert.deepEqual(delays.slice(0, 5), [5, 10, 20, 40, 80]);
    assert.deepEqual(delays.slice(-3), [60_000, 60_000, 60_000]);
    queue.forget('a');
    assert.equal(queue.failures('a'), 0);
  });

  test('jitter only shortens', () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock, baseDelayMs: 1000, random: () => 0.999 });
    queue.addRateLimited('a');
    clock.advance(499);
    assert.equal(queue.depth, 0);
    clock.advance(501);
    assert.equal(queue.depth, 1);
  });

  test('delays that are no sensible number neither spin nor vanish', () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock, maxDelayMs: 60_000 });
    queue.addAfter('nan', Number.NaN);
    queue.addAfter('infinity', Number.POSITIVE_INFINITY);
    queue.addAfter('negative', -5);
    assert.equal(queue.depth, 1);
    clock.advance(60_000);
    assert.equal(queue.depth, 2);
    clock.advance(11 * 365 * 24 * 3600 * 1000);
    assert.equal(queue.depth, 3);
  });

  test('shutting down waits for what was taken and drops the rest', async () => {
    const clock = new FakeClock();
    const queue = new WorkQueue({ clock });
    queue.add('a');
    queue.add('b');
    queue.addAfter('c', 10);
    assert.equal(await queue.take(), 'a');
    queue.add('a');
    let drained = false;
    const shutDown = queue.shutDown().finally(() => {
      drained = true;
    });
    assert.equal(await queue.take(), undefined);
    queue.add('d');
    clock.advance(100);
    assert.equal(queue.depth, 0);
    assert.equal(drained, false);
    queue.done('a');
    await shutDown;
    assert.equal(clock.timers, 0);
  });

  test('100,000 keys go through without quadratic cost', async () => {
    const queue = new WorkQueue({ clock: new FakeClock() });
    for (let i = 0; i < 100_000; i++) queue.add(`namespace/${i}`);
    const started = performance.now();
    for (let i = 0; i < 100_000; i++) {
      const key = await queue.take();
      assert.ok(key !== undefined);
      queue.done(key);
    }
    const elapsed = performance.now() - started;
    assert.ok(elapsed < 10_000, `took ${elapsed} ms`);
  });
});

type Step =
  | { do: 'add'; key: string }
  | { do: 'addAfter'; key: string; delay: number }
  | { do: 'finish'; which: number }
  | { do: 'advance'; by: number };

const keys = fc.constantFrom('a', 'b', 'c');
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('add' as const), key: keys }),
    fc.record({ do: fc.constant('addAfter' as const), key: keys, delay: fc.integer({ min: 0, max: 100 }) }),
    fc.record({ do: fc.constant('finish' as const), which: fc.nat(5) }),
    fc.record({ do: fc.constant('advance' as const), by: fc.integer({ min: 1, max: 60 }) }),
  ),
  { maxLength: 60 },
);

test('property: never two workers on a key, nor too many on a group, no add lost, the earliest delay wins', async () => {
  await fc.assert(
    fc.asyncProperty(
      steps,
      fc.integer({ min: 1, max: 3 }),
      fc.integer({ min: 1, max: 3 }),
      async (plan, workers, most) => {
        const clock = new FakeClock();
        // All but one are of one group.
        const groupOf = (key: string) => (key === 'a' ? undefined : { name: 'rest', most });
        const queue = new WorkQueue({ clock, groupOf, isUrgent: (key) => key === 'b' });
        const full = (key: string) => key !== 'a' && running.filter((run) => run.key !== 'a').length >= most;
        const running: { key: string; finish: () => void }[] = [];
        /** When a run must start at the latest, unless no worker is free; by key. */
        const owed = new Map<string, number[]>();
        const runs = Array.from({ length: workers }, async () => {
          for (let key = await queue.take(); key !== undefined; key = await queue.take()) {
            assert.ok(!running.some((run) => run.key === key), 'two workers on one key');
            assert.ok(!full(key), 'too many of a group');
            const taken = key;
            // Whatever was owed by now is served by this run; a run that nothing asked for must not happen.
            const due = owed.get(taken) ?? [];
            assert.ok(
              due.some((at) => at <= clock.monotonic()),
              'a run that nobody asked for',
            );
            owed.set(
              taken,
              due.filter((at) => at > clock.monotonic()),
            );
            const { promise, resolve } = Promise.withResolvers<void>();
            running.push({ key: taken, finish: resolve });
            await promise;
            running.splice(
              running.findIndex((run) => run.key === taken),
              1,
            );
            queue.done(taken);
          }
        });
        const owe = (key: string, at: number): void => void owed.set(key, [...(owed.get(key) ?? []), at]);
        /** Of delays that wait, the earliest replaces the others. */
        const oweAfter = (key: string, at: number): void => {
          const later = (owed.get(key) ?? []).filter((due) => due > clock.monotonic());
          const others = (owed.get(key) ?? []).filter((due) => due <= clock.monotonic());
          owed.set(key, [...others, Math.min(at, ...later)]);
        };
        const settled = async (): Promise<void> => {
          await settle();
          // With a worker free and nothing of this key running, nothing due may be left.
          for (const [key, due] of owed) {
            if (running.length === workers || full(key) || running.some((run) => run.key === key)) continue;
            assert.deepEqual(
              due.filter((at) => at <= clock.monotonic()),
              [],
              `lost add of ${key}`,
            );
          }
        };
        for (const step of plan) {
          if (step.do === 'add') {
            owe(step.key, clock.monotonic());
            queue.add(step.key);
          } else if (step.do === 'addAfter') {
            const at = clock.monotonic() + step.delay;
            if (step.delay === 0) owe(step.key, at);
            else oweAfter(step.key, at);
            queue.addAfter(step.key, step.delay);
          } else if (step.do === 'finish') running[step.which % Math.max(1, running.length)]?.finish();
          else await clock.advanceAsync(step.by);
          await settled();
        }
        await clock.advanceAsync(200);
        while (running.length > 0) {
          for (const run of running) run.finish();
          await settled();
        }
        assert.deepEqual([...owed.values()].flat(), [], 'everything added has run');
        await queue.shutDown();
        await Promise.all(runs);
      },
    ),
    { numRuns: 300 },
  );
});

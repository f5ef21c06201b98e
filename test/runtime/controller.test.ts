import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { OperatorError } from '../../src/errors.ts';
import { createMetrics } from '../../src/metrics.ts';
import { Controller, type Result } from '../../src/runtime/controller.ts';
import { WorkQueue } from '../../src/runtime/workqueue.ts';
import { createLogger } from '../../src/telemetry.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';

type Reconcile = (key: string, signal: AbortSignal) => Promise<Result>;

function startController(reconcile: Reconcile, workers = 2) {
  const clock = new FakeClock();
  const lines: string[] = [];
  const metrics = createMetrics();
  const controller = new Controller({
    name: 'oauthclient',
    workers,
    queue: new WorkQueue({ clock, random: () => 0, metrics: metrics.workQueue('oauthclient') }),
    reconcile,
    deadlineMs: 30_000,
    clock,
    logger: createLogger({ destination: { write: (line) => lines.push(line) } }),
    metrics: metrics.controller('oauthclient', workers),
  });
  controller.start();
  const value = async (name: string, labels: Record<string, string> = {}): Promise<number | undefined> => {
    const found = (await metrics.registry.getSingleMetric(name)?.get())?.values ?? [];
    return found.find((one) => Object.entries(labels).every(([key, label]) => one.labels[key] === label))?.value;
  };
  return { clock, controller, lines, metrics, value };
}

describe('controller', () => {
  test('a failure is retried with backoff until it succeeds', async () => {
    let attempts = 0;
    const { clock, controller, value } = startController(async () => {
      attempts += 1;
      if (attempts < 4) throw new OperatorError('ServerUnavailable', 'The server is down.');
      return {};
    });
    controller.enqueue('a/b');
    await clock.advanceAsync(4);
    assert.equal(attempts, 1);
    await clock.advanceAsync(100);
    assert.equal(attempts, 4);
    await clock.advanceAsync(1e6);
    assert.equal(attempts, 4);
    assert.equal(await value('controller_runtime_reconcile_total', { result: 'error' }), 3);
    assert.equal(await value('controller_runtime_reconcile_total', { result: 'success' }), 1);
    assert.equal(await value('workqueue_retries_total'), 3);
    await controller.stop();
  });

  test('one begins in a turn of the event loop, so that those with nothing to do keep no answer waiting', async () => {
    let runs = 0;
    const { controller } = startController(async () => {
      runs += 1;
      return {};
    }, 4);
    for (let i = 0; i < 50; i++) controller.enqueue(`a/${i}`);
    const done = () => runs;
    for (let turn = 0; done() < 50; turn++) {
      assert.ok(done() <= turn, `${done()} in ${turn} turns`);
      await setImmediate();
    }
    await controller.stop();
  });

  test('a terminal failure waits for a change', async () => {
    let attempts = 0;
    const { clock, controller, value } = startController(async () => {
      attempts += 1;
      throw new OperatorError('NotGranted', 'Ask the platform team.', { retry: { class: 'terminal' } });
    });
    controller.enqueue('a/b');
    await clock.advanceAsync(1e7);
    assert.equal(attempts, 1);
    controller.enqueue('a/b');
    await clock.advanceAsync(0);
    assert.equal(attempts, 2);
    assert.equal(await value('controller_runtime_terminal_reconcile_errors_total'), 2);
    await controller.stop();
  });

  test('a failure may name its delay, a success too', async () => {
    const runs: number[] = [];
    const { clock, controller } = startController(async () => {
      runs.push(clock.monotonic());
      if (runs.length === 1)
        throw new OperatorError('Busy', 'Busy.', { retry: { class: 'after', milliseconds: 7000 } });
      return runs.length === 2 ? { requeueAfterMs: 90 * 24 * 3600 * 1000 } : {};
    });
    controller.enqueue('a/b');
    await clock.advanceAsync(91 * 24 * 3600 * 1000);
    assert.deepEqual(runs, [0, 7000, 7000 + 90 * 24 * 3600 * 1000]);
    await controller.stop();
  });

  test('whatever is thrown, the worker lives and the key is retried', async () => {
    const thrown: unknown[] = [new TypeError('x is not a function'), 'a string', undefined, null, Object.create(null)];
    let attempts = 0;
    const { clock, controller, value, lines } = startController(async () => {
      attempts += 1;
      if (attempts <= thrown.length) throw thrown[attempts - 1];
      return {};
    }, 1);
    controller.enqueue('a/b');
    await clock.advanceAsync(10_000);
    assert.equal(attempts, thrown.length + 1);
    assert.equal(await value('controller_runtime_reconcile_panics_total'), thrown.length);
    assert.equal(await value('controller_runtime_active_workers'), 0);
    assert.ok(lines.every((line) => /"reconcileId":"[0-9a-f-]{36}"/.test(line)));
    await controller.stop();
  });

  test('the deadline aborts the signal; who ignores it is reported, and never runs twice at once', async () => {
    let signalled: unknown;
    const releases: (() => void)[] = [];
    let running = 0;
    const { clock, controller } = startController(async (_key, signal) => {
      running += 1;
      assert.equal(running, 1);
      signal.addEventListener('abort', () => {
        signalled = signal.reason;
      });
      await new Promise<void>((resolve) => {
        releases.push(resolve);
      });
      running -= 1;
      return {};
    });
    controller.enqueue('a/b');
    await clock.advanceAsync(30_000);
    assert.ok(signalled instanceof OperatorError && signalled.code === 'ReconcileTimeout');
    controller.enqueue('a/b');
    await clock.advanceAsync(30_000);
    assert.equal(controller.stalled(), undefined, 'twice the deadline');
    await clock.advanceAsync(15_000);
    assert.equal(controller.stalled(), 'a reconcile is 45 s beyond its deadline');
    releases.shift()?.();
    await settle();
    assert.equal(controller.stalled(), undefined);
    assert.equal(running, 1, 'what was added meanwhile runs now');
    releases.shift()?.();
    await controller.stop();
  });

  test('stop waits for what runs; after the grace it is aborted', async () => {
    let finished = 0;
    const { clock, controller } = startController(async (key, signal) => {
      await new Promise<void>((resolve) => {
        if (key === 'slow') signal.addEventListener('abort', () => resolve());
        else clock.timer(1000, resolve);
      });
      finished += 1;
      return { requeueAfterMs: 1 };
    });
    for (const key of ['quick', 'slow', 'never']) controller.enqueue(key);
    await settle();
    let stopped = false;
    const stop = controller.stop({ graceMs: 5000 }).finally(() => {
      stopped = true;
    });
    await clock.advanceAsync(4999);
    assert.deepEqual({ stopped, finished }, { stopped: false, finished: 1 });
    await clock.advanceAsync(1);
    await stop;
    assert.equal(finished, 2, 'a key that was not taken is left to the successor');
    assert.equal(clock.timers, 0);
  });
});

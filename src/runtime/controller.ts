import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { OperatorError, type Retry } from '../errors.ts';
import type { ControllerMetrics, Logger, ReconcileResult } from '../telemetry.ts';
import { type Clock, systemClock } from './clock.ts';
import { WorkQueue } from './workqueue.ts';

export interface Result {
  /** When to look again if nothing happens; undefined waits for an event. */
  requeueAfterMs?: number | undefined;
}

export interface ControllerOptions {
  name: string;
  workers: number;
  queue?: WorkQueue | undefined;
  /** The signal aborts at the deadline; whoever ignores it keeps the worker (see `stalled`). */
  reconcile: (key: string, signal: AbortSignal) => Promise<Result>;
  deadlineMs: number;
  clock?: Clock | undefined;
  logger: Logger;
  metrics?: ControllerMetrics | undefined;
}

interface Run {
  startedAt: number;
  abort: AbortController;
}

/** N workers that take keys and reconcile them, for as long as the process lives: no exception ends a worker. */
export class Controller {
  readonly name: string;
  readonly #options: ControllerOptions;
  readonly #clock: Clock;
  readonly #queue: WorkQueue;
  readonly #running = new Set<Run>();
  #workers: Promise<void>[] = [];
  #lastTurn: Promise<void> = Promise.resolve();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.name = options.name;
    this.#clock = options.clock ?? systemClock;
    this.#queue = options.queue ?? new WorkQueue({ clock: this.#clock });
  }

  enqueue(key: string): void {
    if (this.#workers.length === 0) this.#queue.addToBacklog(key);
    else this.#queue.add(key);
  }

  enqueueAfter(key: string, delayMs: number): void {
    this.#queue.addAfter(key, delayMs);
  }

  start(): void {
    if (this.#workers.length > 0) throw new TypeError(`Bug: controller ${this.name} started twice.`);
    this.#workers = Array.from({ length: this.#options.workers }, () => this.#work());
  }

  /**
   * Takes nothing more and lets what runs come to its end.
   *
   * @param graceMs after which it is aborted; by default its own deadline does that
   */
  async stop({ graceMs }: { graceMs?: number } = {}): Promise<void> {
    const timer = graceMs === undefined ? undefined : this.#clock.timer(graceMs, () => this.#abortAll());
    await this.#queue.shutDown();
    await Promise.all(this.#workers);
    timer?.cancel();
  }

  /**
   * For the health check: a sentence when a reconcile runs for twice its deadline, so that its worker is lost. Waiting for
   * other servers never takes so long, for each wait has a deadline of its own and ends with the reconcile's.
   */
  stalled(): string | undefined {
    const { deadlineMs } = this.#options;
    const longest = this.#clock.monotonic() - Math.min(...[...this.#running].map(({ startedAt }) => startedAt));
    return longest > 2 * deadlineMs
      ? `a reconcile is ${Math.round((longest - deadlineMs) / 1000)} s beyond its deadline`
      : undefined;
  }

  async #work(): Promise<void> {
    for (let key = await this.#queue.take(); key !== undefined; key = await this.#queue.take()) {
      await this.#turn();
      await this.#process(key);
      this.#queue.done(key);
    }
  }

  /**
   * One reconcile begins in a turn of the event loop. Those that find nothing to do, as most of the backlog of a new leader,
   * would else follow each other without letting in the answers that the others wait for.
   */
  #turn(): Promise<void> {
    this.#lastTurn = this.#lastTurn.then(() => setImmediate());
    return this.#lastTurn;
  }

  async #process(key: string): Promise<void> {
    const { deadlineMs, reconcile, metrics } = this.#options;
    const reconcileId = randomUUID();
    const run: Run = { startedAt: this.#clock.monotonic(), abort: new AbortController() };
    const timer = this.#clock.timer(deadlineMs, () => {
      metrics?.timeout();
      run.abort.abort(
        new OperatorError(
          'ReconcileTimeout',
          `The reconcile did not end within ${deadlineMs / 1000} s. It is retried.`,
        ),
      );
    });
    this.#running.add(run);
    metrics?.started();
    let result: ReconcileResult = 'error';
    try {
      result = this.#succeed(key, await reconcile(key, run.abort.signal));
    } catch (error) {
      this.#fail(key, error, reconcileId);
    } finally {
      timer.cancel();
      this.#running.delete(run);
      metrics?.finished(result, (this.#clock.monotonic() - run.startedAt) / 1000);
    }
  }

  #succeed(key: string, { requeueAfterMs }: Result): ReconcileResult {
    this.#queue.forget(key);
    if (requeueAfterMs === undefined) return 'success';
    this.#queue.addAfter(key, requeueAfterMs);
    return 'requeue_after';
  }

  #fail(key: string, thrown: unknown, reconcileId: string): void {
    const { logger, metrics } = this.#options;
    const retry: Retry = thrown instanceof OperatorError ? thrown.retry : { class: 'backoff' };
    const context = { err: thrown, controller: this.name, key, reconcileId, failures: this.#queue.failures(key) + 1 };
    if (!(thrown instanceof OperatorError)) metrics?.panic();
    switch (retry.class) {
      case 'terminal':
        this.#queue.forget(key);
        metrics?.terminalError();
        logger.warn(context, 'reconcile failed; not retried until something changes');
        return;
      case 'after':
        this.#queue.addAfter(key, retry.milliseconds);
        logger.warn(context, 'reconcile failed; retried after a given delay');
        return;
      case 'backoff':
        this.#queue.addRateLimited(key, retry.longestMs);
        if (thrown instanceof OperatorError) logger.warn(context, 'reconcile failed; retried');
        else logger.error(context, 'reconcile threw an unexpected error; retried');
    }
  }

  #abortAll(): void {
    for (const { abort } of this.#running) {
      abort.abort(new OperatorError('ShuttingDown', 'The operator is shutting down; its successor continues.'));
    }
  }
}

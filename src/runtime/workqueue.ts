import type { WorkQueueMetrics } from '../telemetry.ts';
import { type Clock, systemClock, type Timer } from './clock.ts';

export interface WorkQueueOptions {
  clock?: Clock | undefined;
  metrics?: WorkQueueMetrics | undefined;
  /** Delay after a key's first failure, doubled with each more. Default 5 ms. */
  baseDelayMs?: number | undefined;
  /** Default 60,000 ms. */
  maxDelayMs?: number | undefined;
  /** In [0, 1), for the jitter. */
  random?: (() => number) | undefined;
}

interface Delayed {
  dueAt: number;
  timer: Timer;
}

const backlogShare = 4;
/** Enough for a certificate's whole life; what is asked beyond is a mistake or Infinity. */
const longestDelayMs = 10 * 365 * 24 * 3600 * 1000;

/**
 * Keys with work to do, after client-go's workqueue. A key is with one worker at most; added while it is being worked
 * on, it runs once more afterwards; added twice while it waits, it runs once.
 */
export class WorkQueue {
  readonly #clock: Clock;
  readonly #metrics: WorkQueueMetrics | undefined;
  readonly #baseDelayMs: number;
  readonly #maxDelayMs: number;
  readonly #random: () => number;
  /** Since when each waits. */
  readonly #ready = new Map<string, number>();
  /** The same keys in the order of their adding. Taking a Map's first key again and again is quadratic. */
  #order: string[] = [];
  #head = 0;
  /** Those of the keys that were added before anybody worked, and not again since; the one with the latest news last. */
  readonly #backlog = new Set<string>();
  /** The backlog as it was when it was first taken from: a Set has no cheap way to its end. */
  #backlogOrder: string[] | undefined;
  #turn = 0;
  readonly #processing = new Map<string, number>();
  readonly #again = new Set<string>();
  readonly #delayed = new Map<string, Delayed>();
  readonly #failures = new Map<string, number>();
  readonly #takers: ((key: string | undefined) => void)[] = [];
  readonly #drained = Promise.withResolvers<void>();
  #shuttingDown = false;

  constructor(options: WorkQueueOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#metrics = options.metrics;
    this.#baseDelayMs = options.baseDelayMs ?? 5;
    this.#maxDelayMs = options.maxDelayMs ?? 60_000;
    this.#random = options.random ?? Math.random;
    this.#metrics?.observeRunning(() => this.runningSeconds());
  }

  /** Keys that wait for a worker; delayed ones not counted. */
  get depth(): number {
    return this.#ready.size;
  }

  add(key: string): void {
    if (this.#shuttingDown) return;
    if (this.#processing.has(key)) {
      if (!this.#again.has(key)) this.#metrics?.added();
      this.#again.add(key);
      return;
    }
    // News of one in the backlog: it waits with the others that have news.
    if (this.#backlog.delete(key)) this.#order.push(key);
    if (this.#ready.has(key)) return;
    this.#metrics?.added();
    this.#makeReady(key);
  }

  /**
   * Adds the key while nobody works yet: a replica that stands by hears of every key again and again. When it takes over, the
   * one with the latest news goes first and those with news since then go before the backlog, for most of it needs nothing.
   */
  addToBacklog(key: string): void {
    if (this.#shuttingDown || (this.#ready.has(key) && !this.#backlog.has(key))) return;
    if (!this.#backlog.delete(key)) {
      this.#metrics?.added();
      this.#ready.set(key, this.#clock.monotonic());
    }
    this.#backlog.add(key);
    this.#backlogOrder = undefined;
    this.#metrics?.depth(this.#ready.size);
  }

  /** Adds the key once `delayMs` have passed. Of several delays the one that ends first counts. */
  addAfter(key: string, delayMs: number): void {
    if (this.#shuttingDown) return;
    const delay = Number.isNaN(delayMs) ? this.#maxDelayMs : Math.min(delayMs, longestDelayMs);
    if (delay <= 0) return this.add(key);
    const dueAt = this.#clock.monotonic() + delay;
    const held = this.#delayed.get(key);
    if (held !== undefined && held.dueAt <= dueAt) return;
    held?.timer.cancel();
    const timer = this.#clock.timer(delay, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { dueAt, timer });
  }

  /** After a failure: again with a delay that doubles each time, jittered downwards by up to a half. */
  addRateLimited(key: string, longestMs = this.#maxDelayMs): void {
    const failures = this.failures(key);
    this.#failures.set(key, failures + 1);
    this.#metrics?.retried();
    const delay = Math.min(this.#maxDelayMs, longestMs, this.#baseDelayMs * 2 ** Math.min(failures, 40));
    this.addAfter(key, delay * (1 - this.#random() / 2));
  }

  /** After a success: the next failure starts with the shortest delay. */
  forget(key: string): void {
    this.#failures.delete(key);
  }

  failures(key: string): number {
    return this.#failures.get(key) ?? 0;
  }

  /** The next key, as soon as there is one; undefined once the queue is shut down. Each needs its `done`. */
  take(): Promise<string | undefined> {
    if (this.#shuttingDown) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      this.#takers.push(resolve);
      this.#handOut();
    });
  }

  done(key: string): void {
    const startedAt = this.#processing.get(key);
    if (startedAt === undefined) return;
    this.#processing.delete(key);
    this.#metrics?.worked((this.#clock.monotonic() - startedAt) / 1000);
    if (this.#again.delete(key) && !this.#shuttingDown) this.#makeReady(key);
    if (this.#shuttingDown && this.#processing.size === 0) this.#drained.resolve();
  }

  /** Hands out nothing more and drops what waits; resolves when all that was taken is done. */
  shutDown(): Promise<void> {
    this.#shuttingDown = true;
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    this.#ready.clear();
    this.#order = [];
    this.#head = 0;
    this.#backlog.clear();
    this.#again.clear();
    this.#metrics?.depth(0);
    for (const taker of this.#takers.splice(0)) taker(undefined);
    if (this.#processing.size === 0) this.#drained.resolve();
    return this.#drained.promise;
  }

  /** How long each key under work has taken so far. */
  runningSeconds(): number[] {
    const now = this.#clock.monotonic();
    return [...this.#processing.values()].map((startedAt) => (now - startedAt) / 1000);
  }

  #makeReady(key: string): void {
    this.#ready.set(key, this.#clock.monotonic());
    this.#order.push(key);
    this.#handOut();
  }

  #handOut(): void {
    while (this.#takers.length > 0) {
      const key = this.#next();
      if (key === undefined) break;
      const now = this.#clock.monotonic();
      this.#metrics?.taken((now - (this.#ready.get(key) ?? now)) / 1000);
      this.#ready.delete(key);
      this.#processing.set(key, now);
      this.#takers.shift()?.(key);
    }
    this.#metrics?.depth(this.#ready.size);
  }

  #next(): string | undefined {
    const key = this.#order[this.#head];
    // One in so many is of the backlog, so that news without end does not keep it waiting without end.
    if (this.#backlog.size > 0 && (key === undefined || ++this.#turn % backlogShare === 0))
      return this.#nextOfBacklog();
    if (key === undefined) return undefined;
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#order.length) {
      this.#order = this.#order.slice(this.#head);
      this.#head = 0;
    }
    return key;
  }

  #nextOfBacklog(): string | undefined {
    this.#backlogOrder ??= [...this.#backlog];
    let key = this.#backlogOrder.pop();
    // What has had news since is among the others.
    while (key !== undefined && !this.#backlog.has(key)) key = this.#backlogOrder.pop();
    if (key !== undefined) this.#backlog.delete(key);
    return key;
  }
}

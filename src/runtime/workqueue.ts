import type { WorkQueueMetrics } from '../telemetry.ts';
import { type Clock, systemClock, type Timer } from './clock.ts';
import { Line } from './line.ts';

export interface WorkQueueOptions {
  clock?: Clock | undefined;
  metrics?: WorkQueueMetrics | undefined;
  /** Delay after a key's first failure, doubled with each more. Default 5 ms. */
  baseDelayMs?: number | undefined;
  /** Default 60,000 ms. */
  maxDelayMs?: number | undefined;
  /** In [0, 1), for the jitter. */
  random?: (() => number) | undefined;
  /** The group of keys that a key belongs to, asked when its turn comes. Default: none, and no limit. */
  groupOf?: ((key: string) => Group | undefined) | undefined;
  /** Whether a key goes before others, asked when it is added. */
  isUrgent?: ((key: string) => boolean) | undefined;
}

/** Keys that wait for the same thing outside, which may be slow: they never get every worker. */
export interface Group {
  readonly name: string;
  /** How many of them may be worked on at the same time. */
  readonly most: number;
}

interface Parked {
  line: Line;
  /** One of them, to ask what the group may have by now. */
  sample: string;
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
  #line = new Line();
  readonly #groupOf: (key: string) => Group | undefined;
  readonly #isUrgent: (key: string) => boolean;
  /** Of those whose turn has come while their group had all that it may have, by group. */
  readonly #parked = new Map<string, Parked>();
  /** Of those that need not wait any longer for their group. */
  #freed = new Line();
  /** How many of a group are being worked on or freed. */
  readonly #busy = new Map<string, number>();
  /** Of each key that counts there. */
  readonly #groups = new Map<string, string>();
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
    this.#groupOf = options.groupOf ?? (() => undefined);
    this.#isUrgent = options.isUrgent ?? (() => false);
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
    if (this.#backlog.delete(key)) this.#line.push(key, this.#isUrgent(key));
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
    this.#leave(key);
    this.#metrics?.worked((this.#clock.monotonic() - startedAt) / 1000);
    if (this.#again.delete(key) && !this.#shuttingDown) this.#makeReady(key);
    else this.#handOut();
    if (this.#shuttingDown && this.#processing.size === 0) this.#drained.resolve();
  }

  /** Hands out nothing more and drops what waits; resolves when all that was taken is done. */
  shutDown(): Promise<void> {
    this.#shuttingDown = true;
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    this.#ready.clear();
    this.#line = new Line();
    this.#freed = new Line();
    this.#parked.clear();
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
    this.#line.push(key, this.#isUrgent(key));
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

  /** The next whose group has room; the others are parked. */
  #next(): string | undefined {
    const freed = this.#freed.shift();
    if (freed !== undefined) return freed;
    for (let key = this.#nextOfAll(); key !== undefined; key = this.#nextOfAll()) {
      const group = this.#groupOf(key);
      if (group === undefined) return key;
      if (this.#busyIn(group) < group.most) {
        this.#join(key, group);
        return key;
      }
      const { line } = this.#parked.get(group.name) ?? { line: new Line() };
      line.push(key, this.#isUrgent(key));
      this.#parked.set(group.name, { line, sample: key });
    }
    return undefined;
  }

  #busyIn({ name }: Pick<Group, 'name'>): number {
    return this.#busy.get(name) ?? 0;
  }

  #join(key: string, group: Group): void {
    this.#groups.set(key, group.name);
    this.#busy.set(group.name, this.#busyIn(group) + 1);
  }

  /** Its place goes to one that was parked, or to more where the group may have more by now. */
  #leave(key: string): void {
    const name = this.#groups.get(key);
    if (name === undefined) return;
    this.#groups.delete(key);
    const busy = this.#busyIn({ name }) - 1;
    if (busy > 0) this.#busy.set(name, busy);
    else this.#busy.delete(name);
    const parked = this.#parked.get(name);
    if (parked === undefined) return;
    const most = this.#groupOf(parked.sample)?.most ?? 1;
    while (this.#busyIn({ name }) < most) {
      const next = parked.line.shift();
      if (next === undefined) break;
      this.#join(next, { name, most });
      this.#freed.push(next, this.#isUrgent(next));
    }
    if (parked.line.length === 0) this.#parked.delete(name);
  }

  #nextOfAll(): string | undefined {
    // One in so many is of the backlog, so that news without end does not keep it waiting without end.
    if (this.#backlog.size > 0 && (this.#line.length === 0 || ++this.#turn % backlogShare === 0))
      return this.#nextOfBacklog();
    return this.#line.shift();
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

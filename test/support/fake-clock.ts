import { setImmediate } from 'node:timers/promises';
import type { Clock, Timer } from '../../src/runtime/clock.ts';

interface Pending {
  due: number;
  sequence: number;
  callback: () => void;
}

/** A clock that stands still until told otherwise. */
export class FakeClock implements Clock {
  readonly #pending = new Set<Pending>();
  #epoch: number;
  #elapsed = 0;
  #sequence = 0;

  constructor(epoch = Date.UTC(2026, 0, 1)) {
    this.#epoch = epoch;
  }

  now(): number {
    return this.#epoch + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  timer(delayMs: number, callback: () => void): Timer {
    const pending = { due: this.#elapsed + Math.max(0, delayMs), sequence: this.#sequence++, callback };
    this.#pending.add(pending);
    return { cancel: () => this.#pending.delete(pending) };
  }

  /** Timers armed and not yet fired. */
  get timers(): number {
    return this.#pending.size;
  }

  /** Sets the wall clock, as NTP would; timers and `monotonic` don't notice. */
  setWallClock(epoch: number): void {
    this.#epoch = epoch - this.#elapsed;
  }

  /** Time passes while the process is stopped: what fell due fires afterwards, all at once. */
  skip(milliseconds: number): void {
    this.#elapsed += milliseconds;
    this.advance(0);
  }

  /** Fires what falls due, in order; timers armed meanwhile fire too when they fall within. */
  advance(milliseconds: number): void {
    const end = this.#elapsed + milliseconds;
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#pending.delete(next);
      this.#elapsed = Math.max(this.#elapsed, next.due);
      next.callback();
    }
    this.#elapsed = end;
  }

  /** Like `advance`, letting promises settle between timers. */
  async advanceAsync(milliseconds: number): Promise<void> {
    const end = this.#elapsed + milliseconds;
    await settle();
    for (let next = this.#next(end); next !== undefined; next = this.#next(end)) {
      this.#pending.delete(next);
      this.#elapsed = Math.max(this.#elapsed, next.due);
      next.callback();
      await settle();
    }
    this.#elapsed = end;
    await settle();
  }

  #next(end: number): Pending | undefined {
    let next: Pending | undefined;
    for (const pending of this.#pending) {
      if (pending.due > end) continue;
      if (
        next === undefined ||
        pending.due < next.due ||
        (pending.due === next.due && pending.sequence < next.sequence)
      ) {
        next = pending;
      }
    }
    return next;
  }
}

/** Some turns of the event loop: all promises that can settle without I/O have, also those that wait for a turn. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await setImmediate();
}

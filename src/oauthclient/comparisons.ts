import { createHash } from 'node:crypto';
import { contestOf, type Contest } from '../runtime/contest.ts';
import { Rewrites } from '../runtime/rewrites.ts';

/** What came of comparing a registration with what the client asks for. Volatile: a restart compares again in its own time. */
export interface Comparison {
  /** Epoch milliseconds of the next one. */
  due: number;
  /** Somebody changes it at the server again and again: what, and when it is put back. */
  reverted?: string;
}

/** When what was put back is looked at again. */
const keptMs = 10_000;
/** A server that can't be asked now. */
const longestPauseMs = 10 * 60_000;

/**
 * When each registration is read at its server again, and how often what others made of it was put back. In memory, as
 * `Reproofs` are: a restart spreads the next ones over the interval by a hash of the client.
 */
export class Comparisons {
  readonly #byUid = new Map<string, Comparison>();
  readonly #repairs = new Rewrites();
  /** By the server's uid. */
  readonly #costly = new Set<string>();
  readonly #startedAt: number;

  constructor(startedAt: number) {
    this.#startedAt = startedAt;
  }

  /** @param doubtful status says that the registration can't be read: looked into at once after a restart */
  of(uid: string, intervalMs: number, doubtful = false): Comparison {
    const known = this.#byUid.get(uid);
    if (known !== undefined) return known;
    if (doubtful) return { due: this.#startedAt };
    const fraction = createHash('sha256').update(`${uid} registration`).digest().readUInt32BE(0) / 2 ** 32;
    return { due: this.#startedAt + Math.ceil((0.1 + 0.9 * fraction) * intervalMs) };
  }

  /** It is as it was asked for. */
  same(uid: string, now: number, intervalMs: number): void {
    this.#byUid.set(uid, { due: now + Math.ceil(intervalMs * (0.9 + Math.random() * 0.1)) });
  }

  /** Nothing was learnt of it. */
  postponed(uid: string, now: number, intervalMs: number): void {
    const known = this.#byUid.get(uid);
    this.#byUid.set(uid, { ...known, due: now + Math.min(longestPauseMs, intervalMs) });
  }

  /** @param asked what is put back, as one word */
  contest(uid: string, asked: string, now: number): Contest | undefined {
    return contestOf(this.#repairs.of(uid), asked, now);
  }

  /** It is being put back, and looked at again soon. */
  repaired(uid: string, asked: string, now: number): void {
    // What was registered at first undoes nothing of anybody.
    if (this.#repairs.of(uid)?.content !== asked) this.#repairs.wrote(uid, asked, now);
    this.#repairs.wrote(uid, asked, now);
    this.#byUid.set(uid, { ...this.#byUid.get(uid), due: now + keptMs });
  }

  /** It was put back too often to do so at once. */
  braked(uid: string, due: number, reverted: string): void {
    this.#byUid.set(uid, { due, reverted });
  }

  /** Reading at this server replaces registration access tokens: what a lost answer would lose is more than a look is worth. */
  costly(serverUid: string): void {
    this.#costly.add(serverUid);
  }

  isCostly(serverUid: string): boolean {
    return this.#costly.has(serverUid);
  }

  forget(uid: string): void {
    this.#byUid.delete(uid);
    this.#repairs.forget(uid);
  }
}

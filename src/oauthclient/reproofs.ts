import { createHash } from 'node:crypto';
import { doubted, type Doubt, type Reproof } from './observed.ts';

/**
 * When each published certificate is proved again, and what came of the last time. In memory on purpose: a restart only
 * shifts the next proof, spread over the interval by a hash of the client, and P8 asks for no writes at rest. A refusal
 * alone outlives it, in status (P9).
 */
export class Reproofs {
  readonly #byUid = new Map<string, Reproof>();
  readonly #startedAt: number;

  constructor(startedAt: number) {
    this.#startedAt = startedAt;
  }

  /**
   * @param doubt what status says of a refusal: after a restart it is looked into before the certificate counts as accepted
   */
  of(uid: string, intervalMs: number, doubt?: Doubt): Reproof {
    const known = this.#byUid.get(uid);
    if (known !== undefined) return known;
    if (doubt !== undefined) {
      const reproof = doubted(this.#startedAt, doubt);
      this.#byUid.set(uid, reproof);
      return reproof;
    }
    const fraction = createHash('sha256').update(uid).digest().readUInt32BE(0) / 2 ** 32;
    return { due: this.#startedAt + Math.ceil((0.1 + 0.9 * fraction) * intervalMs), refusals: 0, message: '' };
  }

  passed(uid: string, now: number, intervalMs: number): void {
    this.#byUid.set(uid, { due: now + this.#jittered(intervalMs), refusals: 0, message: '' });
  }

  /** A refusal is looked into soon once, then at the usual pace: servers lock out clients that fail often. */
  refused(uid: string, now: number, intervalMs: number, message: string): Reproof {
    const refusals = (this.#byUid.get(uid)?.refusals ?? 0) + 1;
    const due = now + (refusals === 1 ? 5_000 : Math.min(20 * 60_000, intervalMs));
    const reproof = { due, refusals, message };
    this.#byUid.set(uid, reproof);
    return reproof;
  }

  /** What it was refused for may have been put right just now. */
  hasten(uid: string, now: number): void {
    const known = this.#byUid.get(uid);
    if (known !== undefined && known.refusals > 0) this.#byUid.set(uid, { ...known, due: now });
  }

  /** Unreachable says nothing about the certificate. */
  postponed(uid: string, now: number): void {
    const known = this.#byUid.get(uid);
    this.#byUid.set(uid, { due: now + 60_000, refusals: known?.refusals ?? 0, message: known?.message ?? '' });
  }

  forget(uid: string): void {
    this.#byUid.delete(uid);
  }

  #jittered(intervalMs: number): number {
    return Math.ceil(intervalMs * (0.9 + Math.random() * 0.1));
  }
}

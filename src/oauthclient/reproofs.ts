import { createHash } from 'node:crypto';
import { doubted, type Doubt, type Reproof } from './observed.ts';

/**
 * When each published certificate is proved again, and what came of the last time. In memory on purpose: a restart only
 * shifts the next proof, spread over the interval by a hash of the client, and P8 asks for no writes at rest. A refusal
 * alone outlives it, in status (P9).
 */
export class Reproofs {
  readonly #byUid = new Map<string, Reproof>();
  /** By the server's uid: when it last accepted a client. */
  readonly #acceptedAt = new Map<string, number>();
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

  /** When a server last accepted any client, epoch milliseconds. */
  acceptedAt(serverUid: string): number | undefined {
    return this.#acceptedAt.get(serverUid);
  }

  passed(uid: string, serverUid: string, now: number, intervalMs: number): void {
    this.#acceptedAt.set(serverUid, now);
    this.#byUid.set(uid, { due: now + this.#jittered(intervalMs), refusals: 0, message: '' });
  }

  /** A refusal is looked into soon once, then at the usual pace: servers lock out clients that fail often. */
  refused(uid: string, now: number, intervalMs: number, message: string): void {
    const before = this.#byUid.get(uid);
    const refusals = (before?.refusals ?? 0) + 1;
    const refusedSince = before?.refusedSince ?? now;
    const due = now + (refusals === 1 ? 5_000 : Math.min(20 * 60_000, intervalMs));
    this.#byUid.set(uid, { due, refusals, message, refusedSince });
  }

  /** What reading the registration of a refused client came to. */
  looked(uid: string, registration: NonNullable<Reproof['registration']>): void {
    const known = this.#byUid.get(uid);
    if (known !== undefined) this.#byUid.set(uid, { ...known, registration });
  }

  /** Something else says that the server may not know the client: its certificate is tried at once. */
  suspect(uid: string, now: number): void {
    const known = this.#byUid.get(uid);
    if (known === undefined || (known.refusals === 0 && known.due > now)) {
      this.#byUid.set(uid, { due: now, refusals: 0, message: '' });
    }
  }

  /** What it was refused for may have been put right just now. */
  hasten(uid: string, now: number): void {
    const known = this.#byUid.get(uid);
    if (known !== undefined && known.refusals > 0) this.#byUid.set(uid, { ...known, due: now });
  }

  /** Unreachable says nothing about the certificate. */
  postponed(uid: string, now: number): void {
    const known = this.#byUid.get(uid);
    this.#byUid.set(uid, { refusals: 0, message: '', ...known, due: now + 60_000 });
  }

  forget(uid: string): void {
    this.#byUid.delete(uid);
  }

  #jittered(intervalMs: number): number {
    return Math.ceil(intervalMs * (0.9 + Math.random() * 0.1));
  }
}

import { asOperatorError } from '../errors.ts';
import type { Rewritten } from '../runtime/contest.ts';
import { Rewrites } from '../runtime/rewrites.ts';
import { ProofResults } from './proof/results.ts';

/** A write that the API server refused for reasons of one object: held back, so that the others of its scope go on. */
export interface Refusal {
  code: string;
  message: string;
  /** Epoch milliseconds of the next try, unless what it depends on changes before. */
  until: number;
}

interface Held extends Refusal {
  basis: string;
  attempts: number;
}

interface Applied {
  /** What was applied. */
  settings: string;
  /** When it was found missing, epoch milliseconds, by the resource version in which it was. */
  losses: Map<string, number>;
}

const firstDelayMs = 1_000;
const longestDelayMs = 10 * 60_000;

/** Our keys may be lost so often in such a time; then somebody else's will is stronger. */
export const mostLosses = 3;
export const lossWindowMs = 10 * 60_000;

/**
 * What this process has tried. It paces and stops repetition; nothing is granted or trusted because of it, so that a
 * restart may forget it.
 */
export class TerminatorMemory {
  readonly #refusals = new Map<string, Held>();
  readonly #applied = new Map<string, Applied>();
  readonly #writtenAt = new Map<string, number>();
  readonly #trustChangedAt = new Map<string, number>();
  readonly #withdrawnAt = new Map<string, number>();
  readonly #rewrites = new Rewrites();
  #version = 0;
  /** What live connections have shown. */
  readonly proofs = new ProofResults(() => (this.#version += 1));

  /** Changes whenever the answers do. */
  get version(): number {
    return this.#version;
  }

  refuse(target: string, basis: string, thrown: unknown, now: number): void {
    const { code, message } = asOperatorError(thrown);
    const before = this.#refusals.get(target);
    const attempts = before?.basis === basis ? before.attempts + 1 : 1;
    const delay = Math.min(longestDelayMs, firstDelayMs * 2 ** Math.min(attempts - 1, 20));
    this.#refusals.set(target, { code, message, basis, attempts, until: now + delay });
    this.#version += 1;
  }

  succeed(target: string, now: number): void {
    this.#refusals.delete(target);
    this.#writtenAt.set(target, now);
    this.#version += 1;
  }

  /** When this process wrote it last, epoch milliseconds: the terminator may not know of it yet. */
  writtenAt(target: string): number | undefined {
    return this.#writtenAt.get(target);
  }

  /** A refusal that still holds, as long as the write would be the same. */
  refusal(target: string, basis: string, now: number): Refusal | undefined {
    const held = this.#refusals.get(target);
    return held?.basis === basis && held.until > now ? held : undefined;
  }

  /** A bundle or companion was written, because it was another one. */
  rewrote(target: string, content: string, now: number): void {
    this.#rewrites.wrote(target, content, now);
    this.#version += 1;
  }

  /** A bundle that terminators use was given other CAs. */
  trustChanged(target: string, now: number): void {
    this.#trustChangedAt.set(target, now);
    this.#version += 1;
  }

  /** When this process last gave it other CAs than it had, epoch milliseconds. */
  trustChangedAt(target: string): number | undefined {
    return this.#trustChangedAt.get(target);
  }

  /** Our settings were taken from a frontend. */
  withdrew(namespace: string, now: number): void {
    this.#withdrawnAt.set(namespace, now);
    this.#version += 1;
  }

  /** When settings of ours were last taken from any frontend there, epoch milliseconds. */
  withdrawnAt(namespace: string): number | undefined {
    return this.#withdrawnAt.get(namespace);
  }

  rewritten(target: string): Rewritten | undefined {
    return this.#rewrites.of(target);
  }

  applied(uid: string, settings: string): void {
    const before = this.#applied.get(uid);
    if (before?.settings !== settings) this.#applied.set(uid, { settings, losses: new Map() });
    this.#version += 1;
  }

  /** What was applied before is missing in this version of the frontend. Counted once a version. */
  lost(uid: string, settings: string, resourceVersion: string, now: number): void {
    const applied = this.#applied.get(uid);
    if (applied?.settings !== settings || applied.losses.has(resourceVersion)) return;
    applied.losses.set(resourceVersion, now);
    for (const [version, at] of applied.losses) if (at <= now - lossWindowMs) applied.losses.delete(version);
    this.#version += 1;
  }

  /** Times of the losses of the last ten minutes, epoch milliseconds, oldest first. */
  losses(uid: string, now: number): number[] {
    const times = [...(this.#applied.get(uid)?.losses.values() ?? [])];
    return times.filter((at) => at > now - lossWindowMs).toSorted((a, b) => a - b);
  }

  forgetFrontend(uid: string): void {
    this.#applied.delete(uid);
    this.#forget(frontendTarget(uid));
  }

  forgetObject(target: string): void {
    this.#forget(target);
  }

  #forget(target: string): void {
    this.#refusals.delete(target);
    this.#writtenAt.delete(target);
    this.#trustChangedAt.delete(target);
    this.#rewrites.forget(target);
    this.#version += 1;
  }
}

export const frontendTarget = (uid: string): string => `frontend ${uid}`;
/** @param kind of a bundle or a companion */
export const objectTarget = (kind: string, namespace: string, name: string): string => `${kind} ${namespace}/${name}`;

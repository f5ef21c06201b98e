/** Paces a contest with somebody who keeps undoing what we write. Pure. */

/** What was written last, and when the very same was written again. */
export interface Rewritten {
  readonly content: string;
  /** Epoch milliseconds, oldest first. */
  readonly times: readonly number[];
}

export interface Contest {
  /** How often the same was written again. */
  readonly times: number;
  /** When it may be written once more, epoch milliseconds. */
  readonly nextAt: number;
  /** When what was written last counts as kept, if it is still there. */
  readonly keptAt: number;
}

/** So often in such a time is no accident. */
const mostRewrites = 3;
export const windowMs = 10 * 60_000;
const firstPauseMs = 5_000;
const keptMs = 10_000;

/**
 * Undefined while it may be written whenever it is needed. What is new is nobody's to undo yet: only the same content,
 * again and again, is a contest.
 */
export function contestOf(rewritten: Rewritten | undefined, content: string, now: number): Contest | undefined {
  if (rewritten?.content !== content) return undefined;
  const times = rewritten.times.filter((time) => time > now - windowMs);
  const last = times.at(-1);
  if (last === undefined || times.length < mostRewrites) return undefined;
  const pause = Math.min(windowMs, firstPauseMs * 2 ** (times.length - mostRewrites));
  return { times: times.length, nextAt: last + pause, keptAt: last + keptMs };
}

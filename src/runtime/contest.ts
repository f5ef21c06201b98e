/** What others do to objects that we write: a contest with somebody who keeps undoing it is paced. Pure. */

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

/** What of ours somebody keeps undoing. */
export interface Contested {
  /** Kind, namespace and name. */
  object: string;
  /** As it is to be. */
  content: string;
  rewritten: Rewritten | undefined;
  /** The field manager that wrote it last, other than the operator's own. */
  lastWriter: string | undefined;
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

/** While it is not to be written again: until when, epoch milliseconds, and what to say to whoever reads of it. */
export function pausedContest(
  { object, content, rewritten, lastWriter }: Contested,
  now: number,
): { message: string; at: number } | undefined {
  const contest = contestOf(rewritten, content, now);
  if (contest === undefined || now >= contest.nextAt) return undefined;
  const who = lastWriter === undefined ? '' : `; the last other writer is field manager ${lastWriter}`;
  const message = `${object} was changed or deleted again and again after it had been written${who}. Keep others from writing it; it is written again, ever less often.`;
  return { message, at: contest.nextAt };
}

/** Why one that is to be of type Opaque can't be written where it is, and what to do; undefined where it can. */
export function unwritableOpaque(
  object: string,
  { type, deleting }: { type: string; deleting: boolean },
): string | undefined {
  if (deleting) return `${object} is being deleted and something keeps it from going: remove its finalizers.`;
  if (type === 'Opaque') return undefined;
  return `${object} has type ${type}, which cannot be changed: delete it, and the operator writes it.`;
}

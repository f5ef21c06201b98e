/**
 * Whether a server answers. After some failures in a row nothing more is sent for a while, then one call tries it; as long as
 * that fails the pauses grow. Pure; times are milliseconds of a clock that never goes back.
 */
export type Breaker = Closed | Open | Trial;

interface Closed {
  readonly state: 'closed';
  /** In a row. */
  readonly failures: number;
  /** How long the last outage's pauses were, and when it ended: one that flaps is not tried as often as the first time. */
  readonly level: number;
  readonly closedAt: number;
}

/** Nothing is sent before `until`. */
interface Open {
  readonly state: 'open';
  readonly level: number;
  readonly since: number;
  readonly until: number;
}

/** One call is on its way; should nothing ever be heard of it, another may go at `until`. */
interface Trial {
  readonly state: 'trial';
  readonly level: number;
  readonly since: number;
  readonly until: number;
}

export type CallResult = 'answered' | 'failed' | 'unknown';

const FAILURES = 5;
const FIRST_PAUSE_MS = 2_000;
/** What recovers is back in use within a minute, so the longest pause is well below that. */
const LONGEST_PAUSE_MS = 20_000;
const TRIAL_MS = 15_000;
const FLAPS_MS = 60_000;

export const closed: Breaker = { state: 'closed', failures: 0, level: -1, closedAt: Number.NEGATIVE_INFINITY };

/** Whether a call may go, and what is known once it has gone. */
export function admit(breaker: Breaker, now: number): { admitted: boolean; breaker: Breaker } {
  if (breaker.state === 'closed') return { admitted: true, breaker };
  if (now < breaker.until) return { admitted: false, breaker };
  const { level, since } = breaker;
  return { admitted: true, breaker: { state: 'trial', level, since, until: now + TRIAL_MS } };
}

/** What is known after a call has come to an end, also one that went before the outage began. */
export function settle(breaker: Breaker, now: number, result: CallResult): Breaker {
  switch (result) {
    case 'answered':
      if (breaker.state !== 'closed') return { state: 'closed', failures: 0, level: breaker.level, closedAt: now };
      return breaker.failures === 0 ? breaker : { ...breaker, failures: 0 };
    case 'unknown':
      // The next may try instead.
      return breaker.state === 'trial' ? { ...breaker, state: 'open', until: now } : breaker;
    case 'failed':
      return failed(breaker, now);
  }
}

function failed(breaker: Breaker, now: number): Breaker {
  if (breaker.state === 'open') return breaker;
  if (breaker.state === 'trial') return opened(breaker.level + 1, breaker.since, now);
  const failures = breaker.failures + 1;
  if (failures < FAILURES) return { ...breaker, failures };
  const flaps = now - breaker.closedAt < FLAPS_MS;
  return opened(flaps ? breaker.level + 1 : 0, now, now);
}

function opened(level: number, since: number, now: number): Breaker {
  const pause = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(level, 10));
  return { state: 'open', level, since, until: now + pause };
}

/**
 * The generic cell rate algorithm (ITU-T I.371), which is a token bucket that needs one number. Pure; times are milliseconds
 * of a clock that never goes back.
 */
export interface RateLimit {
  readonly requestsPerSecond: number;
  /** How many may go at once after a rest. */
  readonly burst: number;
}

/** When the next request would be due if they came evenly. */
export type Allowance = number;

export const untouched: Allowance = Number.NEGATIVE_INFINITY;

/** The earliest time at which one more request may go. */
export function nextTurn(allowance: Allowance, { requestsPerSecond, burst }: RateLimit, now: number): number {
  return Math.max(now, allowance - ((burst - 1) * 1000) / requestsPerSecond);
}

/** After a request that was given its turn. */
export function spent(allowance: Allowance, { requestsPerSecond }: RateLimit, now: number): Allowance {
  return Math.max(now, allowance) + 1000 / requestsPerSecond;
}

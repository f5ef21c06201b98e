export interface Timer {
  cancel(): void;
}

/** Time as an argument: production passes `systemClock`, tests a clock they advance. */
export interface Clock {
  /** Wall clock, epoch milliseconds. */
  now(): number;
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonic(): number;
  timer(delayMs: number, callback: () => void): Timer;
}

/** The longest delay setTimeout takes; anything above fires at once (24.8 days, and certificates live for 90). */
const longestDelayMs = 2 ** 31 - 1;

function clampedTimer(delayMs: number, callback: () => void): Timer {
  const due = performance.now() + delayMs;
  let handle: NodeJS.Timeout;
  const arm = (): void => {
    const remaining = Math.max(0, due - performance.now());
    handle = remaining > longestDelayMs ? setTimeout(arm, longestDelayMs) : setTimeout(callback, remaining);
  };
  arm();
  return { cancel: () => clearTimeout(handle) };
}

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  timer: clampedTimer,
};

/** Resolves after `delayMs`, or at once when the signal aborts: the caller looks at the signal. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const wake = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', wake);
      resolve();
    };
    const timer = clock.timer(delayMs, wake);
    signal?.addEventListener('abort', wake, { once: true });
  });
}

import { setTimeout as delay } from 'node:timers/promises';

const FIRST_MS = 10;
const LAST_MS = 250;
/** Of what was waited so far: this much later a wait may end than it could. */
const PART = 0.05;

/**
 * Until the condition holds; fails after `limitMs`, which is no measure but a limit. What is long in coming is asked for
 * less often: a hundred tests that each ask an API server every 10 ms are the better part of its work.
 */
export async function waitFor(condition: () => boolean | Promise<boolean>, limitMs = 30_000): Promise<void> {
  const started = performance.now();
  while (!(await condition())) {
    const waited = performance.now() - started;
    if (waited > limitMs) throw new Error(`not within ${limitMs / 1000} s: ${condition.toString()}`);
    await delay(Math.min(LAST_MS, Math.max(FIRST_MS, waited * PART)));
  }
}

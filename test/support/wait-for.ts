import { setTimeout as delay } from 'node:timers/promises';

/** Until the condition holds; fails after `limitMs`, which is no measure but a limit. */
export async function waitFor(condition: () => boolean | Promise<boolean>, limitMs = 30_000): Promise<void> {
  const started = performance.now();
  while (!(await condition())) {
    if (performance.now() - started > limitMs)
      throw new Error(`not within ${limitMs / 1000} s: ${condition.toString()}`);
    await delay(10);
  }
}

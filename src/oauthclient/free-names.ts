import type { Clock } from '../runtime/clock.ts';

/** The step that follows a look does so within milliseconds. */
const momentMs = 1_000;
const most = 1_000;

/**
 * Names of Secrets that were nobody's a moment ago: each step of a pass would look again. Who takes one meanwhile is met when
 * the Secret is created.
 */
export class FreeNames {
  readonly #seen = new Map<string, number>();
  readonly #clock: Pick<Clock, 'monotonic'>;

  constructor(clock: Pick<Clock, 'monotonic'>) {
    this.#clock = clock;
  }

  /** @param key whose name it is to be, and the name */
  saw(key: string): void {
    for (const oldest of this.#seen.keys()) {
      if (this.#seen.size < most) break;
      this.#seen.delete(oldest);
    }
    this.#seen.set(key, this.#clock.monotonic());
  }

  /** Once: after another step somebody looks again. */
  take(key: string): boolean {
    const at = this.#seen.get(key);
    this.#seen.delete(key);
    return at !== undefined && this.#clock.monotonic() - at < momentMs;
  }
}

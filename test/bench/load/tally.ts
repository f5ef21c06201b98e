/** What came of the calls of a load: every one that did not succeed counts, by who made it and why. */

/** Who calls: with the client's contract kept, with what was read once, with a token from before a rotation. */
export type Caller = 'contract' | 'read-once' | 'old token';

export interface CallOutcome {
  endpoint: 'token' | 'API';
  /** Undefined where it was answered as it must be. */
  refusal?: { reason: string; detail: string } | typeof LATE;
}

const mostSamples = 20;

/** What a call was made with was no longer good when its answer came: on a starved machine it takes that long. */
export const LATE = 'late';

export class Tally {
  readonly #calls = new Map<string, number>();
  readonly #refusals = new Map<string, number>();
  readonly #samples: string[] = [];
  #resent = 0;
  #late = 0;

  add(caller: Caller, { endpoint, refusal }: CallOutcome): void {
    if (refusal === LATE) {
      this.#late += 1;
      return;
    }
    const name = `${caller}, ${endpoint}`;
    this.#calls.set(name, (this.#calls.get(name) ?? 0) + 1);
    if (refusal === undefined) return;
    const why = `${name}: ${refusal.reason}`;
    this.#refusals.set(why, (this.#refusals.get(why) ?? 0) + 1);
    if (this.#samples.length < mostSamples) this.#samples.push(`${name}: ${refusal.reason}: ${refusal.detail}`);
  }

  /** The server closed a kept connection as a request went out on it, and it went out again on a new one. */
  addResent(): void {
    this.#resent += 1;
  }

  /** Of one caller, or of all. */
  calls(caller?: Caller): number {
    return sum(this.#calls, caller);
  }

  refused(caller?: Caller): number {
    return sum(this.#refusals, caller);
  }

  get resent(): number {
    return this.#resent;
  }
  get late(): number {
    return this.#late;
  }

  /** Calls and refusals by caller, endpoint and reason, and the first refusals in full. */
  lines(): string[] {
    const counted = (of: ReadonlyMap<string, number>, what: string) =>
      [...of].toSorted(([a], [b]) => a.localeCompare(b)).map(([name, count]) => `${what} ${name}: ${count}`);
    return [...counted(this.#calls, 'calls of'), ...counted(this.#refusals, 'REFUSED to'), ...this.#samples];
  }
}

function sum(counts: ReadonlyMap<string, number>, caller: Caller | undefined): number {
  return [...counts]
    .filter(([name]) => caller === undefined || name.startsWith(`${caller}, `))
    .reduce((total, [, count]) => total + count, 0);
}

/** What came of the calls of a load: every one that did not succeed counts, by who made it and why. */

/** Who calls: with the client's contract kept, with what was read once, with a token from before a rotation. */
export type Caller = 'contract' | 'read-once' | 'old token';

export interface Refusal {
  caller: Caller;
  endpoint: 'token' | 'API';
  /** Few words, so that equal ones can be counted. */
  reason: string;
  detail: string;
  /** Of the certificate that was used. */
  x5tS256: string;
  /** When the answer came, and when the token ended that was used, epoch milliseconds. */
  at: number;
  expiresAt: number;
}

const mostSamples = 20;

export class Tally {
  readonly #calls = new Map<string, number>();
  readonly #refusals: Refusal[] = [];
  readonly #drainEnd: (x5tS256: string) => number;
  readonly #overdue: (at: number) => boolean;
  #resent = 0;

  /**
   * @param drainEnd of a certificate, epoch milliseconds; Infinity where it is published still. Asked when all is over: an
   *   application on a starved machine may hear of a rotation, and so may we, when the drain has long ended
   * @param overdue whether at that time a terminator took longer to load a change than `spec.propagation` says; asked as late
   */
  constructor(drainEnd: (x5tS256: string) => number, overdue: (at: number) => boolean) {
    this.#drainEnd = drainEnd;
    this.#overdue = overdue;
  }

  called(caller: Caller, endpoint: Refusal['endpoint']): void {
    const name = `${caller}, ${endpoint}`;
    this.#calls.set(name, (this.#calls.get(name) ?? 0) + 1);
  }

  refuse(refusal: Refusal): void {
    this.#refusals.push(refusal);
  }

  /** The server closed a kept connection as a request went out on it, and it went out again on a new one. */
  addResent(): void {
    this.#resent += 1;
  }

  /** Of one caller, or of all. */
  calls(caller?: Caller): number {
    return [...this.#calls]
      .filter(([name]) => caller === undefined || name.startsWith(`${caller}, `))
      .reduce((total, [, count]) => total + count, 0);
  }

  /** Without those that were late, and those of an overdue terminator. */
  refused(caller?: Caller): number {
    return this.#counted().filter((refusal) => caller === undefined || refusal.caller === caller).length;
  }

  /** Refusals of what was no longer good when the answer came: the token had ended, or the certificate's drain. */
  get late(): number {
    return this.#refusals.length - this.#inTime().length;
  }

  /** Refusals while a terminator was slower than the platform says: against that no order of steps helps. */
  get overdue(): number {
    return this.#inTime().length - this.#counted().length;
  }

  get resent(): number {
    return this.#resent;
  }

  #inTime(): Refusal[] {
    return this.#refusals.filter(({ at, expiresAt, x5tS256 }) => at < Math.min(expiresAt, this.#drainEnd(x5tS256)));
  }

  #counted(): Refusal[] {
    return this.#inTime().filter(({ at }) => !this.#overdue(at));
  }

  /** Calls and refusals by caller, endpoint and reason, and the first refusals in full. */
  lines(): string[] {
    const refusals = new Map<string, number>();
    for (const { caller, endpoint, reason } of this.#counted()) {
      const why = `${caller}, ${endpoint}: ${reason}`;
      refusals.set(why, (refusals.get(why) ?? 0) + 1);
    }
    const counted = (of: ReadonlyMap<string, number>, what: string) =>
      [...of].toSorted(([a], [b]) => a.localeCompare(b)).map(([name, count]) => `${what} ${name}: ${count}`);
    const samples = this.#counted()
      .slice(0, mostSamples)
      .map(({ caller, endpoint, at, x5tS256, detail }) =>
        [caller, endpoint, new Date(at).toISOString(), x5tS256, detail].join(' '),
      );
    return [...counted(this.#calls, 'calls of'), ...counted(refusals, 'REFUSED to'), ...samples];
  }
}

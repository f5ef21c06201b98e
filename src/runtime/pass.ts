import { asOperatorError, type OperatorError, REFUSED_AGAIN_MS } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock } from './clock.ts';
import type { Result } from './controller.ts';

/** What a check looks at. Pure data: no handles, no key bytes. */
export interface View<Observed, Desired> {
  observed: Observed;
  desired: Desired;
  /** Epoch milliseconds. */
  now: number;
}

/** One I/O action that puts something right. It ends by storing what it learnt, so that a crash after it loses nothing. */
export interface Step {
  readonly name: string;
}

/** One reason to act or to report. */
export interface Finding<S extends Step> {
  /** The condition it speaks of. */
  condition: string;
  status: 'False' | 'Unknown';
  /** Stable CamelCase word: condition reason, event reason, log field. */
  reason: string;
  /** What happened, why, what to do. Public. */
  message: string;
  /** What puts it right; absent where only time or somebody else can. */
  step?: S;
  /**
   * What the step's success depends on besides the world outside. A failed step is held back until its time has come
   * or until this changes.
   */
  basis?: string;
  /** Later checks make no sense before this is right. A step always blocks, while it is due. */
  blocks?: boolean;
  /** While the step is held back after a failure, later checks go on: what it would put right can wait. */
  deferrable?: boolean;
  /** When to look again although nothing changes; epoch milliseconds. */
  at?: number;
  /** The error of the last attempt at the step, where it failed and waits for its next try. */
  error?: OperatorError;
}

/** A pure, named reason. Returns nothing where all is well. */
export interface Check<V, S extends Step> {
  readonly name: string;
  find(view: V): Finding<S> | undefined;
}

export interface HeldBack {
  error: OperatorError;
  /** When to look again; epoch milliseconds. */
  at: number;
}

export interface Kind<Observed, Desired, S extends Step> {
  readonly name: string;
  /** Reads the world; undefined when the object is gone and nothing of it is left to do. */
  observe(key: string, signal: AbortSignal): Promise<Observed | undefined>;
  desired(observed: Observed, now: number): Desired;
  readonly checks: readonly Check<View<Observed, Desired>, S>[];
  /** When time alone will change what the checks find; epoch milliseconds. Pure. */
  wakeAt?(view: View<Observed, Desired>): number | undefined;
  /** What the step needs is known to be away: it is not even tried, and this is what is reported of it. */
  heldBack?(key: string, step: S, view: View<Observed, Desired>): HeldBack | undefined;
  run(step: S, view: View<Observed, Desired>, signal: AbortSignal): Promise<void>;
  /** The one status write of a pass, if anything differs; may name a time to look again. */
  settle(view: View<Observed, Desired>, findings: readonly Finding<S>[], signal: AbortSignal): Promise<void>;
}

/** Called around every step, which waits for it: tests kill the process here. */
export interface StepObserver {
  before(kind: string, step: string, key: string): void | Promise<void>;
  after(kind: string, step: string, key: string): void | Promise<void>;
}

export interface Plan<S extends Step> {
  findings: Finding<S>[];
  /** The one step to take now; the plan is made anew after it. */
  next: S | undefined;
  /** Epoch milliseconds of the earliest time to look again. */
  at: number | undefined;
}

/** The chain: findings in order, up to the first that blocks. Pure. */
export function evaluate<V, S extends Step>(
  checks: readonly Check<V, S>[],
  view: V,
  held: (finding: Finding<S>) => Finding<S> = (finding) => finding,
): Plan<S> {
  const findings: Finding<S>[] = [];
  let next: S | undefined;
  for (const check of checks) {
    const found = check.find(view);
    if (found === undefined) continue;
    const finding = held(found);
    findings.push(finding);
    next = finding.error === undefined ? finding.step : undefined;
    const waits = finding.step !== undefined && finding.deferrable !== true;
    if (next !== undefined || waits || finding.blocks === true) break;
  }
  return { findings, next, at: earliest(...findings.map((f) => f.at)) };
}

/** The earliest of the times that are given. */
export function earliest(...times: (number | undefined)[]): number | undefined {
  const given = times.filter((time) => time !== undefined);
  return given.length === 0 ? undefined : Math.min(...given);
}

interface Failure {
  basis: string | undefined;
  attempts: number;
  until: number;
  error: OperatorError;
}

const firstBackoffMs = 500;
/** A time that has passed already must not make a pass spin. */
const shortestWaitMs = 20;
/** A plan that never empties is a defect of its checks; it must not spin. */
const mostStepsInAPass = 32;

/**
 * observe → desired → checks → plan → step, again until nothing is left to do, then one status write. Each round starts
 * from what is stored, so a pass that dies anywhere is resumed by the next one, whoever runs it.
 */
export class Pass<Observed, Desired, S extends Step> {
  readonly #kind: Kind<Observed, Desired, S>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #observer: StepObserver | undefined;
  /** Paces repeated failures only; nothing is decided from it. */
  readonly #failures = new Map<string, Map<string, Failure>>();

  constructor(
    kind: Kind<Observed, Desired, S>,
    options: { clock: Clock; logger: Logger; observer?: StepObserver | undefined },
  ) {
    this.#kind = kind;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#observer = options.observer;
  }

  async reconcile(key: string, signal: AbortSignal): Promise<Result> {
    for (let steps = 0; ; steps++) {
      const observed = await this.#kind.observe(key, signal);
      if (observed === undefined) {
        this.#failures.delete(key);
        return {};
      }
      const now = this.#clock.now();
      const view = { observed, desired: this.#kind.desired(observed, now), now };
      const plan = evaluate(this.#kind.checks, view, (finding) => this.#hold(key, finding, view));
      const exhausted = steps >= mostStepsInAPass;
      if (plan.next === undefined || exhausted || signal.aborted) {
        await this.#kind.settle(view, plan.findings, signal);
        if (exhausted)
          this.#logger.warn({ kind: this.#kind.name, key, step: plan.next?.name }, 'too many steps in one pass');
        return this.#result(earliest(plan.at, this.#kind.wakeAt?.(view)), exhausted || plan.next !== undefined, now);
      }
      await this.#run(key, plan.next, plan.findings.at(-1)?.basis, view, signal);
    }
  }

  #result(at: number | undefined, unfinished: boolean, now: number): Result {
    if (unfinished) return { requeueAfterMs: firstBackoffMs };
    return at === undefined ? {} : { requeueAfterMs: Math.max(shortestWaitMs, at - now) };
  }

  async #run(key: string, step: S, basis: string | undefined, view: View<Observed, Desired>, signal: AbortSignal) {
    const started = this.#clock.monotonic();
    await this.#observer?.before(this.#kind.name, step.name, key);
    try {
      await this.#kind.run(step, view, signal);
      this.#failures.get(key)?.delete(step.name);
      this.#logger.info(
        { kind: this.#kind.name, key, step: step.name, ms: Math.round(this.#clock.monotonic() - started) },
        'step done',
      );
    } catch (thrown) {
      const error = asOperatorError(thrown);
      const failure = this.#remember(key, step, basis, error);
      this.#logger.warn(
        { kind: this.#kind.name, key, step: step.name, attempts: failure.attempts, err: error },
        'step failed',
      );
    }
    await this.#observer?.after(this.#kind.name, step.name, key);
  }

  #remember(key: string, step: S, basis: string | undefined, error: OperatorError): Failure {
    const failures = this.#failures.get(key) ?? new Map<string, Failure>();
    const before = failures.get(step.name);
    const attempts = before !== undefined && before.basis === basis ? before.attempts + 1 : 1;
    const failure = { basis, attempts, error, until: this.#clock.now() + delayOf(error, attempts) };
    this.#failures.set(key, failures.set(step.name, failure));
    return failure;
  }

  /** A step that failed is held until its time has come or its basis changed; meanwhile its error is what is reported. */
  #hold(key: string, finding: Finding<S>, view: View<Observed, Desired>): Finding<S> {
    if (finding.step === undefined) return finding;
    const away = this.#kind.heldBack?.(key, finding.step, view);
    if (away !== undefined) {
      const { error, at } = away;
      return { ...finding, reason: error.code, message: error.message, error, at };
    }
    const failure = this.#failures.get(key)?.get(finding.step.name);
    if (failure === undefined || failure.basis !== finding.basis || failure.until <= view.now) return finding;
    const reported = { ...finding, reason: failure.error.code, message: failure.error.message, error: failure.error };
    return Number.isFinite(failure.until) ? { ...reported, at: failure.until } : reported;
  }
}

function delayOf(error: OperatorError, attempts: number): number {
  switch (error.retry.class) {
    case 'after':
      return error.retry.milliseconds;
    case 'terminal':
      return Number.POSITIVE_INFINITY;
    case 'backoff': {
      const longest = error.retry.longestMs ?? REFUSED_AGAIN_MS;
      const exponential = Math.min(longest, firstBackoffMs * 2 ** Math.min(attempts - 1, 20));
      return exponential * (0.8 + Math.random() * 0.4);
    }
  }
}

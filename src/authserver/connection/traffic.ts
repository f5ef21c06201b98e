import type { AuthorizationServerSpec } from '../../api/authorization-server.ts';
import { wholeSeconds } from '../../api/time.ts';
import { type Clock, sleep, systemClock } from '../../runtime/clock.ts';
import type { ServerCallMetrics } from '../../telemetry.ts';
import { admit, type Breaker, type CallResult, closed, settle } from './breaker.ts';
import type { ServerOperation } from './call-outcome.ts';
import type { ServerAnswer, ServerSilence } from './http.ts';
import { type Allowance, nextTurn, type RateLimit, spent, untouched } from './rate-limit.ts';

export interface TrafficOptions {
  clock?: Clock | undefined;
  metrics?: ServerCallMetrics | undefined;
  /** Told when an origin of the server stops answering, and when it answers again, of the keys that were held meanwhile. */
  onChange?: ((server: string, held: readonly string[]) => void) | undefined;
}

/** One of the server's origins does not answer. */
export interface Outage {
  readonly origin: string;
  /** Epoch milliseconds. */
  readonly since: number;
  /** Why, as {@link ServerSilence.clause} says it. */
  readonly clause: string;
}

/** What would be asked now would not be sent. */
export interface Hold {
  /** Public, and the same for as long as it lasts. */
  readonly message: string;
  /** When to look again; epoch milliseconds. */
  readonly at: number;
}

interface Origin {
  breaker: Breaker;
  clause: string;
  since: number;
  readonly held: Set<string>;
}

/**
 * A server needs some 3 ms of CPU for each call (oidc-provider): a third of a core, and 10,000 clients are registered and
 * proved in seven minutes.
 */
export const defaultRateLimit: RateLimit = { requestsPerSecond: 100, burst: 200 };

/** Who would wait for longer gives its worker back. */
const LONGEST_WAIT_MS = 20_000;
/** A 429 is about what one client did; others wait for as long, but not for an hour. */
const LONGEST_PATIENCE_MS = 60_000;

export function rateLimitOf({ rateLimit }: Pick<AuthorizationServerSpec, 'rateLimit'>): RateLimit {
  const requestsPerSecond = rateLimit?.requestsPerSecond ?? defaultRateLimit.requestsPerSecond;
  return { requestsPerSecond, burst: rateLimit?.burst ?? 2 * requestsPerSecond };
}

/**
 * What is sent to one AuthorizationServer, whoever sends it: no faster than its rate limit, and nothing to an origin that does
 * not answer but one call now and then. In memory on purpose: a restart tries everything once.
 */
export class ServerTraffic {
  readonly #name: string;
  readonly #limit: RateLimit;
  readonly #clock: Clock;
  readonly #metrics: ServerCallMetrics | undefined;
  readonly #onChange: TrafficOptions['onChange'];
  readonly #origins = new Map<string, Origin>();
  #allowance: Allowance = untouched;
  #patientUntil = Number.NEGATIVE_INFINITY;

  constructor(name: string, limit: RateLimit, { clock = systemClock, metrics, onChange }: TrafficOptions = {}) {
    this.#name = name;
    this.#limit = limit;
    this.#clock = clock;
    this.#metrics = metrics;
    this.#onChange = onChange;
    metrics?.available(name, true);
  }

  /** Waits for its turn. Returns why the request may not be sent, if so; also when `signal` aborts meanwhile. */
  async admit(url: string, signal: AbortSignal): Promise<ServerSilence | undefined> {
    const origin = this.#origin(url);
    const refused = this.#refusal(origin);
    if (refused !== undefined) return refused;
    const now = this.#clock.monotonic();
    const turn = nextTurn(this.#allowance, this.#limit, now);
    const waitMs = turn - now;
    if (waitMs > LONGEST_WAIT_MS) return withheld('too much is asked of it already (spec.rateLimit)', waitMs);
    this.#allowance = spent(this.#allowance, this.#limit, now);
    if (waitMs > 0) {
      await sleep(this.#clock, waitMs, signal);
      this.#metrics?.waited(this.#name, waitMs / 1000);
      if (signal.aborted) return withheld('there was no time left to ask it', 0);
      const meanwhile = this.#refusal(origin);
      if (meanwhile !== undefined) return meanwhile;
    }
    origin.breaker = admit(origin.breaker, this.#clock.monotonic()).breaker;
    return undefined;
  }

  /** What came of a request that was admitted; undefined where nobody waited for it. */
  ended(url: string, operation: ServerOperation, answer: ServerAnswer | ServerSilence | undefined): void {
    const origin = this.#origin(url);
    const now = this.#clock.monotonic();
    const before = origin.breaker.state;
    if (answer?.kind === 'answer' && (answer.status === 429 || answer.status === 503)) {
      const patience = Math.min(answer.retryAfterMs ?? 0, LONGEST_PATIENCE_MS);
      this.#patientUntil = Math.max(this.#patientUntil, now + patience);
    }
    const result = resultOf(operation, answer);
    origin.breaker = settle(origin.breaker, now, result);
    const after = origin.breaker.state;
    if (before === 'closed' && after !== 'closed') {
      origin.since = this.#clock.now();
      origin.clause = clauseOf(answer);
      this.#changed([]);
    } else if (before === 'trial' && after === 'open' && answer !== undefined && clauseOf(answer) !== origin.clause) {
      // Another cause than the one it began with is what somebody has to look for now.
      origin.clause = clauseOf(answer);
      this.#changed([]);
    } else if (before !== 'closed' && after === 'closed') {
      const held = [...origin.held];
      origin.held.clear();
      this.#changed(held);
    }
  }

  /**
   * Whether what is to be asked there is to be held. Many that are held come back one after the other, so that soon after
   * each pause one of them is there to try; the others are told when it succeeded.
   *
   * @param key who asks; told of as held when the origin answers again
   */
  hold(url: string, key: string | undefined): Hold | undefined {
    const now = this.#clock.monotonic();
    const origin = this.#origin(url);
    const at = (until: number, spreadMs: number) => this.#clock.now() + (until - now) + Math.random() * spreadMs;
    const { breaker, held } = origin;
    if (breaker.state !== 'closed' && now < breaker.until) {
      if (key !== undefined) held.add(key);
      return { message: outageMessage(outageOf(url, origin)), at: at(breaker.until, spreadOf(held.size)) };
    }
    if (key !== undefined) held.delete(key);
    if (now >= this.#patientUntil) return undefined;
    return {
      message: 'The authorization server asked to be left alone for a while.',
      at: at(this.#patientUntil, 5_000),
    };
  }

  /** Of each origin that does not answer. */
  outages(): Outage[] {
    return [...this.#origins]
      .filter(([, { breaker }]) => breaker.state !== 'closed')
      .map(([url, origin]) => outageOf(url, origin));
  }

  close(): void {
    this.#metrics?.forgotten(this.#name);
  }

  #origin(url: string): Origin {
    const { origin: name } = new URL(url);
    const origin = this.#origins.get(name) ?? { breaker: closed, clause: '', since: 0, held: new Set() };
    this.#origins.set(name, origin);
    return origin;
  }

  #refusal({ breaker, clause }: Origin): ServerSilence | undefined {
    const now = this.#clock.monotonic();
    if (!admit(breaker, now).admitted && breaker.state !== 'closed') return withheld(clause, breaker.until - now);
    if (now < this.#patientUntil) return withheld('it asked to be left alone for a while', this.#patientUntil - now);
    return undefined;
  }

  #changed(held: readonly string[]): void {
    this.#metrics?.available(this.#name, this.outages().length === 0);
    this.#onChange?.(this.#name, held);
  }
}

function withheld(clause: string, waitMs: number): ServerSilence {
  return { kind: 'silence', sent: false, why: 'withheld', clause, retryAfterMs: Math.ceil(Math.max(0, waitMs)) + 100 };
}

/** Calls without a client certificate: a reset is no terminator's way to refuse one. */
const anonymous: ReadonlySet<ServerOperation> = new Set(['discover', 'register', 'read', 'update', 'remove']);

function resultOf(operation: ServerOperation, answer: ServerAnswer | ServerSilence | undefined): CallResult {
  if (answer === undefined) return 'unknown';
  if (answer.kind === 'answer') return answer.status >= 500 ? 'failed' : 'answered';
  switch (answer.why) {
    case 'unresolved':
    case 'unconnected':
    case 'deadline':
      return 'failed';
    case 'broken':
      return anonymous.has(operation) ? 'failed' : 'answered';
    case 'unroutable':
    case 'withheld':
      return 'unknown';
    case 'untrusted':
    case 'tls':
    case 'size':
      return 'answered';
  }
}

function clauseOf(answer: ServerAnswer | ServerSilence | undefined): string {
  if (answer === undefined) return 'it does not answer';
  return answer.kind === 'answer' ? `it answered ${answer.status}` : answer.clause;
}

function outageOf(url: string, { since, clause }: Origin): Outage {
  return { origin: new URL(url).origin, since, clause };
}

export function outageMessage({ origin, since, clause }: Outage): string {
  return (
    `${origin} fails since ${wholeSeconds(since)}: ${clause}. It is asked once in a while (20 s at most); everything goes on by itself ` +
    'once it answers.'
  );
}

/** Five a second, but not before a second and not after ten minutes. */
function spreadOf(held: number): number {
  return Math.min(600_000, Math.max(1_000, held * 200));
}

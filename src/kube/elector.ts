import { OperatorError } from '../errors.ts';
import type { Clock, Timer } from '../runtime/clock.ts';
import type { Fence } from '../runtime/fence.ts';
import type { LeaderElectionMetrics, Logger } from '../telemetry.ts';
import type { KubeClient } from './client.ts';
import { KubeError } from './kube-error.ts';
import {
  type Candidate,
  claimed,
  leases,
  nextMove,
  released,
  renewDeadlineMs,
  retryPeriodMs,
  type Sighting,
  sighting,
} from './lease.ts';
import type { KubernetesObject } from './resource.ts';

export interface ElectorOptions {
  /** Of its own, so that no other call is in its way; not fenced by this elector. */
  client: Pick<KubeClient, 'get' | 'create' | 'update'> & Partial<Pick<KubeClient, 'watch'>>;
  namespace: string;
  name: string;
  candidate: Candidate;
  clock: Clock;
  logger: Logger;
  metrics?: LeaderElectionMetrics | undefined;
  /** Called once at most. */
  onElected: () => void;
  /** Called once at most. Another may be at work already: the process has to end at once, with nothing finished. */
  onLost: (why: OperatorError) => void;
  /** In [0, 1), for the jitter. */
  random?: (() => number) | undefined;
}

/** A second call fits in before the deadline when the first meets a dead connection. */
const callMs = renewDeadlineMs / 2;
const mostRaces = 3;
/** The server ends a watch after so long, so that one that says nothing more is known to be dead. */
const watchSeconds = 40;
/** A watch that failed is not tried again for so long. */
const watchPauseMs = 60_000;

/**
 * Takes part in the election by one Lease, after client-go's leaderelection. Time is our own monotonic clock alone: the
 * holder counts from when it sent its last renewal that was accepted, everybody else from when they saw that it was.
 */
export class Elector {
  readonly #options: ElectorOptions;
  #state: 'waiting' | 'leading' | 'over' = 'waiting';
  #seen: Sighting | undefined;
  /** When the last accepted renewal was sent. */
  #renewedAt = Number.NEGATIVE_INFINITY;
  #round: Promise<void> = Promise.resolve();
  #stopping = false;
  #next: Timer | undefined;
  #deadline: Timer | undefined;
  #complaint: string | undefined;
  #listening: AbortController | undefined;
  #listenFrom = Number.NEGATIVE_INFINITY;

  constructor(options: ElectorOptions) {
    this.#options = options;
    options.metrics?.leading(false);
  }

  /** False as soon as the deadline has passed, before any timer has noticed. */
  get leading(): boolean {
    return this.#state === 'leading' && this.#options.clock.monotonic() - this.#renewedAt < renewDeadlineMs;
  }

  readonly fence: Fence = () => {
    if (this.leading) return;
    throw new OperatorError('NotLeading', 'This replica does not hold the Lease and does nothing; the holder goes on.');
  };

  start(): void {
    this.#next = undefined;
    this.#round = this.#takePart();
  }

  /** Gives the Lease back, if we hold it; to be called when all work is done. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#next?.cancel();
    this.#listening?.abort();
    await this.#round;
    const { leading } = this;
    const lost = this.#state === 'over';
    this.#state = 'over';
    this.#deadline?.cancel();
    this.#options.metrics?.leading(false);
    if (leading && !lost) await this.#release();
  }

  async #takePart(): Promise<void> {
    const { clock, random = Math.random } = this.#options;
    const startedAt = clock.monotonic();
    // The first thing after having been stopped: nothing is sent any more, not even a renewal.
    if (this.#expired()) return;
    let held: boolean | undefined;
    try {
      held = await this.#acquireOrRenew();
      this.#complaint = undefined;
    } catch (error) {
      this.#complain(error);
    }
    if (this.#expired() || this.#state === 'over') return;
    if (held === false && this.#state === 'leading') {
      return this.#lose(`${this.#seen?.spec.holderIdentity ?? 'another'} holds it`);
    }
    if (this.#stopping) return;
    if (this.#state === 'waiting') void this.#listen();
    // Never later than the period: how soon somebody takes over after a release is up to it.
    const period = retryPeriodMs * (this.#state === 'leading' ? 1 : 0.75 + 0.25 * random());
    this.#next = clock.timer(Math.max(0, period - (clock.monotonic() - startedAt)), () => this.start());
  }

  /**
   * Hears of a release at once. Whatever else becomes of the Lease the next look finds, and a release too where no watch is
   * to be had.
   */
  async #listen(): Promise<void> {
    const { client, clock, namespace, name } = this.#options;
    const resourceVersion = this.#seen?.object?.metadata.resourceVersion;
    if (client.watch === undefined || this.#listening !== undefined || resourceVersion === undefined) return;
    if (clock.monotonic() < this.#listenFrom) return;
    const listening = new AbortController();
    this.#listening = listening;
    try {
      const events = client.watch(
        leases,
        {
          namespace,
          fieldSelector: `metadata.name=${name}`,
          resourceVersion,
          timeoutSeconds: watchSeconds,
          allowWatchBookmarks: true,
        },
        { signal: listening.signal, inactivityMs: (watchSeconds + 10) * 1000 },
      );
      for await (const event of events) {
        if (event.type === 'ERROR') throw event.error;
        if ('object' in event && sighting(undefined, event.object, 0)?.spec.holderIdentity === '') this.#hasten();
      }
    } catch {
      this.#listenFrom = clock.monotonic() + watchPauseMs;
    } finally {
      this.#listening = undefined;
    }
  }

  /** A round that runs looks for itself. */
  #hasten(): void {
    if (this.#state !== 'waiting' || this.#stopping || this.#next === undefined) return;
    this.#next.cancel();
    this.start();
  }

  /** @returns false while another holds it. @throws KubeError */
  async #acquireOrRenew(): Promise<boolean> {
    const { client, clock, candidate, namespace, name } = this.#options;
    const deadline = { deadlineMs: callMs };
    // Who holds it knows it: what others did to it shows as a conflict.
    if (this.#state === 'waiting') await this.#look();
    for (let races = 0; ; races++) {
      const move = nextMove(this.#seen, candidate, clock.monotonic());
      if (move === 'wait') return false;
      const sentAt = clock.monotonic();
      const lease = claimed(this.#seen, { namespace, name }, candidate, clock.now());
      try {
        const written =
          move === 'create'
            ? await client.create(leases, lease, deadline)
            : await client.update(leases, lease, deadline);
        this.#seen = sighting(this.#seen, written, clock.monotonic());
        this.#renewed(sentAt);
        return true;
      } catch (error) {
        const raced = error instanceof KubeError && (error.status === 409 || error.status === 404);
        if (!raced || races === mostRaces) throw error;
        await this.#look();
        // It was another's in between, free again or not.
        if (this.#state === 'leading' && this.#seen?.spec.holderIdentity !== candidate.identity) return false;
      }
    }
  }

  async #look(): Promise<KubernetesObject | undefined> {
    const { client, clock, namespace, name } = this.#options;
    const object = await client.get(leases, { namespace, name }, { deadlineMs: callMs });
    this.#seen = sighting(this.#seen, object, clock.monotonic());
    return object;
  }

  #renewed(sentAt: number): void {
    const { clock, logger, metrics, candidate, name, onElected } = this.#options;
    const left = renewDeadlineMs - (clock.monotonic() - sentAt);
    if (this.#state === 'over' || (left <= 0 && this.#state === 'waiting')) return;
    this.#renewedAt = sentAt;
    this.#deadline?.cancel();
    this.#deadline = clock.timer(Math.max(0, left), () => this.#expired());
    if (this.#state === 'leading') return;
    this.#state = 'leading';
    this.#listening?.abort();
    if (this.#stopping) return;
    metrics?.leading(true);
    logger.info({ lease: name, identity: candidate.identity }, 'leading');
    onElected();
  }

  #expired(): boolean {
    if (this.#state !== 'leading' || this.leading) return false;
    this.#lose(`it could not be renewed within ${renewDeadlineMs / 1000} s`);
    return true;
  }

  #lose(why: string): void {
    this.#state = 'over';
    this.#next?.cancel();
    this.#deadline?.cancel();
    this.#options.metrics?.leading(false);
    this.#options.onLost(new OperatorError('LeaseLost', `The Lease ${this.#options.name} is lost: ${why}.`));
  }

  async #release(): Promise<void> {
    const { client, clock, logger, candidate, name } = this.#options;
    try {
      for (let races = 0, lease = this.#seen?.object; lease !== undefined; races++) {
        try {
          await client.update(leases, released(lease, clock.now()), { deadlineMs: callMs });
          logger.info({ lease: name }, 'Lease released');
          return;
        } catch (error) {
          if (!(error instanceof KubeError && error.status === 409) || races === mostRaces) throw error;
          lease = await this.#look();
          if (this.#seen?.spec.holderIdentity !== candidate.identity) return;
        }
      }
    } catch (error) {
      logger.warn({ err: error, lease: name }, 'Lease not released; it expires by itself');
    }
  }

  /** Once for each kind of trouble: it goes on every two seconds. */
  #complain(error: unknown): void {
    const { logger, name } = this.#options;
    const code = error instanceof OperatorError ? error.code : 'InternalError';
    if (code === this.#complaint) return;
    this.#complaint = code;
    logger.warn({ err: error, lease: name }, this.#state === 'leading' ? 'Lease not renewed' : 'Lease not looked at');
  }
}

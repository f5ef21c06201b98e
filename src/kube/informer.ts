import { type Clock, sleep, systemClock } from '../runtime/clock.ts';
import type { InformerMetrics, Logger } from '../telemetry.ts';
import type { KubeClient } from './client.ts';
import { isExpired, KubeError } from './kube-error.ts';
import { type Change, ObjectCache } from './object-cache.ts';
import { type KubernetesObject, type ObjectMeta, type ObjectRef, type Resource, resourceName } from './resource.ts';

export type { Change } from './object-cache.ts';

export interface InformerOptions<T> {
  client: Pick<KubeClient, 'list' | 'watch'>;
  resource: Resource;
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  /** Being denied (403) counts as a first list without objects; once it is allowed, they are added. Default false. */
  mayBeDenied?: boolean | undefined;
  /** A kind that is not there (404) counts as a first list without objects; once its CRD is, they are added. Default false. */
  mayBeAbsent?: boolean | undefined;
  /** What the cache keeps of an object (never key bytes); undefined leaves it out. */
  project: (object: KubernetesObject) => T | undefined;
  clock?: Clock | undefined;
  /** Objects a page, default 500. */
  pageSize?: number | undefined;
  /** A watch silent for so long counts as dead, for the server would have ended it by then. Default 50,000 ms. */
  inactivityMs?: number | undefined;
  /** First delay after a failure, doubled up to 30 s. Default 200 ms. */
  backoffMs?: number | undefined;
  logger?: Logger | undefined;
  metrics?: InformerMetrics | undefined;
}

/**
 * The states of kube-rs' watcher (`kube-runtime/src/watcher.rs`): nothing listed yet, pages arriving, listed but not
 * watched, watching; and besides, waiting out a failure.
 */
export type WatchState = 'empty' | 'init-page' | 'init-listed' | 'watching' | 'backing-off' | 'stopped';

/** What its users see of an informer, be it one or one per namespace. */
export type Cache<T> = Pick<
  Informer<T>,
  | 'resource'
  | 'synced'
  | 'hasSynced'
  | 'start'
  | 'get'
  | 'list'
  | 'addIndex'
  | 'byIndex'
  | 'onChange'
  | 'remember'
  | 'forget'
>;

const listDeadlineMs = 60_000;
const longestBackoffMs = 15_000;
const longestRetryAfterMs = 60_000;
/** How long a list that is older than what is known is not believed. */
const longestLagMs = 60_000;

/**
 * The server ends a watch itself, so that one that says nothing is known to be dead within a minute: bookmarks, which come once a
 * minute, would show it too late, and many load balancers end what has been quiet for as long.
 */
const watchSeconds = 40;
const watchJitterSeconds = 5;
const inactivityMs = (watchSeconds + watchJitterSeconds + 5) * 1000;

/**
 * A cache of one kind that lists, watches and, whatever happens, goes on: 410 lists again, anything else resumes after
 * a jittered delay. client-node's informer stops for good on any error but 410.
 *
 * While lists fail the cache stays as it is: a kind that vanished (404) is not the same as all its objects deleted.
 */
export class Informer<T> {
  readonly resource: Resource;
  readonly synced: Promise<void>;
  readonly #options: InformerOptions<T>;
  readonly #clock: Clock;
  readonly #cache: ObjectCache<T>;
  readonly #handlers: ((change: Change<T>) => void)[] = [];
  readonly #markSynced: () => void;
  #hasSynced = false;
  #available = true;
  #state: WatchState = 'empty';
  #lastActivity = 0;
  #failures = 0;
  #started = false;
  /** Since when lists are older than what is known; monotonic milliseconds. */
  #behindSince: number | undefined;

  constructor(options: InformerOptions<T>) {
    this.#options = options;
    this.resource = options.resource;
    this.#clock = options.clock ?? systemClock;
    this.#cache = new ObjectCache({
      project: options.project,
      onChange: (change) => this.#tell(change),
      onProjectionError: (error, ref) =>
        options.logger?.error(
          { err: error, resource: resourceName(this.resource), ...ref },
          'object left out: not readable',
        ),
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.synced = promise;
    this.#markSynced = resolve;
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  /** False while the API server does not know the kind (its CRD is absent, or the version no longer served). */
  get available(): boolean {
    return this.#available;
  }

  get state(): WatchState {
    return this.#state;
  }

  /** Epoch ms of the last page, event or bookmark; 0 before the first. */
  get lastActivity(): number {
    return this.#lastActivity;
  }

  get size(): number {
    return this.#cache.size;
  }

  /** Runs until the signal aborts. */
  start(signal: AbortSignal): void {
    if (this.#started) throw new TypeError(`Bug: informer of ${resourceName(this.resource)} started twice.`);
    this.#started = true;
    void this.#run(signal);
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#cache.get(namespace, name);
  }

  list(): Iterable<T> {
    return this.#cache.values();
  }

  /** Before the start only. */
  addIndex(name: string, keys: (value: T, metadata: ObjectMeta) => readonly string[]): void {
    this.#cache.addIndex(name, keys);
  }

  byIndex(name: string, key: string): T[] {
    return this.#cache.byIndex(name, key);
  }

  onChange(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
  }

  /** The answer to a write of ours; see ObjectCache. */
  remember(object: KubernetesObject): void {
    this.#cache.remember(object);
  }

  /** A delete of ours was answered. */
  forget(ref: ObjectRef, uid: string | undefined): void {
    this.#cache.forget(ref, uid);
  }

  async #run(signal: AbortSignal): Promise<void> {
    let listed = false;
    while (!signal.aborted) {
      try {
        if (!listed) {
          await this.#listAll(signal);
          listed = true;
        }
        await this.#watchOnce(signal);
      } catch (error) {
        if (signal.aborted) break;
        if (needsList(error)) listed = false;
        await this.#backOff(error, signal);
      }
    }
    this.#enter('stopped');
  }

  async #listAll(signal: AbortSignal): Promise<void> {
    const { client, namespace, labelSelector, pageSize = 500, metrics } = this.#options;
    this.#enter('init-page');
    metrics?.relisted();
    this.#cache.beginList();
    let next: string | undefined;
    let resourceVersion: string;
    do {
      // No resourceVersion: a consistent read, which ObjectCache relies on. Later pages are of the same snapshot.
      const page = await client.list(
        this.resource,
        { namespace, labelSelector, limit: pageSize, continue: next },
        { signal, deadlineMs: listDeadlineMs },
      );
      this.#refuseOlder(page.resourceVersion);
      this.#noteActivity();
      for (const item of page.items) this.#cache.stage(item);
      next = page.continue;
      resourceVersion = page.resourceVersion;
    } while (next !== undefined);
    this.#cache.commitList(resourceVersion);
    this.#setAvailable(true);
    this.#enter('init-listed');
    metrics?.objects(this.#cache.size);
    this.#sync();
  }

  /**
   * An API server that lags would take us back to where deleted objects exist and written ones do not. It catches up; a cluster
   * that was restored from a backup does not, and what it says for long enough is what is.
   */
  #refuseOlder(resourceVersion: string): void {
    const now = this.#clock.monotonic();
    if (!this.#cache.isBehind(resourceVersion)) {
      this.#behindSince = undefined;
      return;
    }
    this.#behindSince ??= now;
    if (now - this.#behindSince > longestLagMs) return;
    throw new KubeError(
      `The Kubernetes API server's list of ${resourceName(this.resource)} is older than what is known already. It is listed again.`,
      { status: 200, reason: 'Outdated' },
    );
  }

  #sync(): void {
    this.#hasSynced = true;
    this.#markSynced();
  }

  /** One watch, until the server ends it, which is its habit and no failure. */
  async #watchOnce(signal: AbortSignal): Promise<void> {
    const { client, namespace, labelSelector, metrics } = this.#options;
    const started = this.#clock.monotonic();
    const before = this.#cache.reached;
    const stream = client.watch(
      this.resource,
      {
        namespace,
        labelSelector,
        resourceVersion: before,
        timeoutSeconds: watchSeconds + Math.floor(Math.random() * watchJitterSeconds),
        allowWatchBookmarks: true,
      },
      { signal, inactivityMs: this.#options.inactivityMs ?? inactivityMs },
    );
    this.#enter('watching');
    for await (const event of stream) {
      this.#noteActivity();
      if (event.type === 'ERROR') throw event.error;
      this.#failures = 0;
      this.#setAvailable(true);
      if (event.type === 'BOOKMARK') this.#cache.progress(event.resourceVersion);
      else this.#cache.applyEvent(event.type, event.object);
      metrics?.objects(this.#cache.size);
    }
    if (signal.aborted) return;
    // A server that ends every watch at once, say one that shuts down, must not be asked in a tight loop.
    if (this.#cache.reached === before && this.#clock.monotonic() - started < 1_000) {
      throw new KubeError(`The watch of ${resourceName(this.resource)} ended at once. It is resumed.`, {
        status: 0,
        reason: 'Unavailable',
      });
    }
  }

  async #backOff(error: unknown, signal: AbortSignal): Promise<void> {
    const absent = error instanceof KubeError && error.status === 404;
    if (absent) this.#setAvailable(false);
    if (this.#options.mayBeDenied === true && error instanceof KubeError && error.status === 403) this.#sync();
    if (this.#options.mayBeAbsent === true && absent) this.#sync();
    this.#enter('backing-off');
    const first = absent ? Math.max(1_000, this.#options.backoffMs ?? 0) : (this.#options.backoffMs ?? 200);
    const delay = Math.min(longestBackoffMs, first * 2 ** Math.min(this.#failures, 20)) * (0.5 + Math.random() / 2);
    const retryAfter = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    this.#failures += 1;
    const level = absent || isExpired(error) ? 'debug' : 'warn';
    this.#options.logger?.[level](
      { err: error, resource: resourceName(this.resource), failures: this.#failures },
      'list or watch failed',
    );
    await sleep(this.#clock, Math.max(delay, Math.min(retryAfter, longestRetryAfterMs)), signal);
  }

  #tell(change: Change<T>): void {
    for (const handler of this.#handlers) {
      try {
        handler(change);
      } catch (error) {
        this.#options.logger?.error({ err: error, resource: resourceName(this.resource) }, 'change handler failed');
      }
    }
  }

  #enter(state: WatchState): void {
    this.#state = state;
    this.#options.metrics?.state(state);
  }

  #setAvailable(available: boolean): void {
    if (this.#available === available) return;
    this.#available = available;
    this.#options.metrics?.available(available);
  }

  #noteActivity(): void {
    this.#lastActivity = this.#clock.now();
    this.#options.metrics?.activity(this.#lastActivity);
  }
}

/**
 * Whether resuming the watch is of no use: its version is too old, an event could not be parsed and would come again,
 * or the kind is gone and what comes back under its name starts anew.
 */
function needsList(error: unknown): boolean {
  return isExpired(error) || (error instanceof KubeError && (error.reason === 'NotJSON' || error.status === 404));
}

import { createHash } from 'node:crypto';
import { type Clock, systemClock, type Timer } from '../runtime/clock.ts';
import type { Logger } from '../telemetry.ts';
import { type KubeClient, KubeError } from './client.ts';
import { microTime } from './micro-time.ts';
import { apiVersionOf, events, type ObjectMeta, type Resource } from './resource.ts';

export interface ObjectReference {
  apiVersion: string;
  kind: string;
  name: string;
  namespace?: string;
  uid?: string;
  resourceVersion?: string;
}

export interface RecordedEvent {
  regarding: ObjectReference;
  type: 'Normal' | 'Warning';
  /** Why, machine-readable: CamelCase. */
  reason: string;
  /** What was done or tried: CamelCase. */
  action: string;
  /** For people; cut to 1 kB. Must not carry key material or tokens. */
  note: string;
  /**
   * For what is the case, rather than what happened: the event is named after its words, so whoever says the same again,
   * another process too, finds it there, and leaves it as it is (`keep`) or adds an occurrence (`count`).
   */
  ifPresent?: 'keep' | 'count';
}

export interface EventRecorderOptions {
  client: Pick<KubeClient, 'create' | 'patch'>;
  /** `reportingController`, a qualified name. */
  controller: string;
  /** `reportingInstance`, the pod's name. */
  instance: string;
  clock?: Clock | undefined;
  logger?: Logger | undefined;
}

interface Series {
  namespace: string;
  name: string;
  event: RecordedEvent;
  firstSeen: number;
  lastSeen: number;
  count: number;
  /** What the API server knows of `count`. */
  sentCount: number;
}

interface Bucket {
  tokens: number;
  filledAt: number;
}

/** Of client-go (tools/events): equal events within six quiet minutes are one series. */
const seriesQuietMs = 6 * 60_000;
/** Of client-go's spam filter: 25 events per object at once, then one every five minutes. */
const burst = 25;
const refillMs = 5 * 60_000;
const mostObjects = 4096;
/** Series that are remembered, after client-go's cache of the same size: 10,000 clients tell of 40,000 things. */
const mostSeries = 4096;
/** While so many wait to be sent, what went well is not told; while twice as many do, nothing is. */
const mostWaiting = 1024;
/** The API's limits, in bytes. */
const longestNote = 1024;
const longestWord = 128;
const sendDeadlineMs = 10_000;

export function referenceTo(resource: Resource, metadata: ObjectMeta): ObjectReference {
  const { name, namespace, uid, resourceVersion } = metadata;
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
}

/**
 * Events of events.k8s.io/v1. Best effort: `record` never throws and never waits, and what cannot be sent is lost.
 * A repetition within the window adds to a series: its second occurrence is sent at once, later ones counted and sent
 * when the series falls quiet.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #clock: Clock;
  readonly #series = new Map<string, Series>();
  readonly #buckets = new Map<string, Bucket>();
  #sending: Promise<void> = Promise.resolve();
  #waiting = 0;
  #sweep: Timer | undefined;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  record(recorded: RecordedEvent): void {
    const now = this.#clock.now();
    const event = { ...recorded, note: clip(recorded.note, longestNote) };
    const { regarding } = event;
    const object = `${regarding.kind}/${regarding.namespace ?? ''}/${regarding.name}/${regarding.uid ?? ''}`;
    const key = digestOf([object, event.type, event.reason, event.action, event.note].join('\0'));
    const series = this.#series.get(key);
    if (series !== undefined) {
      if (event.ifPresent === 'keep') return;
      series.count += 1;
      series.lastSeen = now;
      if (series.count === 2) this.#send(series);
      return;
    }
    if (this.#waiting >= (event.type === 'Normal' ? mostWaiting : 2 * mostWaiting)) return;
    if (!this.#spend(object)) return;
    const opened: Series = {
      // The API server wants a cluster-scoped object's events in `default`.
      namespace: regarding.namespace ?? 'default',
      name: `${prefixOf(regarding.name)}.${event.ifPresent === undefined ? this.#unique(now) : key}`,
      event,
      firstSeen: now,
      lastSeen: now,
      count: 1,
      sentCount: 0,
    };
    this.#series.set(key, opened);
    this.#send(opened);
    if (this.#series.size > mostSeries) this.#finishOldest();
    this.#sweep ??= this.#clock.timer(60_000, () => this.#finishQuiet());
  }

  /** Resolves when all that was recorded so far is sent or given up, open series included. */
  async flush(): Promise<void> {
    for (const series of this.#series.values()) if (series.count > series.sentCount) this.#send(series);
    await this.#sending;
  }

  /** Sends what is left and stops the timer. */
  async close(): Promise<void> {
    this.#sweep?.cancel();
    this.#sweep = undefined;
    await this.flush();
  }

  #finishOldest(): void {
    for (const [key, series] of this.#series) {
      this.#series.delete(key);
      if (series.count > Math.max(1, series.sentCount)) this.#send(series);
      return;
    }
  }

  #finishQuiet(): void {
    const now = this.#clock.now();
    for (const [key, series] of this.#series) {
      if (now - series.lastSeen < seriesQuietMs) continue;
      this.#series.delete(key);
      if (series.count > series.sentCount) this.#send(series);
    }
    this.#sweep = this.#series.size === 0 ? undefined : this.#clock.timer(60_000, () => this.#finishQuiet());
  }

  /** One at a time: the order is kept, and a burst of events does not compete with the work they tell of. */
  #send(series: Series): void {
    this.#waiting += 1;
    this.#sending = this.#sending
      .then(() => this.#write(series))
      .catch((error: unknown) => {
        this.#options.logger?.debug({ err: error, reason: series.event.reason }, 'event not recorded');
      })
      .finally(() => {
        this.#waiting -= 1;
      });
  }

  async #write(series: Series): Promise<void> {
    const { count, sentCount } = series;
    if (count === sentCount) return;
    const deadline = { deadlineMs: sendDeadlineMs };
    if (sentCount > 0) {
      try {
        await this.#addTo(series, deadline);
        series.sentCount = count;
        return;
      } catch (error) {
        // Events expire after an hour; a series may outlive its event.
        if (!(error instanceof KubeError && error.status === 404)) throw error;
      }
    }
    try {
      await this.#create(series, count, deadline);
    } catch (error) {
      const { ifPresent } = series.event;
      if (ifPresent === undefined || !(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
      if (ifPresent === 'count') await this.#addTo(series, deadline);
    }
    series.sentCount = count;
  }

  async #addTo(series: Series, deadline: { deadlineMs: number }): Promise<void> {
    const { namespace, name } = series;
    const patch = { series: seriesOf(series) };
    await this.#options.client.patch(events, { namespace, name }, patch, { type: 'merge' }, deadline);
  }

  async #create(series: Series, count: number, deadline: { deadlineMs: number }): Promise<void> {
    const { namespace, name, firstSeen } = series;
    const { regarding, type, reason, action, note } = series.event;
    await this.#options.client.create(
      events,
      {
        metadata: { name, namespace },
        eventTime: microTime(firstSeen),
        reportingController: this.#options.controller,
        reportingInstance: clip(this.#options.instance, longestWord),
        regarding,
        type,
        reason: clip(reason, longestWord),
        action: clip(action, longestWord),
        note,
        ...(count > 1 ? { series: seriesOf(series) } : {}),
      },
      deadline,
    );
  }

  #unique(now: number): string {
    return (BigInt(now) * 1_000_000n + BigInt(this.#series.size)).toString(16);
  }

  #spend(object: string): boolean {
    const now = this.#clock.monotonic();
    const bucket = this.#buckets.get(object) ?? { tokens: burst, filledAt: now };
    this.#buckets.delete(object);
    this.#buckets.set(object, bucket);
    if (this.#buckets.size > mostObjects) {
      for (const oldest of this.#buckets.keys()) {
        this.#buckets.delete(oldest);
        break;
      }
    }
    bucket.tokens = Math.min(burst, bucket.tokens + (now - bucket.filledAt) / refillMs);
    bucket.filledAt = now;
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }
}

/** The API server wants a count of two at least. */
function seriesOf({ count, lastSeen }: Series): { count: number; lastObservedTime: string } {
  return { count: Math.max(2, count), lastObservedTime: microTime(lastSeen) };
}

const digestOf = (words: string): string => createHash('sha256').update(words).digest('hex').slice(0, 16);

/** Room is left for the rest of a DNS subdomain; no label of it ends in a hyphen. */
const prefixOf = (name: string): string => name.slice(0, 230).replace(/[-.]+$/, '');

/** Cuts to a number of UTF-8 bytes, never inside a character. */
function clip(text: string, bytes: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= bytes) return text;
  let end = bytes - 3;
  while (end > 0 && ((encoded[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${encoded.toString('utf8', 0, end)}…`;
}

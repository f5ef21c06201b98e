import type { Clock } from '../runtime/clock.ts';
import type { InformerMetrics, Logger } from '../telemetry.ts';
import type { KubeClient } from './client.ts';
import type { KubernetesObject, ObjectMeta, ObjectRef, Resource } from './resource.ts';

export interface InformerOptions<T> {
  client: Pick<KubeClient, 'list' | 'watch'>;
  resource: Resource;
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  /** What the cache keeps of an object (never key bytes); undefined leaves it out. */
  project: (object: KubernetesObject) => T | undefined;
  clock?: Clock;
  pageSize?: number;
  inactivityMs?: number;
  logger?: Logger;
  metrics?: InformerMetrics;
}
export interface Change<T> {
  type: 'added' | 'modified' | 'deleted';
  previous?: T;
  current?: T;
  namespace?: string;
  name: string;
}
export type WatchState = 'idle' | 'listing' | 'watching' | 'waiting' | 'stopped';

export declare class Informer<T> {
  constructor(options: InformerOptions<T>);
  readonly resource: Resource;
  readonly synced: Promise<void>;
  readonly hasSynced: boolean;
  readonly available: boolean;
  readonly state: WatchState;
  /** Epoch ms of the last answer, event or bookmark; 0 before the first. */
  readonly lastActivity: number;
  readonly size: number;
  start(signal: AbortSignal): void;
  get(namespace: string | undefined, name: string): T | undefined;
  list(): Iterable<T>;
  addIndex(name: string, keys: (value: T, metadata: ObjectMeta) => readonly string[]): void;
  byIndex(name: string, key: string): T[];
  onChange(handler: (change: Change<T>) => void): void;
  remember(object: KubernetesObject): void;
  forget(ref: ObjectRef, uid: string | undefined): void;
}

import type { Metrics } from '../telemetry.ts';
import type { KubernetesObject, ObjectRef, Resource } from './resource.ts';
import type { WatchEvent } from './watch-stream.ts';

export { KubeError } from './kube-error.ts';
export type { WatchEvent } from './watch-stream.ts';

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Milliseconds until the call is given up; default 30,000. */
  deadlineMs?: number;
}
export interface KubeClientOptions {
  path?: string | undefined;
  userAgent: string;
  fieldManager: string;
  metrics?: Metrics;
}
export interface ListOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  limit?: number;
  continue?: string | undefined;
  resourceVersion?: string;
}
export interface ObjectList {
  items: KubernetesObject[];
  resourceVersion: string;
  continue?: string;
}
export interface ApplyOptions {
  fieldManager: string;
  force?: boolean;
}
export interface PatchOptions {
  type: 'merge' | 'json';
  subresource?: string;
}
export interface DeletePreconditions {
  uid?: string;
  resourceVersion?: string;
  propagationPolicy?: 'Orphan' | 'Background' | 'Foreground';
}
export interface WatchQuery {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  resourceVersion: string;
  timeoutSeconds: number;
  allowWatchBookmarks: true;
}

export declare class KubeClient {
  static fromKubeconfig(options: KubeClientOptions): KubeClient;
  get(resource: Resource, ref: ObjectRef, options?: CallOptions): Promise<KubernetesObject | undefined>;
  list(resource: Resource, query?: ListOptions, options?: CallOptions): Promise<ObjectList>;
  create(resource: Resource, object: KubernetesObject, options?: CallOptions): Promise<KubernetesObject>;
  update(resource: Resource, object: KubernetesObject, options?: CallOptions): Promise<KubernetesObject>;
  updateStatus(resource: Resource, object: KubernetesObject, options?: CallOptions): Promise<KubernetesObject>;
  apply(
    resource: Resource,
    object: KubernetesObject,
    apply: ApplyOptions,
    options?: CallOptions,
  ): Promise<KubernetesObject>;
  applyStatus(
    resource: Resource,
    object: KubernetesObject,
    apply: ApplyOptions,
    options?: CallOptions,
  ): Promise<KubernetesObject>;
  patch(
    resource: Resource,
    ref: ObjectRef,
    patch: unknown,
    how: PatchOptions,
    options?: CallOptions,
  ): Promise<KubernetesObject>;
  delete(resource: Resource, ref: ObjectRef, preconditions?: DeletePreconditions, options?: CallOptions): Promise<void>;
  watch(
    resource: Resource,
    query: WatchQuery,
    options: { signal: AbortSignal; inactivityMs: number },
  ): AsyncIterable<WatchEvent>;
  close(): Promise<void>;
}

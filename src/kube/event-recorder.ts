import type { Clock } from '../runtime/clock.ts';
import type { Logger } from '../telemetry.ts';
import type { KubeClient } from './client.ts';
import type { ObjectMeta, Resource } from './resource.ts';

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
  reason: string;
  action: string;
  note: string;
}
export interface EventRecorderOptions {
  client: Pick<KubeClient, 'create' | 'patch'>;
  controller: string;
  instance: string;
  clock?: Clock;
  logger?: Logger;
}
export declare function referenceTo(resource: Resource, metadata: ObjectMeta): ObjectReference;
export declare class EventRecorder {
  constructor(options: EventRecorderOptions);
  record(event: RecordedEvent): void;
  /** Resolves when everything recorded so far has been sent or given up. */
  flush(): Promise<void>;
}

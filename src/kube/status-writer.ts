import { isDeepStrictEqual } from 'node:util';
import type { KubeClient } from './client.ts';
import { type EventRecorder, referenceTo } from './event-recorder.ts';
import type { Informer } from './informer.ts';

export interface StatusContext {
  client: Pick<KubeClient, 'updateStatus'>;
  /** Of the object's kind. */
  cache: Pick<Informer<unknown>, 'resource' | 'remember'>;
  recorder: Pick<EventRecorder, 'record'>;
}

interface Condition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly reason: string;
  readonly message: string;
}

interface Status {
  readonly conditions?: readonly Condition[] | undefined;
}

interface Reported {
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly uid: string;
    readonly resourceVersion: string;
  };
  /** As it is. */
  readonly status?: Status | undefined;
}

/**
 * The one status write of a pass, where anything differs: by PUT, fenced by the version that was looked at. Where Ready
 * or its reason changed there is an event too: Normal for True, Warning for False, none while it is not known.
 *
 * @param alarming reasons that deserve a Warning although Ready is True
 */
export async function writeStatus(
  { client, cache, recorder }: StatusContext,
  { metadata, status: before }: Reported,
  status: Status,
  signal: AbortSignal,
  alarming: readonly string[] = [],
): Promise<void> {
  // As it will be read: members that are undefined are not there.
  const wanted: unknown = JSON.parse(JSON.stringify(status));
  if (isDeepStrictEqual(wanted, before)) return;
  const { resource } = cache;
  const { name, namespace, uid, resourceVersion } = metadata;
  const identity = { name, ...(namespace === undefined ? {} : { namespace }), uid };
  const object = { metadata: { ...identity, resourceVersion }, status: wanted };
  cache.remember(await client.updateStatus(resource, object, { signal }));
  const ready = readyIn(status);
  const former = readyIn(before);
  if (ready === undefined || ready.status === 'Unknown') return;
  if (former?.status === ready.status && former.reason === ready.reason) return;
  recorder.record({
    regarding: referenceTo(resource, identity),
    type: ready.status === 'True' && !alarming.includes(ready.reason) ? 'Normal' : 'Warning',
    reason: ready.reason,
    action: 'Reconcile',
    note: ready.message,
  });
}

const readyIn = (status: Status | undefined): Condition | undefined =>
  status?.conditions?.find(({ type }) => type === 'Ready');

import type { KubeClient } from './client.ts';
import type { Informer } from './informer.ts';

export interface FinalizerContext {
  client: Pick<KubeClient, 'patch'>;
  /** Of the object's kind. */
  cache: Pick<Informer<unknown>, 'resource' | 'remember'>;
}

interface Metadata {
  readonly name: string;
  readonly namespace?: string | undefined;
  readonly uid: string;
  readonly finalizers: readonly string[];
}

export function addFinalizer(
  context: FinalizerContext,
  metadata: Metadata,
  finalizer: string,
  signal: AbortSignal,
): Promise<void> {
  return setFinalizers(context, metadata, [...metadata.finalizers, finalizer], signal);
}

/** Of a deleted object whose last one it is: then the object is gone. */
export function removeFinalizer(
  context: FinalizerContext,
  metadata: Metadata,
  finalizer: string,
  signal: AbortSignal,
): Promise<void> {
  const others = metadata.finalizers.filter((one) => one !== finalizer);
  return setFinalizers(context, metadata, others, signal);
}

/**
 * Fenced by the list that was looked at: finalizers that others added meanwhile are not lost, and whoever writes labels
 * over and over is in nobody's way (a JSON patch, RFC 6902, whose test fails changes nothing).
 */
async function setFinalizers(
  { client, cache }: FinalizerContext,
  { namespace, name, uid, finalizers: before }: Metadata,
  finalizers: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const path = '/metadata/finalizers';
  const patch = [
    { op: 'test', path: '/metadata/uid', value: uid },
    { op: 'test', path, value: before.length === 0 ? null : before },
    { op: 'add', path, value: finalizers },
  ];
  cache.remember(await client.patch(cache.resource, { namespace, name }, patch, { type: 'json' }, { signal }));
}

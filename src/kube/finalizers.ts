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
  readonly resourceVersion: string;
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

/** Fenced by the version that was looked at: finalizers that others added meanwhile are not lost. */
async function setFinalizers(
  { client, cache }: FinalizerContext,
  { namespace, name, uid, resourceVersion }: Metadata,
  finalizers: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const patch = { metadata: { uid, resourceVersion, finalizers } };
  cache.remember(await client.patch(cache.resource, { namespace, name }, patch, { type: 'merge' }, { signal }));
}

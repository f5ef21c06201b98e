/** Objects that the operator makes under names of its own and marks with a label: written whole, deleted as they were looked at. */
import type { CallOptions, KubeClient } from './client.ts';
import { KubeError } from './kube-error.ts';
import type { KubernetesObject, ObjectMeta, Resource } from './resource.ts';

/** What the caches keep of each. */
export interface MadeObject {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  /** The field manager that wrote last, other than the operator's own. */
  readonly lastWriter: string | undefined;
  readonly deleting: boolean;
}

export interface WriteOptions extends CallOptions {
  /** Its value tells that an object is ours. */
  label: string;
  /** Thrown where somebody else's object has the name: that is never touched. */
  taken: () => Error;
}

export interface Written {
  /** As it is now; undefined where one that was there has gone meanwhile. */
  object: KubernetesObject | undefined;
  /** False: one of ours is there that the caches did not know. */
  wrote: boolean;
}

/** By PUT where `metadata.uid` says what it replaces, else by POST. */
export async function write(
  client: Pick<KubeClient, 'get' | 'create' | 'update' | 'replace'>,
  resource: Resource,
  object: KubernetesObject,
  { label, taken, ...call }: WriteOptions,
): Promise<Written> {
  const isOurs = ({ labels }: ObjectMeta): boolean => labels?.[label] === object.metadata.labels?.[label];
  const { namespace, name, uid } = object.metadata;
  try {
    const writing = uid === undefined ? client.create : client.update;
    return { object: await writing.call(client, resource, object, call), wrote: true };
  } catch (error) {
    const reason = uid === undefined ? 'AlreadyExists' : 'Conflict';
    if (!(error instanceof KubeError && error.reason === reason)) throw error;
    const there = await client.get(resource, { namespace, name }, call);
    if (uid === undefined) {
      if (there !== undefined && !isOurs(there.metadata)) throw taken();
      return { object: there, wrote: false };
    }
    if (there?.metadata.uid !== uid || !isOurs(there.metadata)) throw error;
    return { object: await overtake(client, resource, object, there.metadata, call), wrote: true };
  }
}

/** Whoever writes it again and again is faster than the watch, and would keep it from ever being put right. */
function overtake(
  client: Pick<KubeClient, 'update' | 'replace'>,
  resource: Resource,
  object: KubernetesObject,
  { resourceVersion = '' }: ObjectMeta,
  call: CallOptions,
): Promise<KubernetesObject> {
  if (resource.group === '') return client.replace(resource, object, call);
  // Of a CRD's kind only a version can be replaced.
  return client.update(resource, { ...object, metadata: { ...object.metadata, resourceVersion } }, call);
}

/** @returns whether it is gone: else it was changed or replaced, and is to be looked at again */
export async function remove(
  client: Pick<KubeClient, 'delete'>,
  resource: Resource,
  { namespace, name, uid, resourceVersion }: Omit<MadeObject, 'lastWriter' | 'deleting'>,
  call: CallOptions,
): Promise<boolean> {
  try {
    await client.delete(resource, { namespace, name }, { uid, resourceVersion }, call);
    return true;
  } catch (error) {
    if (error instanceof KubeError && error.status === 409) return false;
    throw error;
  }
}

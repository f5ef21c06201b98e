import { OWNER, OWNER_UID, ROLE_LABEL, Role } from '../api/annotations.ts';
import { OperatorError } from '../errors.ts';
import { KubeError, type KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { secrets, type KubernetesObject, type ObjectMeta } from '../kube/resource.ts';
import {
  readRecord,
  recordDamaged,
  recordData,
  recordDigest,
  recordName,
  type ClientRecord,
  type RecordProjection,
} from './record.ts';

/** A record as it was read, to be written back only if nobody wrote it since. */
export interface LoadedRecord extends ClientRecord {
  object: KubernetesObject;
}

/** What was decided on is no longer what is there; decided anew at once. */
export function changedMeanwhile(): OperatorError {
  return new OperatorError('ChangedMeanwhile', 'A Secret of the client changed meanwhile; it is read again.', {
    retry: { class: 'after', milliseconds: 100 },
  });
}

/** Somebody who writes the metadata of an own Secret over and over changes nothing of what was decided. */
const mostRaces = 8;

/** The next step of the same pass follows within milliseconds; no key is kept for longer than this. */
const handOverMs = 1_000;

/**
 * Own Secrets: created by POST, changed with their resourceVersion, so that a stale writer stops here. Stale is who has read
 * another record: each holds an intent or an answer that no other has. What others do to the Secret's labels or
 * annotations meanwhile makes nobody stale; a write that met it is made again, on top.
 */
export class RecordStore {
  readonly #client: KubeClient;
  readonly #cache: Informer<RecordProjection>;
  readonly #namespace: string;
  /** What a step has just stored, for the next step alone: by the Secret's name. */
  readonly #handedOver = new Map<string, LoadedRecord>();

  constructor(client: KubeClient, cache: Informer<RecordProjection>, namespace: string) {
    this.#client = client;
    this.#cache = cache;
    this.#namespace = namespace;
  }

  /**
   * @throws KubeError `AlreadyExists`: another writer was first, or the cache has yet to catch up.
   */
  async create(record: ClientRecord, signal: AbortSignal): Promise<void> {
    const { owner } = record.state;
    const created = await this.#client.create(
      secrets,
      {
        metadata: {
          name: recordName(owner.namespace, owner.name),
          namespace: this.#namespace,
          ...ownMetadata(record, {}),
        },
        type: 'Opaque',
        data: recordData(record),
      },
      { signal },
    );
    this.#cache.remember(created);
    this.#handOver({ ...record, object: created });
  }

  /**
   * The whole record, if it is still the one that was decided on.
   * @throws OperatorError `ChangedMeanwhile` (retried at once), `RecordDamaged` (terminal).
   */
  async load(decidedOn: RecordProjection, signal: AbortSignal): Promise<LoadedRecord> {
    const stored = this.#take(decidedOn);
    if (stored !== undefined) return stored;
    const object = await this.#client.get(secrets, { namespace: this.#namespace, name: decidedOn.name }, { signal });
    if (object === undefined || object.metadata.uid !== decidedOn.uid || recordDigest(object) !== decidedOn.digest) {
      if (object !== undefined) this.#cache.remember(object);
      throw changedMeanwhile();
    }
    const record = readRecord(object);
    if (record === undefined) throw recordDamaged(decidedOn.name, this.#namespace);
    return { ...record, object };
  }

  async save(loaded: LoadedRecord, change: ClientRecord, signal: AbortSignal): Promise<LoadedRecord> {
    const data = recordData(change);
    const object = await this.#onTop(loaded.object, signal, (current) => {
      const metadata = { ...current.metadata, ...ownMetadata(change, current.metadata) };
      return this.#client.update(secrets, { ...current, metadata, data }, { signal });
    });
    this.#cache.remember(object);
    const saved = { ...change, object };
    this.#handOver(saved);
    return saved;
  }

  #handOver(record: LoadedRecord): void {
    const { name } = record.object.metadata;
    this.#handedOver.set(name, record);
    setTimeout(() => {
      if (this.#handedOver.get(name) === record) this.#handedOver.delete(name);
    }, handOverMs).unref();
  }

  /** Nobody has changed it since, as far as the watch has told; a save finds out. */
  #take({ name, uid, resourceVersion }: RecordProjection): LoadedRecord | undefined {
    const record = this.#handedOver.get(name);
    this.#handedOver.delete(name);
    const { metadata } = record?.object ?? {};
    return metadata?.uid === uid && metadata.resourceVersion === resourceVersion ? record : undefined;
  }

  async remove(decidedOn: RecordProjection, signal: AbortSignal): Promise<void> {
    const { name, uid } = decidedOn;
    const ref = { namespace: this.#namespace, name };
    const decided = { metadata: { ...ref, uid, resourceVersion: decidedOn.resourceVersion } };
    this.#handedOver.delete(name);
    await this.#onTop(
      decided,
      signal,
      ({ metadata: { resourceVersion } }) => this.#client.delete(secrets, ref, { uid, resourceVersion }, { signal }),
      decidedOn.digest,
    );
    this.#cache.forget(ref, uid);
  }

  /** The write, again on what is there now where only the Secret's metadata changed. @throws KubeError `Conflict` */
  async #onTop<T>(
    base: KubernetesObject,
    signal: AbortSignal,
    write: (current: KubernetesObject) => Promise<T>,
    digest = recordDigest(base),
  ): Promise<T> {
    for (let races = 0, current = base; ; races++) {
      try {
        return await write(current);
      } catch (error) {
        if (!(error instanceof KubeError && error.reason === 'Conflict') || races === mostRaces) throw error;
        const found = await this.#client.get(secrets, base.metadata, { signal });
        if (found === undefined || found.metadata.uid !== base.metadata.uid || recordDigest(found) !== digest)
          throw error;
        current = found;
      }
    }
  }
}

/** What it is found by and told apart by, whatever others made of it. */
function ownMetadata(
  { state: { owner } }: Pick<ClientRecord, 'state'>,
  { labels, annotations }: Pick<ObjectMeta, 'labels' | 'annotations'>,
): Pick<ObjectMeta, 'labels' | 'annotations'> {
  return {
    labels: { ...labels, [ROLE_LABEL]: Role.client },
    annotations: { ...annotations, [OWNER]: `${owner.namespace}/${owner.name}`, [OWNER_UID]: owner.uid },
  };
}

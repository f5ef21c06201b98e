import { OWNER, OWNER_UID, ROLE_LABEL, Role } from '../api/annotations.ts';
import { OperatorError } from '../errors.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { secrets, type KubernetesObject } from '../kube/resource.ts';
import {
  readRecord,
  recordDamaged,
  recordData,
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

/** Own Secrets: created by POST, changed with their resourceVersion, so that a stale writer stops here. */
export class RecordStore {
  readonly #client: KubeClient;
  readonly #cache: Informer<RecordProjection>;
  readonly #namespace: string;

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
          labels: { [ROLE_LABEL]: Role.client },
          annotations: { [OWNER]: `${owner.namespace}/${owner.name}`, [OWNER_UID]: owner.uid },
        },
        type: 'Opaque',
        data: recordData(record),
      },
      { signal },
    );
    this.#cache.remember(created);
  }

  /**
   * The whole record, if it is still the one that was decided on.
   * @throws OperatorError `ChangedMeanwhile` (retried at once), `RecordDamaged` (terminal).
   */
  async load(decidedOn: RecordProjection, signal: AbortSignal): Promise<LoadedRecord> {
    const object = await this.#client.get(secrets, { namespace: this.#namespace, name: decidedOn.name }, { signal });
    if (object === undefined || object.metadata.resourceVersion !== decidedOn.resourceVersion) {
      if (object !== undefined) this.#cache.remember(object);
      throw changedMeanwhile();
    }
    const record = readRecord(object);
    if (record === undefined) throw recordDamaged(decidedOn.name, this.#namespace);
    return { ...record, object };
  }

  async save(loaded: LoadedRecord, change: ClientRecord, signal: AbortSignal): Promise<LoadedRecord> {
    const object = await this.#client.update(secrets, { ...loaded.object, data: recordData(change) }, { signal });
    this.#cache.remember(object);
    return { ...change, object };
  }

  async remove(decidedOn: RecordProjection, signal: AbortSignal): Promise<void> {
    const ref = { namespace: this.#namespace, name: decidedOn.name };
    await this.#client.delete(
      secrets,
      ref,
      { uid: decidedOn.uid, resourceVersion: decidedOn.resourceVersion },
      { signal },
    );
    this.#cache.forget(ref, decidedOn.uid);
  }
}

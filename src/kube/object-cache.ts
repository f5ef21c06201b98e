import type { KubernetesObject, ObjectMeta, ObjectRef } from './resource.ts';
import { StringPool } from './string-pool.ts';

export interface Change<T> {
  type: 'added' | 'modified' | 'deleted';
  /** Absent for `added`. */
  previous?: T;
  /** Absent for `deleted`. */
  current?: T;
  namespace?: string;
  name: string;
  /** Our own write, remembered before the watch told of it. */
  own: boolean;
}

export interface ObjectCacheOptions<T> {
  project: (object: KubernetesObject) => T | undefined;
  onChange: (change: Change<T>) => void;
  /** A projection that throws keeps what was held. */
  onProjectionError: (error: unknown, ref: ObjectRef) => void;
}

interface Entry<T> {
  value: T;
  namespace: string | undefined;
  name: string;
  uid: string;
  resourceVersion: string;
  deleting: boolean;
  /** When remembered from a write and not yet seen in a list or watch: the count of lists begun by then. */
  rememberedAt: number | undefined;
  /** In the order of the indexes. */
  indexKeys: readonly (readonly string[])[];
}

interface Tombstone {
  /** The count of lists begun by then. */
  listsBegun: number;
  /** Known to be gone; otherwise finalizers may keep it. */
  gone: boolean;
}

interface Index<T> {
  keysOf: (value: T, metadata: ObjectMeta) => readonly string[];
  /** Most keys have one entry, and a Map for each would weigh more than what it holds. */
  entries: Map<string, Entry<T> | Map<string, Entry<T>>>;
}

/** uids are never used twice, so a tombstone that lives too long harms nothing but memory. */
const mostTombstones = 10_000;

/**
 * What an informer holds, and the rules by which lists, watch events and the answers to our own writes become one
 * view that never goes back. Synchronous and without I/O.
 *
 * Two facts carry it. A list without `resourceVersion` is a consistent read: it contains every write answered before
 * it began. A watch tells of all changes in the order of their versions: once it has reached version r, everything up
 * to r was told. So a remembered write counts until the watch passes it, or a list begun after it says otherwise.
 */
export class ObjectCache<T> {
  readonly #options: ObjectCacheOptions<T>;
  readonly #entries = new Map<string, Entry<T>>();
  readonly #indexes = new Map<string, Index<T>>();
  readonly #pool = new StringPool();
  readonly #pending = new Set<string>();
  /** By uid of what we deleted. */
  readonly #tombstones = new Map<string, Tombstone>();
  #reached = '';
  #listsBegun = 0;
  #staged: Map<string, { object: ObjectMeta; entry: Entry<T> | undefined }> | undefined;

  constructor(options: ObjectCacheOptions<T>) {
    this.#options = options;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#entries.get(keyOf(namespace, name))?.value;
  }

  *values(): Generator<T> {
    for (const entry of this.#entries.values()) yield entry.value;
  }

  /** The version to resume the watch from. */
  get reached(): string {
    return this.#reached;
  }

  addIndex(name: string, keysOf: (value: T, metadata: ObjectMeta) => readonly string[]): void {
    if (this.#entries.size > 0 || this.#listsBegun > 0)
      throw new TypeError(`Bug: index ${name} added after the start.`);
    this.#indexes.set(name, { keysOf, entries: new Map() });
  }

  byIndex(name: string, key: string): T[] {
    const index = this.#indexes.get(name);
    if (index === undefined) throw new TypeError(`Bug: there is no index ${name}.`);
    const found = index.entries.get(key);
    if (found === undefined) return [];
    return found instanceof Map ? Array.from(found.values(), ({ value }) => value) : [found.value];
  }

  /** Call before the first page is asked for: writes answered before are in the list. */
  beginList(): void {
    this.#listsBegun += 1;
    this.#staged = new Map();
  }

  /** Whether a list of this version shows less than what lists and watches have told already. */
  isBehind(resourceVersion: string): boolean {
    return this.#reached !== '' && isNewer(this.#reached, resourceVersion);
  }

  stage(object: KubernetesObject): void {
    const { metadata } = object;
    const key = keyOf(metadata.namespace, metadata.name);
    this.#staged?.set(key, { object: metadata, entry: this.#entryOf(object, this.#entries.get(key)) });
  }

  commitList(resourceVersion: string): void {
    const staged = this.#staged ?? new Map<string, never>();
    this.#staged = undefined;
    for (const [key, held] of this.#entries) {
      if (!staged.has(key) && !this.#outlives(held, resourceVersion)) this.#remove(key, held, false);
    }
    for (const [uid, { listsBegun }] of this.#tombstones)
      if (listsBegun < this.#listsBegun) this.#tombstones.delete(uid);
    for (const [key, { object, entry }] of staged) {
      const held = this.#entries.get(key);
      if (this.#isBuried(object)) continue;
      if (held !== undefined && this.#outlives(held, object.resourceVersion ?? '')) continue;
      if (entry !== undefined) this.#put(key, entry, false);
      else if (held !== undefined) this.#remove(key, held, false);
    }
    this.#reached = resourceVersion;
    this.#dropPassed();
  }

  /** An event of the watch, in its order. */
  applyEvent(type: 'ADDED' | 'MODIFIED' | 'DELETED', object: KubernetesObject): void {
    const { metadata } = object;
    const { resourceVersion = '', uid = '' } = metadata;
    // Told once already, by a server that lags behind the one before: what is known is newer.
    if (!isNewer(resourceVersion, this.#reached)) return;
    const key = keyOf(metadata.namespace, metadata.name);
    const held = this.#entries.get(key);
    const older = held?.rememberedAt !== undefined && isNewer(held.resourceVersion, resourceVersion);
    if (type === 'DELETED') {
      this.#tombstones.delete(uid);
      // A version newer than this end is a new object of the same name.
      if (held !== undefined && !older) this.#remove(key, held, false);
    } else if (!older && !this.#isBuried(metadata)) {
      const entry = this.#entryOf(object, held);
      if (entry !== undefined) this.#put(key, entry, false);
      else if (held !== undefined) this.#remove(key, held, false);
    }
    this.progress(resourceVersion);
  }

  /** The watch has told of everything up to this version (an event's, or a bookmark's). */
  progress(resourceVersion: string): void {
    if (isNewer(resourceVersion, this.#reached)) this.#reached = resourceVersion;
    this.#dropPassed();
  }

  /**
   * The answer to a write of ours: what we wrote is what we read from now on. A write that takes the last finalizer
   * from a deleted object ends it, and is answered with its last version.
   */
  remember(object: KubernetesObject): void {
    const { metadata } = object;
    const { resourceVersion = '', uid } = metadata;
    const key = keyOf(metadata.namespace, metadata.name);
    const held = this.#entries.get(key);
    if (uid !== undefined && isEnded(metadata)) return this.#bury(key, uid, true);
    if (held !== undefined && !isNewer(resourceVersion, held.resourceVersion)) return;
    // The watch has passed it already: if it is not held, it was deleted since or never matched the selector.
    if (!isNewer(resourceVersion, this.#reached)) return;
    if (this.#isBuried(metadata)) return;
    const entry = this.#entryOf(object, held);
    if (entry === undefined) {
      if (held !== undefined) this.#remove(key, held, true);
      return;
    }
    entry.rememberedAt = this.#listsBegun;
    this.#put(key, entry, true);
  }

  /**
   * A delete of ours was answered. An object that lingers for its finalizers comes back with the event that sets its
   * deletionTimestamp.
   */
  forget({ namespace, name }: ObjectRef, uid: string | undefined): void {
    const key = keyOf(namespace, name);
    const held = this.#entries.get(key);
    const buried = uid ?? held?.uid;
    // The watch was quicker and told that finalizers keep it.
    if (buried === undefined || (held?.uid === buried && held.deleting)) return;
    this.#bury(key, buried, false);
  }

  #bury(key: string, uid: string, gone: boolean): void {
    // The late answer to the delete knows less.
    const known = this.#tombstones.get(uid)?.gone === true;
    this.#tombstones.set(uid, { listsBegun: this.#listsBegun, gone: gone || known });
    if (this.#tombstones.size > mostTombstones) {
      for (const oldest of this.#tombstones.keys()) {
        this.#tombstones.delete(oldest);
        break;
      }
    }
    const held = this.#entries.get(key);
    if (held?.uid === uid) this.#remove(key, held, true);
  }

  /** Remembered while or after the list was read, and newer than it. */
  #outlives(held: Entry<T>, resourceVersion: string): boolean {
    return (
      held.rememberedAt !== undefined &&
      held.rememberedAt >= this.#listsBegun &&
      isNewer(held.resourceVersion, resourceVersion)
    );
  }

  /** An object that bears a deletionTimestamp lingers for its finalizers: then our delete did not end it. */
  #isBuried({ uid = '', deletionTimestamp }: ObjectMeta): boolean {
    const tombstone = this.#tombstones.get(uid);
    if (tombstone === undefined) return false;
    if (tombstone.gone || deletionTimestamp === undefined) return true;
    this.#tombstones.delete(uid);
    return false;
  }

  /** Remembered writes that the watch passed without a word: deleted meanwhile, or outside the selector. */
  #dropPassed(): void {
    for (const key of this.#pending) {
      const entry = this.#entries.get(key);
      if (entry === undefined || entry.rememberedAt === undefined) this.#pending.delete(key);
      else if (!isNewer(entry.resourceVersion, this.#reached)) this.#remove(key, entry, false);
    }
  }

  #entryOf(object: KubernetesObject, held: Entry<T> | undefined): Entry<T> | undefined {
    const { namespace, name, uid = '', resourceVersion = '' } = object.metadata;
    // Unchanged, as the watch's echo of our own write is: what is held is shared, not projected and allocated again.
    if (held?.uid === uid && held.resourceVersion === resourceVersion) return { ...held, rememberedAt: undefined };
    const deleting = object.metadata.deletionTimestamp !== undefined;
    let value: T;
    let indexKeys: readonly (readonly string[])[];
    try {
      const projected = this.#options.project(object);
      if (projected === undefined) return undefined;
      value = this.#pool.share(projected);
      indexKeys = Array.from(this.#indexes.values(), ({ keysOf }) => keysOf(projected, object.metadata));
    } catch (error) {
      this.#options.onProjectionError(error, { namespace, name });
      return held?.uid === uid ? { ...held, resourceVersion, deleting, rememberedAt: undefined } : undefined;
    }
    return { value, namespace, name, uid, resourceVersion, deleting, rememberedAt: undefined, indexKeys };
  }

  #put(key: string, entry: Entry<T>, own: boolean): void {
    const held = this.#entries.get(key);
    if (held !== undefined) this.#unindex(key, held);
    this.#entries.set(key, entry);
    if (entry.rememberedAt === undefined) this.#pending.delete(key);
    else this.#pending.add(key);
    this.#index(key, entry);
    if (held?.resourceVersion === entry.resourceVersion && held.uid === entry.uid) return;
    const { value: current } = entry;
    // A name used again is a new object: whoever keeps state by uid must see the old one go.
    if (held !== undefined && held.uid !== entry.uid) this.#tell('deleted', held, { previous: held.value }, own);
    if (held === undefined || held.uid !== entry.uid) this.#tell('added', entry, { current }, own);
    else this.#tell('modified', entry, { previous: held.value, current }, own);
  }

  #remove(key: string, held: Entry<T>, own: boolean): void {
    this.#unindex(key, held);
    this.#entries.delete(key);
    this.#pending.delete(key);
    this.#tell('deleted', held, { previous: held.value }, own);
  }

  #index(key: string, entry: Entry<T>): void {
    for (const [entries, indexKey] of this.#places(entry)) {
      const found = entries.get(indexKey);
      if (found instanceof Map) found.set(key, entry);
      else if (found === undefined || keyOf(found.namespace, found.name) === key) entries.set(indexKey, entry);
      else entries.set(indexKey, new Map([[keyOf(found.namespace, found.name), found]]).set(key, entry));
    }
  }

  #unindex(key: string, entry: Entry<T>): void {
    for (const [entries, indexKey] of this.#places(entry)) {
      const found = entries.get(indexKey);
      if (found instanceof Map) found.delete(key);
      if (!(found instanceof Map) || found.size === 0) entries.delete(indexKey);
    }
  }

  /** Where an entry is to be found: in each index, under each of its keys. */
  *#places({ indexKeys }: Entry<T>): Generator<[Index<T>['entries'], string]> {
    let position = 0;
    for (const { entries } of this.#indexes.values()) {
      for (const indexKey of indexKeys[position++] ?? []) yield [entries, indexKey];
    }
  }

  #tell(
    type: Change<T>['type'],
    { namespace, name }: Entry<T>,
    values: { previous?: T; current?: T },
    own: boolean,
  ): void {
    this.#options.onChange({ type, ...values, ...(namespace === undefined ? {} : { namespace }), name, own });
  }
}

/** Resource versions are decimal integers of up to 64 bits, comparable within a kind (KEP-5504). */
export function isNewer(a: string, b: string): boolean {
  return a.length === b.length ? a > b : a.length > b.length;
}

function isEnded({ deletionTimestamp, finalizers = [] }: ObjectMeta): boolean {
  return deletionTimestamp !== undefined && finalizers.length === 0;
}

function keyOf(namespace: string | undefined, name: string): string {
  return `${namespace ?? ''}/${name}`;
}

import type { Cache, Change, Informer } from './informer.ts';
import { type KubernetesObject, type ObjectMeta, type ObjectRef, type Resource, resourceName } from './resource.ts';

/** Informers of one kind, each of one namespace, as if they were one: for who may not list the whole cluster. */
export class InformerUnion<T> implements Cache<T> {
  readonly resource: Resource;
  readonly synced: Promise<void>;
  readonly #parts: ReadonlyMap<string, Informer<T>>;

  /** @param parts by namespace; one at least, all of one kind */
  constructor(parts: ReadonlyMap<string, Informer<T>>) {
    const [first] = parts.values();
    if (first === undefined) throw new TypeError('Bug: a union of no informers.');
    this.resource = first.resource;
    this.#parts = parts;
    this.synced = Promise.all([...parts.values()].map((part) => part.synced)).then(() => undefined);
  }

  get hasSynced(): boolean {
    return [...this.#parts.values()].every((part) => part.hasSynced);
  }

  start(signal: AbortSignal): void {
    for (const part of this.#parts.values()) part.start(signal);
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#parts.get(namespace ?? '')?.get(namespace, name);
  }

  *list(): Generator<T> {
    for (const part of this.#parts.values()) yield* part.list();
  }

  addIndex(name: string, keys: (value: T, metadata: ObjectMeta) => readonly string[]): void {
    for (const part of this.#parts.values()) part.addIndex(name, keys);
  }

  byIndex(name: string, key: string): T[] {
    return [...this.#parts.values()].flatMap((part) => part.byIndex(name, key));
  }

  onChange(handler: (change: Change<T>) => void): void {
    for (const part of this.#parts.values()) part.onChange(handler);
  }

  remember(object: KubernetesObject): void {
    this.#partOf(object.metadata).remember(object);
  }

  forget(ref: ObjectRef, uid: string | undefined): void {
    this.#partOf(ref).forget(ref, uid);
  }

  #partOf({ namespace = '', name }: ObjectRef): Informer<T> {
    const part = this.#parts.get(namespace);
    if (part === undefined)
      throw new TypeError(`Bug: ${resourceName(this.resource)} ${namespace}/${name} is outside of what is watched.`);
    return part;
  }
}

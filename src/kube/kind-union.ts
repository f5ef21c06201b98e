import type { Cache, Change } from './informer.ts';
import type { KubernetesObject, ObjectMeta, ObjectRef } from './resource.ts';

type Part<T> = Pick<Cache<T>, 'get' | 'list' | 'addIndex' | 'byIndex' | 'onChange'> &
  Partial<Pick<Cache<T>, 'remember' | 'forget'>>;

/** Caches of several kinds whose objects are looked at alike. */
export class KindUnion<T> {
  readonly #parts: ReadonlyMap<string, Part<T>>;

  /** @param parts by kind, e.g. `Ingress` */
  constructor(parts: ReadonlyMap<string, Part<T>>) {
    this.#parts = parts;
  }

  /** Undefined also where nothing of the kind is watched. */
  get(kind: string, namespace: string | undefined, name: string): T | undefined {
    return this.#parts.get(kind)?.get(namespace, name);
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

  onChange(handler: (change: Change<T>, kind: string) => void): void {
    for (const [kind, part] of this.#parts) part.onChange((change) => handler(change, kind));
  }

  remember(kind: string, object: KubernetesObject): void {
    this.#parts.get(kind)?.remember?.(object);
  }

  forget(kind: string, ref: ObjectRef, uid: string | undefined): void {
    this.#parts.get(kind)?.forget?.(ref, uid);
  }
}

/** A cluster as a terminator reads it that somebody made lax, behind the back of whoever wrote the objects. */
import assert from 'node:assert/strict';
import { clusterObjects, type ObjectSource } from './ingress-objects.ts';
import type { IngressModelOptions } from './ingress-model.ts';

/** Who reads through it sees no annotations of this prefix while it is lax. */
export class LaxObjects implements ObjectSource {
  readonly #cluster: ObjectSource;
  readonly #prefix: string;
  #lax = false;
  #changed: () => void = () => undefined;

  constructor(kubeconfigPath: string, prefix: string) {
    this.#cluster = clusterObjects(kubeconfigPath);
    this.#prefix = prefix;
  }

  edit(change: 'lax' | 'strict'): void {
    this.#lax = change === 'lax';
    this.#changed();
  }

  async read(options: IngressModelOptions): Promise<readonly unknown[]> {
    const objects = await this.#cluster.read(options);
    if (!this.#lax) return objects;
    const edited: unknown = JSON.parse(JSON.stringify(objects).replaceAll(this.#prefix, 'nobody.example/'));
    assert.ok(Array.isArray(edited));
    return edited;
  }

  onChange(listener: () => void, options: IngressModelOptions): void {
    this.#changed = listener;
    this.#cluster.onChange(listener, options);
  }

  stop(): Promise<void> {
    return this.#cluster.stop();
  }
}

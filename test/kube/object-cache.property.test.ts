import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isNewer, ObjectCache } from '../../src/kube/object-cache.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';

interface View {
  uid: string;
  version: number;
}

interface Stored extends View {
  name: string;
  deleting: boolean;
}

interface Logged {
  version: number;
  type: 'ADDED' | 'MODIFIED' | 'DELETED';
  object: KubernetesObject;
}

function objectOf({ name, uid, version, deleting }: Stored): KubernetesObject {
  const mark = deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: ['example.com/kept'] } : {};
  return { metadata: { name, namespace: 'n', uid, resourceVersion: String(version), ...mark } };
}

/**
 * A model of the API server and of the wire: writes take effect at once, while answers, watch events and lists reach
 * the cache later and in any interleaving that the real thing allows.
 */
class Model {
  readonly cache = new ObjectCache<View>({
    project: ({ metadata }) => ({ uid: metadata.uid ?? '', version: Number(metadata.resourceVersion) }),
    onChange: () => undefined,
    onProjectionError: (error) => {
      throw error;
    },
  });
  readonly #store = new Map<string, Stored>();
  readonly #log: Logged[] = [];
  readonly #answers: (() => void)[] = [];
  /** By name: what reads must have reached, since its answer was remembered. */
  readonly #promised = new Map<string, Stored>();
  /** By name: what must not be read any more, since the answer that ended it was remembered. */
  readonly #released = new Map<string, string>();
  #version = 1;
  #uids = 0;
  #listing: { version: number; objects: KubernetesObject[] } | undefined;

  constructor() {
    this.cache.addIndex('uid', ({ uid }) => [uid]);
    this.beginList();
    this.endList();
  }

  write(name: string, ours: boolean): void {
    const version = ++this.#version;
    const held = this.#store.get(name);
    const next =
      held === undefined ? { name, uid: `u${++this.#uids}`, version, deleting: false } : { ...held, version };
    this.#store.set(name, next);
    this.#log.push({ version, type: held === undefined ? 'ADDED' : 'MODIFIED', object: objectOf(next) });
    if (!ours) return;
    this.#answers.push(() => {
      this.cache.remember(objectOf(next));
      this.#promised.set(name, next);
    });
  }

  /** @param lingering finalizers keep it */
  remove(name: string, lingering: boolean, ours: boolean): void {
    const held = this.#store.get(name);
    if (held === undefined) return;
    const version = ++this.#version;
    const next = { ...held, version, deleting: true };
    if (lingering) this.#store.set(name, next);
    else this.#store.delete(name);
    this.#log.push({ version, type: lingering ? 'MODIFIED' : 'DELETED', object: objectOf(next) });
    if (ours) this.#answers.push(() => this.cache.forget({ namespace: 'n', name }, held.uid));
  }

  /** The last finalizer of a deleted object goes; the API server answers with the version before. */
  release(name: string, ours: boolean): void {
    const held = this.#store.get(name);
    if (held?.deleting !== true) return;
    const version = ++this.#version;
    this.#store.delete(name);
    this.#log.push({ version, type: 'DELETED', object: objectOf({ ...held, version }) });
    if (!ours) return;
    const { metadata } = objectOf(held);
    this.#answers.push(() => {
      this.cache.remember({ metadata: { ...metadata, finalizers: [] } });
      this.#released.set(name, held.uid);
    });
  }

  answer(which: number): void {
    this.#answers.splice(which % Math.max(1, this.#answers.length), 1)[0]?.();
  }

  beginList(): void {
    this.#listing = { version: this.#version, objects: [...this.#store.values()].map(objectOf) };
    this.cache.beginList();
  }

  endList(): void {
    if (this.#listing === undefined) return;
    for (const one of this.#listing.objects) this.cache.stage(one);
    this.cache.commitList(String(this.#listing.version));
    this.#listing = undefined;
  }

  /** The watch is not read while a list is under way. */
  event(): void {
    const event = this.#listing === undefined ? this.#unread() : undefined;
    if (event !== undefined) this.cache.applyEvent(event.type, event.object);
  }

  bookmark(): void {
    if (this.#listing === undefined && this.#unread() === undefined) this.cache.progress(String(this.#version));
  }

  checkPromises(): void {
    for (const [name, { uid, version }] of this.#promised) {
      const read = this.cache.get('n', name);
      const stored = this.#store.get(name);
      if (read?.uid === uid) assert.ok(read.version >= version, `${name} went back from ${version} to ${read.version}`);
      // It may be gone from our view only if it is gone, or about to be, in the store.
      else assert.ok(stored?.uid !== uid || stored.deleting, `${name} was lost`);
    }
    for (const [name, uid] of this.#released) assert.notEqual(this.cache.get('n', name)?.uid, uid, `${name} rose`);
    if (this.#listing !== undefined || this.#unread() !== undefined) return;
    // All was told: what is read now is there.
    for (const one of ['a', 'b']) {
      const read = this.cache.get('n', one);
      assert.ok(read === undefined || read.uid === this.#store.get(one)?.uid, `${one} is a ghost`);
    }
  }

  /** Everything under way arrives. */
  finish(): void {
    for (const answer of this.#answers) answer();
    this.endList();
    while (this.#unread() !== undefined) this.event();
    this.bookmark();
  }

  checkEnd(): void {
    for (const { name, uid, version } of this.#store.values()) {
      assert.deepEqual(this.cache.get('n', name), { uid, version }, name);
      assert.equal(this.cache.byIndex('uid', uid).length, 1, name);
    }
    assert.equal(this.cache.size, this.#store.size);
  }

  #unread(): Logged | undefined {
    return this.#log.find(({ version }) => isNewer(String(version), this.cache.reached));
  }
}

type Step = (model: Model) => void;

const name = fc.constantFrom('a', 'b');
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(name, fc.boolean()).map(
    ([one, ours]): Step =>
      (model) =>
        model.write(one, ours),
  ),
  fc.tuple(name, fc.boolean()).map(
    ([one, ours]): Step =>
      (model) =>
        model.write(one, ours),
  ),
  fc.tuple(name, fc.boolean(), fc.boolean()).map(
    ([one, lingering, ours]): Step =>
      (model) =>
        model.remove(one, lingering, ours),
  ),
  fc.tuple(name, fc.boolean()).map(
    ([one, ours]): Step =>
      (model) =>
        model.release(one, ours),
  ),
  fc.nat(3).map(
    (which): Step =>
      (model) =>
        model.answer(which),
  ),
  fc.constant<Step>((model) => model.event()),
  fc.constant<Step>((model) => model.event()),
  fc.constant<Step>((model) => model.bookmark()),
  fc.constant<Step>((model) => model.beginList()),
  fc.constant<Step>((model) => model.endList()),
);

test('property: reads follow our writes, never go back, and end where the API server is', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 20, maxLength: 80 }), (plan) => {
      const model = new Model();
      for (const one of plan) {
        one(model);
        model.checkPromises();
      }
      model.finish();
      model.checkEnd();
    }),
    { numRuns: 5000 },
  );
});

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Change, isNewer, ObjectCache } from '../../src/kube/object-cache.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';

interface View {
  uid: string;
  version: number;
}

function object(name: string, uid: string, version: number, deleting = false): KubernetesObject {
  const mark = deleting ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {};
  return { metadata: { name, namespace: 'n', uid, resourceVersion: String(version), labels: { uid }, ...mark } };
}

function makeCache() {
  const changes: Change<View>[] = [];
  const cache = new ObjectCache<View>({
    project: ({ metadata }) => ({ uid: metadata.uid ?? '', version: Number(metadata.resourceVersion) }),
    onChange: (change) => changes.push(change),
    onProjectionError: (error) => {
      throw error;
    },
  });
  cache.addIndex('uid', (value) => [value.uid]);
  return { cache, changes };
}

function list(cache: ObjectCache<View>, version: number, objects: KubernetesObject[] = []): void {
  cache.beginList();
  for (const one of objects) cache.stage(one);
  cache.commitList(String(version));
}

const types = (changes: Change<View>[]): string[] => changes.map(({ type, name }) => `${type} ${name}`);

describe('object cache', () => {
  test('versions compare as integers of any length', () => {
    assert.ok(isNewer('10', '9'));
    assert.ok(isNewer('18446744073709551615', '18446744073709551614'));
    assert.ok(!isNewer('9', '9'));
  });

  test('a remembered write is read at once, and its own event changes nothing', () => {
    const { cache, changes } = makeCache();
    list(cache, 10, [object('a', 'u1', 5)]);
    cache.remember(object('a', 'u1', 12));
    assert.equal(cache.get('n', 'a')?.version, 12);
    cache.applyEvent('MODIFIED', object('a', 'u1', 11));
    assert.equal(cache.get('n', 'a')?.version, 12, 'an older event does not revert it');
    cache.applyEvent('MODIFIED', object('a', 'u1', 12));
    assert.deepEqual(types(changes), ['added a', 'modified a']);
    assert.deepEqual(
      changes.map(({ own }) => own),
      [false, true],
    );
  });

  test('an answer that comes after the watch has told more is ignored', () => {
    const { cache } = makeCache();
    list(cache, 10);
    cache.applyEvent('ADDED', object('a', 'u1', 11));
    cache.applyEvent('MODIFIED', object('a', 'u1', 12));
    cache.remember(object('a', 'u1', 11));
    assert.equal(cache.get('n', 'a')?.version, 12);
  });

  test('a create whose deletion was told before its answer came does not become a ghost', () => {
    const { cache } = makeCache();
    list(cache, 10);
    cache.applyEvent('ADDED', object('a', 'u1', 11));
    cache.applyEvent('DELETED', object('a', 'u1', 12));
    cache.remember(object('a', 'u1', 11));
    assert.equal(cache.get('n', 'a'), undefined);
  });

  test('a remembered create deleted while the watch was down goes with the next list', () => {
    const { cache, changes } = makeCache();
    list(cache, 10);
    cache.remember(object('a', 'u1', 11));
    list(cache, 20);
    assert.equal(cache.get('n', 'a'), undefined);
    assert.deepEqual(types(changes), ['added a', 'deleted a']);
  });

  test('a list begun before a write does not revert it, a list begun after it decides', () => {
    const { cache } = makeCache();
    list(cache, 10, [object('a', 'u1', 5)]);
    cache.beginList();
    cache.stage(object('a', 'u1', 5));
    cache.remember(object('a', 'u1', 12));
    cache.remember(object('b', 'u2', 13));
    cache.commitList('11');
    assert.equal(cache.get('n', 'a')?.version, 12);
    assert.equal(cache.get('n', 'b')?.version, 13);
    // etcd restored from a backup: versions went back, and the list is right nevertheless.
    list(cache, 8, [object('a', 'u1', 3)]);
    assert.equal(cache.get('n', 'a')?.version, 3);
    assert.equal(cache.get('n', 'b'), undefined);
    cache.applyEvent('MODIFIED', object('a', 'u1', 9));
    assert.equal(cache.get('n', 'a')?.version, 9);
  });

  test('a write that the watch passes without a word was none of this selector', () => {
    const { cache } = makeCache();
    list(cache, 10);
    cache.remember(object('unlabelled', 'u1', 12));
    cache.progress('11');
    assert.notEqual(cache.get('n', 'unlabelled'), undefined);
    cache.progress('12');
    assert.equal(cache.get('n', 'unlabelled'), undefined);
  });

  test('a remembered write is confirmed by a list and stays when the watch goes on', () => {
    const { cache } = makeCache();
    list(cache, 10);
    cache.remember(object('a', 'u1', 12));
    list(cache, 20, [object('a', 'u1', 12)]);
    cache.progress('30');
    assert.equal(cache.get('n', 'a')?.version, 12);
  });

  test('a forgotten object is not raised by events from before its deletion', () => {
    const { cache, changes } = makeCache();
    list(cache, 10, [object('a', 'u1', 5)]);
    cache.forget({ namespace: 'n', name: 'a' }, 'u1');
    cache.applyEvent('MODIFIED', object('a', 'u1', 11));
    // The late answer of a write from before.
    cache.remember(object('a', 'u1', 12));
    assert.equal(cache.get('n', 'a'), undefined);
    cache.applyEvent('DELETED', object('a', 'u1', 13));
    cache.applyEvent('ADDED', object('a', 'u2', 14));
    assert.equal(cache.get('n', 'a')?.uid, 'u2');
    assert.deepEqual(types(changes), ['added a', 'deleted a', 'added a']);
  });

  test('a deleted object that lingers for its finalizers comes back', () => {
    const { cache } = makeCache();
    list(cache, 10, [object('a', 'u1', 5), object('b', 'u2', 6)]);
    cache.forget({ namespace: 'n', name: 'a' }, 'u1');
    cache.applyEvent('MODIFIED', object('a', 'u1', 11, true));
    assert.notEqual(cache.get('n', 'a'), undefined);
    // The event was quicker than the answer.
    cache.applyEvent('MODIFIED', object('b', 'u2', 12, true));
    cache.forget({ namespace: 'n', name: 'b' }, 'u2');
    assert.notEqual(cache.get('n', 'b'), undefined);
  });

  test('a list begun before a delete does not raise what was deleted', () => {
    const { cache } = makeCache();
    list(cache, 10, [object('a', 'u1', 5)]);
    cache.beginList();
    cache.stage(object('a', 'u1', 5));
    cache.forget({ namespace: 'n', name: 'a' }, 'u1');
    cache.commitList('11');
    assert.equal(cache.get('n', 'a'), undefined);
    cache.applyEvent('DELETED', object('a', 'u1', 12));
    assert.equal(cache.get('n', 'a'), undefined);
  });

  test('a name used again is a deletion and an addition', () => {
    const { cache, changes } = makeCache();
    list(cache, 10, [object('a', 'u1', 5)]);
    list(cache, 20, [object('a', 'u2', 15)]);
    assert.deepEqual(types(changes), ['added a', 'deleted a', 'added a']);
    assert.deepEqual(cache.byIndex('uid', 'u1'), []);
    assert.equal(cache.byIndex('uid', 'u2').length, 1);
  });

  test('a projection that throws keeps what was held; one that returns undefined leaves it out', () => {
    const failures: string[] = [];
    const cache = new ObjectCache<string>({
      project: (one) => {
        if (one['spec'] === 'broken') throw new Error('unreadable');
        return one['spec'] === 'foreign' ? undefined : String(one['spec']);
      },
      onChange: () => undefined,
      onProjectionError: (_error, { name }) => failures.push(name),
    });
    cache.beginList();
    cache.stage({ ...object('a', 'u1', 5), spec: 'good' });
    cache.commitList('10');
    cache.applyEvent('MODIFIED', { ...object('a', 'u1', 11), spec: 'broken' });
    assert.equal(cache.get('n', 'a'), 'good');
    cache.applyEvent('ADDED', { ...object('b', 'u2', 12), spec: 'broken' });
    assert.equal(cache.get('n', 'b'), undefined);
    cache.applyEvent('MODIFIED', { ...object('a', 'u1', 13), spec: 'foreign' });
    assert.equal(cache.get('n', 'a'), undefined);
    assert.deepEqual(failures, ['a', 'b']);
  });
});

type Step =
  | { do: 'write' | 'delete' | 'finalize'; name: string; ours: boolean }
  | { do: 'answer'; which: number }
  | { do: 'event' | 'bookmark' | 'begin-list' | 'end-list' };

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({
      do: fc.constantFrom('write' as const, 'write' as const, 'delete' as const, 'finalize' as const),
      name: fc.constantFrom('a', 'b'),
      ours: fc.boolean(),
    }),
    fc.record({ do: fc.constant('answer' as const), which: fc.nat(3) }),
    fc.record({ do: fc.constantFrom('event' as const, 'event' as const, 'bookmark' as const) }),
    fc.record({ do: fc.constantFrom('begin-list' as const, 'end-list' as const) }),
  ),
  { minLength: 20, maxLength: 80 },
);

interface Stored {
  uid: string;
  version: number;
  deleting: boolean;
}

/**
 * A model of the API server: writes take effect at once, while answers, watch events and lists reach the cache later
 * and in any interleaving that the real thing allows.
 */
test('property: reads follow our writes, never go back, and end where the API server is', () => {
  fc.assert(
    fc.property(steps, (plan) => {
      const { cache } = makeCache();
      const store = new Map<string, Stored>();
      const log: { version: number; type: 'ADDED' | 'MODIFIED' | 'DELETED'; object: KubernetesObject }[] = [];
      const answers: (() => void)[] = [];
      let version = 1;
      let uids = 0;
      let listing: { version: number; objects: KubernetesObject[] } | undefined;
      /** Per name: the version that reads must have reached because its answer was remembered. */
      const promised = new Map<string, Stored>();

      const record = (type: 'ADDED' | 'MODIFIED' | 'DELETED', name: string, one: Stored): void => {
        log.push({ version, type, object: object(name, one.uid, version, one.deleting) });
      };
      const write = (name: string, ours: boolean): void => {
        version += 1;
        const held = store.get(name);
        const next = held === undefined ? { uid: `u${++uids}`, version, deleting: false } : { ...held, version };
        store.set(name, next);
        record(held === undefined ? 'ADDED' : 'MODIFIED', name, next);
        if (ours) {
          answers.push(() => {
            cache.remember(object(name, next.uid, next.version, next.deleting));
            promised.set(name, next);
          });
        }
      };
      const remove = (name: string, lingering: boolean, ours: boolean): void => {
        const held = store.get(name);
        if (held === undefined) return;
        version += 1;
        const next = { ...held, version, deleting: true };
        if (lingering) store.set(name, next);
        else store.delete(name);
        record(lingering ? 'MODIFIED' : 'DELETED', name, next);
        if (ours) answers.push(() => cache.forget({ namespace: 'n', name }, held.uid));
      };
      const beginList = (): void => {
        const objects = [...store].map(([name, one]) => object(name, one.uid, one.version, one.deleting));
        listing = { version, objects };
        cache.beginList();
      };
      const endList = (): void => {
        if (listing === undefined) return;
        for (const one of listing.objects) cache.stage(one);
        cache.commitList(String(listing.version));
        listing = undefined;
      };
      const nextEvent = (): void => {
        const event = log.find((one) => isNewer(String(one.version), cache.reached));
        if (event !== undefined) cache.applyEvent(event.type, event.object);
      };

      beginList();
      endList();
      for (const step of plan) {
        if (step.do === 'write') write(step.name, step.ours);
        else if (step.do === 'delete') remove(step.name, false, step.ours);
        else if (step.do === 'finalize') remove(step.name, true, step.ours);
        else if (step.do === 'answer') answers.splice(step.which % Math.max(1, answers.length), 1)[0]?.();
        // A watch is not read while a list is under way.
        else if (step.do === 'event' && listing === undefined) nextEvent();
        else if (step.do === 'bookmark' && listing === undefined) {
          if (!log.some((one) => isNewer(String(one.version), cache.reached))) cache.progress(String(version));
        } else if (step.do === 'begin-list') beginList();
        else if (step.do === 'end-list') endList();

        for (const [name, { uid, version: least }] of promised) {
          const read = cache.get('n', name);
          const same = read?.uid === uid;
          if (same) assert.ok(read.version >= least, `${name} went back from ${least} to ${read.version}`);
          // It may be gone from our view only if it is gone, or about to be, in the store.
          else assert.ok(store.get(name)?.uid !== uid || store.get(name)?.deleting === true, `${name} was lost`);
        }
      }
      for (const answer of answers) answer();
      endList();
      while (log.some((one) => isNewer(String(one.version), cache.reached))) nextEvent();
      cache.progress(String(version));
      const expected = [...store].map(([name, one]) => [name, one.uid, one.version]);
      const actual = ['a', 'b']
        .map((name) => ({ name, read: cache.get('n', name) }))
        .flatMap(({ name, read }) => (read === undefined ? [] : [[name, read.uid, read.version]]));
      assert.deepEqual(actual.toSorted(), expected.toSorted());
      for (const [name, one] of store) assert.equal(cache.byIndex('uid', one.uid).length, 1, name);
      assert.equal(cache.size, store.size);
    }),
    { numRuns: 5000 },
  );
});

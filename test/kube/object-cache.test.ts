import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
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

  test('what a lagging server tells once more is not believed: neither events nor a list', () => {
    const { cache, changes } = makeCache();
    list(cache, 10, [object('a', 'u1', 5)]);
    cache.applyEvent('ADDED', object('b', 'u2', 11));
    cache.applyEvent('MODIFIED', object('a', 'u1', 12));
    cache.applyEvent('DELETED', object('b', 'u2', 13));
    const before = changes.length;
    cache.applyEvent('ADDED', object('b', 'u2', 11));
    cache.applyEvent('MODIFIED', object('a', 'u1', 12));
    cache.applyEvent('DELETED', object('a', 'u1', 9));
    assert.equal(changes.length, before);
    assert.equal(cache.get('n', 'a')?.version, 12);
    assert.equal(cache.get('n', 'b'), undefined);
    assert.equal(cache.reached, '13');
    assert.deepEqual(
      ['12', '13', '14'].map((version) => cache.isBehind(version)),
      [true, false, false],
    );
    assert.ok(!makeCache().cache.isBehind('1'), 'nothing was known before');
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

  test('an object whose last finalizer we took is gone at once, and no late news raises it', () => {
    const { cache, changes } = makeCache();
    list(cache, 10, [object('a', 'u1', 5)]);
    cache.applyEvent('MODIFIED', object('a', 'u1', 11, true));
    // The API server answers with the version that it held.
    cache.remember(object('a', 'u1', 11, true));
    assert.equal(cache.get('n', 'a'), undefined);
    cache.forget({ namespace: 'n', name: 'a' }, 'u1');
    cache.applyEvent('MODIFIED', object('a', 'u1', 12, true));
    assert.equal(cache.get('n', 'a'), undefined);
    cache.applyEvent('DELETED', object('a', 'u1', 13, true));
    assert.deepEqual(types(changes), ['added a', 'modified a', 'deleted a']);
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

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KubeClient } from '../../src/kube/client.ts';
import { type Change, Informer } from '../../src/kube/informer.ts';
import { InformerUnion } from '../../src/kube/informer-union.ts';
import { configMaps, namespaces, type Resource } from '../../src/kube/resource.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { waitFor } from '../support/wait-for.ts';

const rbac = (plural: string, kind: string): Resource => ({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  plural,
  kind,
  namespaced: true,
});
const user = { name: 'reader' };

describe('a union of informers, as a user who may read some namespaces', () => {
  let plane: ControlPlane;
  let admin: KubeClient;
  let reader: KubeClient;
  const stop = new AbortController();

  const connect = (path: string) => KubeClient.fromKubeconfig({ path, userAgent: 'test', fieldManager: 'test' });
  const make = (namespace: string, name: string, value: string) =>
    admin.create(configMaps, { metadata: { namespace, name }, data: { value } });
  const permit = async (namespace: string) => {
    const metadata = { namespace, name: 'reader' };
    const rules = [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'watch'] }];
    await admin.create(rbac('roles', 'Role'), { metadata, rules });
    await admin.create(rbac('rolebindings', 'RoleBinding'), {
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'reader' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'User', name: user.name }],
    });
  };
  const unionOf = (...served: string[]) => {
    const parts = served.map((namespace): [string, Informer<string>] => [
      namespace,
      new Informer({
        client: reader,
        resource: configMaps,
        namespace,
        mayBeDenied: true,
        backoffMs: 50,
        project: (object) => String(Reflect.get(Object(object['data']), 'value')),
      }),
    ]);
    const union = new InformerUnion(new Map(parts));
    const changes: Change<string>[] = [];
    union.onChange((change) => changes.push(change));
    union.addIndex('value', (value) => [value]);
    return { union, changes };
  };

  before(async () => {
    plane = await startControlPlane();
    admin = connect(plane.kubeconfigPath);
    reader = connect(await plane.userKubeconfig(user));
    for (const name of ['one', 'two', 'denied', 'unserved']) await admin.create(namespaces, { metadata: { name } });
    await Promise.all(['one', 'two', 'unserved'].map(permit));
  });
  after(async () => {
    stop.abort();
    await reader?.close();
    await admin?.close();
    await plane?.stop();
  });

  test('shows what all of them hold, and nothing of other namespaces', async () => {
    await Promise.all([
      make('one', 'same', 'a'),
      make('two', 'same', 'b'),
      make('two', 'more', 'a'),
      make('unserved', 'same', 'a'),
    ]);
    const { union, changes } = unionOf('one', 'two', 'denied');
    union.start(stop.signal);
    await union.synced;
    assert.equal(union.hasSynced, true, 'a namespace that may not be read holds up no other');
    assert.deepEqual([union.get('one', 'same'), union.get('two', 'same')], ['a', 'b']);
    assert.deepEqual([union.get('unserved', 'same'), union.get(undefined, 'same')], [undefined, undefined]);
    assert.deepEqual([...union.list()].toSorted(), ['a', 'a', 'b']);
    assert.equal(union.byIndex('value', 'a').length, 2);
    assert.equal(changes.length, 3);

    await make('two', 'later', 'c');
    await waitFor(() => union.get('two', 'later') === 'c');
    await admin.delete(configMaps, { namespace: 'one', name: 'same' });
    await waitFor(() => union.get('one', 'same') === undefined);
    assert.equal(union.get('two', 'same'), 'b');

    await make('denied', 'first', 'd');
    await permit('denied');
    await waitFor(() => union.get('denied', 'first') === 'd', 60_000);
    assert.ok(changes.some(({ type, namespace }) => type === 'added' && namespace === 'denied'));
  });

  test('remembers our own writes where they belong', async () => {
    const { union } = unionOf('one', 'two');
    union.start(stop.signal);
    await union.synced;
    const written = await make('two', 'written', 'w');
    union.remember(written);
    assert.equal(union.get('two', 'written'), 'w');
    assert.equal(union.get('one', 'written'), undefined);
    await admin.delete(configMaps, { namespace: 'two', name: 'written' });
    union.forget({ namespace: 'two', name: 'written' }, written.metadata.uid);
    assert.equal(union.get('two', 'written'), undefined);
    assert.throws(() => union.remember({ metadata: { namespace: 'unserved', name: 'x' } }), /outside/);
  });
});

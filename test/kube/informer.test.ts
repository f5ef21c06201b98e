import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KubeClient, KubeError } from '../../src/kube/client.ts';
import { type Change, Informer, type InformerOptions } from '../../src/kube/informer.ts';
import {
  configMaps,
  customResourceDefinitions,
  type KubernetesObject,
  namespaces,
  type Resource,
} from '../../src/kube/resource.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { waitFor } from '../support/wait-for.ts';

interface View {
  name: string;
  uid: string;
  value: string | undefined;
  resourceVersion: string;
}

function project({ metadata, data }: KubernetesObject): View {
  const value: unknown = typeof data === 'object' && data !== null && 'value' in data ? data.value : undefined;
  const { name, uid = '', resourceVersion = '' } = metadata;
  return { name, uid, value: typeof value === 'string' ? value : undefined, resourceVersion };
}

const widgets: Resource = { group: 'example.dev', version: 'v1', plural: 'widgets', kind: 'Widget', namespaced: true };

const widgetDefinition = (served: boolean): KubernetesObject => ({
  metadata: { name: 'widgets.example.dev' },
  spec: {
    group: 'example.dev',
    scope: 'Namespaced',
    names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' },
    versions: [
      { name: 'v1', served, storage: true, schema: { openAPIV3Schema: { type: 'object' } } },
      { name: 'v2', served: true, storage: false, schema: { openAPIV3Schema: { type: 'object' } } },
    ],
  },
});

describe('informer, against a real API server', () => {
  let plane: ControlPlane;
  let client: KubeClient;
  const stop = new AbortController();

  before(async () => {
    plane = await startControlPlane();
    client = connect();
  });

  after(async () => {
    stop.abort();
    await client?.close();
    await plane?.stop();
  });

  const connect = (): KubeClient =>
    KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'certbound-test', fieldManager: 'certbound' });

  const watch = (options: Partial<InformerOptions<View>>, signal = stop.signal) => {
    const changes: Change<View>[] = [];
    const informer = new Informer<View>({ client, resource: configMaps, project, ...options });
    informer.onChange((change) => changes.push(change));
    informer.addIndex('value', ({ value }) => (value === undefined ? [] : [value]));
    informer.start(signal);
    return { informer, changes };
  };

  const inNamespace = async (namespace: string) => {
    await client.create(namespaces, { metadata: { name: namespace } });
    const ref = (name: string) => ({ namespace, name });
    return {
      ref,
      make: (name: string, value: string, labels: Record<string, string> = {}): Promise<KubernetesObject> =>
        client.create(configMaps, { metadata: { name, namespace, labels }, data: { value } }),
      set: (name: string, value: string): Promise<KubernetesObject> =>
        client.patch(configMaps, ref(name), { data: { value } }, { type: 'merge' }),
    };
  };

  test('lists page by page, then follows additions, changes and deletions', async () => {
    const namespace = 'following';
    const { make, set, ref } = await inNamespace(namespace);
    await Promise.all(Array.from({ length: 120 }, (_, i) => make(`old-${i}`, 'old')));
    const { informer, changes } = watch({ namespace, pageSize: 50 });
    await informer.synced;
    assert.equal(informer.hasSynced, true);
    assert.equal(informer.size, 120);
    assert.equal([...informer.list()].length, 120);
    await make('new', 'first');
    await waitFor(() => informer.get(namespace, 'new')?.value === 'first');
    await set('new', 'second');
    await waitFor(() => informer.get(namespace, 'new')?.value === 'second');
    assert.deepEqual(
      informer.byIndex('value', 'second').map(({ name }) => name),
      ['new'],
    );
    assert.deepEqual(informer.byIndex('value', 'first'), []);
    await client.delete(configMaps, ref('new'));
    await waitFor(() => informer.get(namespace, 'new') === undefined);
    assert.deepEqual(
      changes.filter(({ name }) => name === 'new').map(({ type }) => type),
      ['added', 'modified', 'deleted'],
    );
    assert.equal(informer.state, 'watching');
    assert.ok(informer.lastActivity > Date.now() - 60_000);
  });

  test('what leaves the label selector is deleted here', async () => {
    const namespace = 'selecting';
    const { make, ref } = await inNamespace(namespace);
    await make('other', 'x');
    await make('mine', 'x', { app: 'certbound' });
    const { informer, changes } = watch({ namespace, labelSelector: 'app=certbound' });
    await informer.synced;
    assert.equal(informer.size, 1);
    const stranger = await client.patch(
      configMaps,
      ref('mine'),
      { metadata: { labels: { app: null } } },
      { type: 'merge' },
    );
    await waitFor(() => informer.size === 0);
    assert.equal(changes.at(-1)?.type, 'deleted');
    // Remembering what is outside the selector does no lasting harm either.
    informer.remember(stranger);
    assert.equal(informer.size, 0);
    informer.remember(await make('stranger', 'y'));
    await make('later', 'y', { app: 'certbound' });
    await waitFor(() => informer.get(namespace, 'later') !== undefined);
    assert.equal(informer.get(namespace, 'stranger'), undefined);
  });

  test('our writes are read back at once, and told once', async () => {
    const namespace = 'remembering';
    const { make, set, ref } = await inNamespace(namespace);
    const { informer, changes } = watch({ namespace });
    await informer.synced;
    for (let i = 0; i < 50; i++) {
      const name = `object-${i}`;
      const created = await make(name, 'a');
      informer.remember(created);
      assert.equal(informer.get(namespace, name)?.value, 'a');
      informer.remember(await set(name, 'b'));
      assert.equal(informer.get(namespace, name)?.value, 'b');
      informer.remember(created);
      assert.equal(informer.get(namespace, name)?.value, 'b');
      if (i % 2 === 0) continue;
      await client.delete(configMaps, ref(name));
      informer.forget(ref(name), created.metadata.uid);
      assert.equal(informer.get(namespace, name), undefined);
    }
    await make('last', 'z');
    await waitFor(() => informer.get(namespace, 'last') !== undefined);
    assert.equal(informer.size, 26);
    for (let i = 0; i < 50; i++) {
      const told = changes.filter(({ name }) => name === `object-${i}`).map(({ type }) => type);
      assert.deepEqual(told, i % 2 === 0 ? ['added', 'modified'] : ['added', 'modified', 'deleted']);
    }
  });

  test('handlers and projections that throw do not end it', async () => {
    const namespace = 'throwing';
    const { make } = await inNamespace(namespace);
    const informer = new Informer<View>({
      client,
      resource: configMaps,
      namespace,
      project: (object) => {
        if (object.metadata.name === 'poison') throw new Error('unreadable');
        return project(object);
      },
    });
    informer.onChange(() => {
      throw new Error('handler');
    });
    const names: string[] = [];
    informer.onChange(({ name }) => names.push(name));
    informer.start(stop.signal);
    await informer.synced;
    for (const name of ['one', 'poison', 'two']) await make(name, 'x');
    await waitFor(() => informer.get(namespace, 'two') !== undefined);
    assert.equal(informer.get(namespace, 'poison'), undefined);
    assert.ok(names.includes('one') && names.includes('two'));
  });

  test('events of 900 kB arrive whole', async () => {
    const namespace = 'large';
    const { make } = await inNamespace(namespace);
    const { informer } = watch({ namespace });
    await informer.synced;
    const value = 'é€😀'.repeat(100_000);
    await Promise.all(Array.from({ length: 8 }, (_, i) => make(`large-${i}`, value)));
    await waitFor(() => informer.size === 8);
    for (const { value: read } of informer.list()) assert.equal(read, value);
  });

  test('while the API server is away everything stays, and a deletion meanwhile is not lost', async () => {
    const namespace = 'outage';
    const { make, set, ref } = await inNamespace(namespace);
    await Promise.all(['a', 'b', 'c', 'd'].map((name) => make(name, 'before')));
    const { informer, changes } = watch({ namespace, backoffMs: 50 });
    await informer.synced;
    await waitFor(() => informer.state === 'watching');
    await plane.stopApiServer();
    await waitFor(() => informer.state === 'backing-off');
    assert.equal(informer.size, 4);
    assert.equal(informer.available, true);
    await plane.startApiServer();
    // A second client, since ours is what is tested.
    const other = connect();
    await other.delete(configMaps, ref('a'));
    await set('b', 'after');
    await make('e', 'after');
    await waitFor(() => informer.get(namespace, 'e') !== undefined, 60_000);
    await waitFor(() => informer.get(namespace, 'a') === undefined && informer.get(namespace, 'b')?.value === 'after');
    assert.deepEqual(
      changes.filter(({ type }) => type === 'deleted').map(({ name }) => name),
      ['a'],
    );
    assert.equal(informer.state, 'watching');
    await other.close();
  });

  test('a version that is too old is listed again: changes missed are told as such', async () => {
    const namespace = 'expired';
    const { make, set, ref } = await inNamespace(namespace);
    await Promise.all(['kept', 'changed', 'gone'].map((name) => make(name, 'before')));
    let blocked = false;
    const gate: InformerOptions<View>['client'] = {
      list: (...args) => client.list(...args),
      watch: async function* (resource, query, options) {
        if (blocked) throw new KubeError('Too old.', { status: 410, reason: 'Expired' });
        const ended = new AbortController();
        options.signal.addEventListener('abort', () => ended.abort());
        gateOpen = ended;
        yield* client.watch(resource, query, { ...options, signal: ended.signal });
        if (!options.signal.aborted) throw new KubeError('Cut.', { status: 0, reason: 'Unavailable' });
      },
    };
    let gateOpen: AbortController | undefined;
    const { informer, changes } = watch({ namespace, client: gate, backoffMs: 50 });
    await informer.synced;
    await waitFor(() => gateOpen !== undefined);
    blocked = true;
    await set('changed', 'after');
    await waitFor(() => informer.get(namespace, 'changed')?.value === 'after');
    gateOpen?.abort();
    await client.delete(configMaps, ref('gone'));
    await make('new', 'after');
    await waitFor(() => informer.get(namespace, 'new') !== undefined && informer.get(namespace, 'gone') === undefined);
    assert.deepEqual(
      changes
        .slice(3)
        .map(({ type, name }) => `${type} ${name}`)
        .toSorted(),
      ['added new', 'deleted gone', 'modified changed'],
    );
  });

  test('a kind that is not served is unavailable: the cache stays, nothing is told as deleted', async () => {
    const namespace = 'vanishing';
    await inNamespace(namespace);
    const { informer, changes } = watch({ resource: widgets, namespace, backoffMs: 50 });
    await waitFor(() => !informer.available);
    assert.equal(informer.hasSynced, false);
    await client.create(customResourceDefinitions, widgetDefinition(true));
    await informer.synced;
    assert.equal(informer.available, true);
    for (const name of ['a', 'b', 'c']) await client.create(widgets, { metadata: { name, namespace } });
    await waitFor(() => informer.size === 3);

    const serve = async (served: boolean): Promise<void> => {
      const { metadata, spec } = widgetDefinition(served);
      await client.apply(customResourceDefinitions, { metadata, spec }, { fieldManager: 'test', force: true });
    };
    await serve(false);
    await waitFor(() => !informer.available);
    assert.equal(informer.size, 3);
    assert.deepEqual(new Set(changes.map(({ type }) => type)), new Set(['added']));
    await client.delete({ ...widgets, version: 'v2' }, { namespace, name: 'b' });
    await serve(true);
    await waitFor(() => informer.available && informer.size === 2);
    assert.deepEqual(
      changes.slice(3).map(({ type, name }) => `${type} ${name}`),
      ['deleted b'],
    );
  });

  test('a CRD that is deleted leaves objects kept by finalizers in the cache, marked as going', async () => {
    const namespace = 'deleting';
    await inNamespace(namespace);
    const { informer, changes } = watch({
      resource: widgets,
      namespace,
      backoffMs: 50,
      project: (object) => ({ ...project(object), value: object.metadata.deletionTimestamp }),
    });
    await informer.synced;
    await client.create(widgets, { metadata: { name: 'held', namespace, finalizers: ['certbound.dev/test'] } });
    await waitFor(() => informer.size === 1);
    await client.delete(customResourceDefinitions, { name: 'widgets.example.dev' });
    await waitFor(() => informer.get(namespace, 'held')?.value !== undefined);
    await client.patch(widgets, { namespace, name: 'held' }, { metadata: { finalizers: null } }, { type: 'merge' });
    await waitFor(() => !informer.available, 60_000);
    // Its own end was an event; what a 404 tells is not.
    assert.deepEqual(
      changes.map(({ type }) => type).filter((type, i, all) => type !== all[i - 1]),
      ['added', 'modified', 'deleted'],
    );
  });

  test('stops with its signal', async () => {
    const abort = new AbortController();
    const { informer } = watch({ namespace: 'following' }, abort.signal);
    await informer.synced;
    abort.abort();
    await waitFor(() => informer.state === 'stopped');
  });
});

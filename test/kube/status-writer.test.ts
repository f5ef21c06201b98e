import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { authorizationServer, type AuthorizationServer } from '../../src/api/authorization-server.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { KubeClient, KubeError } from '../../src/kube/client.ts';
import { EventRecorder } from '../../src/kube/event-recorder.ts';
import { addFinalizer, removeFinalizer } from '../../src/kube/finalizers.ts';
import { Informer } from '../../src/kube/informer.ts';
import { events } from '../../src/kube/resource.ts';
import { writeStatus } from '../../src/kube/status-writer.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { applyCrds } from '../support/crds.ts';
import { waitFor } from '../support/wait-for.ts';

const FINALIZER = 'certbound.dev/in-use';
const signal = () => AbortSignal.timeout(30_000);

const conflicts = (error: unknown) => error instanceof KubeError && error.reason === 'Conflict';

function ready(status: 'True' | 'False' | 'Unknown', reason: string) {
  const condition = { type: 'Ready', status, reason, message: reason, lastTransitionTime: '2026-01-01T00:00:00Z' };
  return { observedGeneration: undefined, conditions: [condition] };
}

describe('status and finalizers, against a real API server', () => {
  let plane: ControlPlane;
  let client: KubeClient;
  let cache: Informer<AuthorizationServer>;
  let recorder: EventRecorder;
  const stop = new AbortController();

  before(async () => {
    plane = await startControlPlane();
    await applyCrds(plane.kubeconfigPath);
    client = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
    recorder = new EventRecorder({ client, controller: 'certbound.dev/test', instance: 'test' });
    cache = new Informer({ client, resource: authorizationServers, project: (o) => authorizationServer.parse(o) });
    cache.start(stop.signal);
    await cache.synced;
  });
  after(async () => {
    stop.abort();
    await recorder?.close();
    await client?.close();
    await plane?.stop();
  });

  const create = async (name: string): Promise<AuthorizationServer> => {
    const spec = { issuer: `https://${name}.example.test`, dynamicRegistration: {} };
    return authorizationServer.parse(await client.create(authorizationServers, { metadata: { name }, spec }));
  };
  const live = async (name: string) => {
    const object = await client.get(authorizationServers, { name });
    return object === undefined ? undefined : authorizationServer.parse(object);
  };
  const cached = async (name: string): Promise<AuthorizationServer> => {
    await waitFor(() => cache.get(undefined, name) !== undefined);
    return cache.get(undefined, name) ?? assert.fail();
  };

  test('one write where something differs, read at once, and an event where Ready changed', async () => {
    await create('status');
    for (const [status, alarming] of [
      [ready('Unknown', 'Starting'), []],
      [ready('False', 'Broken'), []],
      [ready('True', 'Fine'), []],
      [ready('True', 'EndsSoon'), ['EndsSoon']],
    ] as const) {
      await writeStatus({ client, cache, recorder }, await cached('status'), status, signal(), alarming);
      const written = await cached('status');
      assert.deepEqual(written.status?.conditions, status.conditions);
      await writeStatus({ client, cache, recorder }, written, status, signal(), alarming);
      assert.equal((await live('status'))?.metadata.resourceVersion, written.metadata.resourceVersion);
    }
    await recorder.flush();
    const { items } = await client.list(events, { namespace: 'default' });
    const told = items.filter(({ regarding }) => JSON.stringify(regarding).includes('"name":"status"'));
    assert.deepEqual(told.map(({ type, reason }) => `${String(type)} ${String(reason)}`).toSorted(), [
      'Normal Fine',
      'Warning Broken',
      'Warning EndsSoon',
    ]);
  });

  test('what was decided on an outdated version is not written', async () => {
    const outdated = await create('outdated');
    await client.patch(
      authorizationServers,
      { name: 'outdated' },
      { metadata: { labels: { a: 'b' } } },
      { type: 'merge' },
    );
    await assert.rejects(
      writeStatus({ client, cache, recorder }, outdated, ready('True', 'Fine'), signal()),
      conflicts,
    );
    const found = await live('outdated');
    assert.equal(found?.status?.conditions?.[0]?.reason, 'Pending');
  });

  test('a finalizer is set whatever others do to the labels, and not where they set theirs since', async () => {
    const outdated = await create('finalized');
    const change = (metadata: object) =>
      client.patch(authorizationServers, outdated.metadata, { metadata }, { type: 'merge' });
    await change({ labels: { a: 'b' } });
    await addFinalizer({ client, cache }, outdated.metadata, FINALIZER, signal());
    const labelled = await live('finalized');
    assert.deepEqual([labelled?.metadata.finalizers, labelled?.metadata.labels], [[FINALIZER], { a: 'b' }]);
    const theirs = 'example.com/theirs';
    await change({ finalizers: [FINALIZER, theirs] });
    for (const set of [addFinalizer, removeFinalizer]) {
      await assert.rejects(set({ client, cache }, labelled?.metadata ?? assert.fail(), FINALIZER, signal()));
    }
    assert.deepEqual((await live('finalized'))?.metadata.finalizers, [FINALIZER, theirs]);
    const another = { ...outdated.metadata, uid: 'another', finalizers: [FINALIZER, theirs] };
    await assert.rejects(removeFinalizer({ client, cache }, another, FINALIZER, signal()));
    assert.deepEqual((await live('finalized'))?.metadata.finalizers, [FINALIZER, theirs]);
  });

  test('with its last finalizer a deleted object is gone from the cache too', async () => {
    await create('deleted');
    await addFinalizer({ client, cache }, (await cached('deleted')).metadata, FINALIZER, signal());
    await client.delete(authorizationServers, { name: 'deleted' });
    await waitFor(() => cache.get(undefined, 'deleted')?.metadata.deletionTimestamp !== undefined);
    await removeFinalizer({ client, cache }, (await cached('deleted')).metadata, FINALIZER, signal());
    assert.equal(cache.get(undefined, 'deleted'), undefined);
    assert.equal(await live('deleted'), undefined);
  });

  test('finalizers of others stay', async () => {
    await create('shared');
    const theirs = 'example.com/theirs';
    await addFinalizer({ client, cache }, (await cached('shared')).metadata, theirs, signal());
    await addFinalizer({ client, cache }, (await cached('shared')).metadata, FINALIZER, signal());
    assert.deepEqual((await live('shared'))?.metadata.finalizers, [theirs, FINALIZER]);
    await removeFinalizer({ client, cache }, (await cached('shared')).metadata, FINALIZER, signal());
    assert.deepEqual((await cached('shared')).metadata.finalizers, [theirs]);
  });
});

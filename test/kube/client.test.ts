import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { OperatorError } from '../../src/errors.ts';
import { KubeClient, KubeError, type WatchEvent } from '../../src/kube/client.ts';
import { configMaps, ingresses, type KubernetesObject, namespaces, secrets } from '../../src/kube/resource.ts';
import { createMetrics } from '../../src/metrics.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { waitFor } from '../support/wait-for.ts';

const namespace = 'default';
const metrics = createMetrics();

async function failure(promise: Promise<unknown>): Promise<KubeError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof KubeError, `expected a KubeError, got ${String(error)}`);
  return error;
}

const patch = (expected: string): unknown => [
  { op: 'test', path: '/data/b', value: expected },
  { op: 'replace', path: '/data/b', value: '2' },
];

const status = (ip: string): unknown => ({ loadBalancer: { ingress: [{ ip }] } });

describe('client, against a real API server', () => {
  let plane: ControlPlane;
  let client: KubeClient;

  before(async () => {
    plane = await startControlPlane();
    const path = plane.kubeconfigPath;
    client = KubeClient.fromKubeconfig({ path, userAgent: 'certbound-test', fieldManager: 'certbound', metrics });
  });

  after(async () => {
    await client?.close();
    await plane?.stop();
  });

  const make = (name: string, data: Record<string, string> = {}): Promise<KubernetesObject> =>
    client.create(configMaps, { metadata: { name, namespace }, data });

  test('what is not there reads as undefined, and its deletion is done', async () => {
    assert.equal(await client.get(configMaps, { namespace, name: 'absent' }), undefined);
    await client.delete(configMaps, { namespace, name: 'absent' });
  });

  test('create, get, update, delete', async () => {
    const created = await make('life', { a: '1' });
    assert.equal(created.metadata.managedFields?.[0]?.manager, 'certbound');
    const updated = await client.update(configMaps, { ...created, data: { a: '2' } });
    assert.notEqual(updated.metadata.resourceVersion, created.metadata.resourceVersion);
    const read = await client.get(configMaps, { namespace, name: 'life' });
    assert.deepEqual(read?.['data'], { a: '2' });
    await client.delete(configMaps, { namespace, name: 'life' });
    assert.equal(await client.get(configMaps, { namespace, name: 'life' }), undefined);
  });

  test('a name that is taken is AlreadyExists', async () => {
    await make('taken');
    const error = await failure(make('taken'));
    assert.deepEqual([error.status, error.reason, error.code], [409, 'AlreadyExists', 'KubernetesAlreadyExists']);
    assert.match(error.message, /create configmaps default\/taken: .*already exists/);
    assert.deepEqual(error.retry, { class: 'backoff', longestMs: 15_000 });
  });

  test('an update without resourceVersion is refused before it is sent', async () => {
    await make('unfenced', { a: '1' });
    const unfenced = { metadata: { name: 'unfenced', namespace }, data: { a: '2' } };
    await assert.rejects(client.update(configMaps, unfenced), TypeError);
    assert.deepEqual((await client.get(configMaps, { namespace, name: 'unfenced' }))?.['data'], { a: '1' });
  });

  test('an update of an outdated read is a conflict and changes nothing', async () => {
    const stale = await make('stale', { a: '1' });
    await client.update(configMaps, { ...stale, data: { a: '2' } });
    const error = await failure(client.update(configMaps, { ...stale, data: { a: '3' } }));
    assert.deepEqual([error.status, error.reason], [409, 'Conflict']);
    assert.deepEqual((await client.get(configMaps, { namespace, name: 'stale' }))?.['data'], { a: '2' });
  });

  test('a delete holds its preconditions', async () => {
    const { metadata } = await make('guarded');
    const ref = { namespace, name: 'guarded' };
    const error = await failure(client.delete(configMaps, ref, { uid: '00000000-0000-0000-0000-000000000000' }));
    assert.deepEqual([error.status, error.reason], [409, 'Conflict']);
    assert.ok(metadata.uid !== undefined && metadata.resourceVersion !== undefined);
    await client.delete(configMaps, ref, { uid: metadata.uid, resourceVersion: metadata.resourceVersion });
    assert.equal(await client.get(configMaps, ref), undefined);
  });

  test('a call without a name never addresses the collection', async () => {
    await make('bystander');
    await assert.rejects(client.delete(configMaps, { namespace, name: '' }), TypeError);
    await assert.rejects(client.delete(configMaps, { name: 'bystander' }), TypeError);
    assert.notEqual(await client.get(configMaps, { namespace, name: 'bystander' }), undefined);
  });

  test('a server-side apply conflict names the other manager, and force is needed to win', async () => {
    const desired = (value: string): KubernetesObject => ({
      metadata: { name: 'ssa', namespace },
      data: { key: value },
    });
    await client.apply(configMaps, desired('theirs'), { fieldManager: 'argocd-controller' });
    const error = await failure(client.apply(configMaps, desired('ours'), { fieldManager: 'certbound' }));
    assert.deepEqual([error.status, error.reason], [409, 'Conflict']);
    assert.deepEqual(error.conflictingManagers, ['argocd-controller']);
    assert.equal(error.causes[0]?.field, '.data.key');
    assert.deepEqual((await client.get(configMaps, { namespace, name: 'ssa' }))?.['data'], { key: 'theirs' });
    await client.apply(configMaps, desired('ours'), { fieldManager: 'certbound', force: true });
    assert.deepEqual((await client.get(configMaps, { namespace, name: 'ssa' }))?.['data'], { key: 'ours' });
  });

  test('server-side apply with the uid of a vanished Ingress is a conflict and creates nothing', async () => {
    const name = 'vanishing';
    const spec = { defaultBackend: { service: { name: 'web', port: { number: 80 } } } };
    const { metadata } = await client.create(ingresses, { metadata: { name, namespace }, spec });
    await client.delete(ingresses, { namespace, name });
    const annotations = { 'certbound.dev/mode': 'manage' };
    const apply = client.apply(
      ingresses,
      { metadata: { name, namespace, uid: metadata.uid ?? '', annotations } },
      { fieldManager: 'certbound' },
    );
    const error = await failure(apply);
    assert.deepEqual([error.status, error.reason], [409, 'Conflict']);
    assert.equal(await client.get(ingresses, { namespace, name }), undefined);
  });

  test('merge and JSON patches, and a JSON patch whose test fails', async () => {
    const ref = { namespace, name: 'patched' };
    await make('patched', { a: '1', b: '1' });
    await client.patch(configMaps, ref, { data: { a: null } }, { type: 'merge' });
    assert.equal((await failure(client.patch(configMaps, ref, patch('9'), { type: 'json' }))).status, 422);
    const patched = await client.patch(configMaps, ref, patch('1'), { type: 'json' });
    assert.deepEqual(patched['data'], { b: '2' });
  });

  test('status is written by itself: update, apply', async () => {
    const name = 'statusful';
    const spec = { defaultBackend: { service: { name: 'web', port: { number: 80 } } } };
    const created = await client.create(ingresses, { metadata: { name, namespace }, spec });
    const updated = await client.updateStatus(ingresses, { ...created, spec: {}, status: status('10.0.0.1') });
    assert.deepEqual(updated['spec'], created['spec'], 'the status subresource does not touch spec');
    assert.deepEqual(updated['status'], status('10.0.0.1'));
    const stale = { ...created, status: status('10.0.0.2') };
    assert.equal((await failure(client.updateStatus(ingresses, stale))).reason, 'Conflict');
    const applied = await client.applyStatus(
      ingresses,
      { metadata: { name, namespace }, status: status('10.0.0.3') },
      { fieldManager: 'certbound', force: true },
    );
    assert.deepEqual(applied['status'], status('10.0.0.3'));
  });

  test('errors carry nothing of what was sent', async () => {
    const secret = Buffer.from('a very private key').toString('base64');
    const body = { metadata: { name: 'Not A Name', namespace }, data: { 'tls.key': secret } };
    const error = await failure(client.create(secrets, body));
    assert.equal(error.reason, 'Invalid');
    const printed = JSON.stringify([
      error,
      error.message,
      error.detail,
      error.stack,
      Object.entries(error),
      error.causes,
    ]);
    assert.ok(!printed.includes(secret));
    assert.ok(error.causes.some((cause) => cause.field === 'metadata.name'));
  });

  test('who may not gets Forbidden, with the reason of the API server', async () => {
    const path = await plane.userKubeconfig({ name: 'nobody-in-particular' });
    const other = KubeClient.fromKubeconfig({ path, userAgent: 'certbound-test', fieldManager: 'certbound' });
    const error = await failure(other.get(secrets, { namespace, name: 'x' }));
    assert.deepEqual([error.status, error.code], [403, 'KubernetesForbidden']);
    assert.match(error.message, /nobody-in-particular/);
    await other.close();
  });

  test('a token is sent, and one that was rotated in the kubeconfig is found after a 401', async () => {
    await client.create(
      { group: '', version: 'v1', plural: 'serviceaccounts', kind: 'ServiceAccount', namespaced: true },
      { metadata: { name: 'robot', namespace } },
    );
    const token = (await plane.kubectl('create', 'token', 'robot', '-n', namespace)).stdout.trim();
    assert.notEqual(token, '');
    const path = `${plane.dir}/token.kubeconfig`;
    const config = (value: string): string =>
      JSON.stringify({
        'current-context': 'c',
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
        clusters: [
          {
            name: 'c',
            cluster: { server: plane.url, 'certificate-authority-data': Buffer.from(plane.caPem).toString('base64') },
          },
        ],
        users: [{ name: 'u', user: { token: value } }],
      });
    await writeFile(path, config('expired'), { mode: 0o600 });
    const robot = KubeClient.fromKubeconfig({ path, userAgent: 'certbound-test', fieldManager: 'certbound' });
    assert.equal((await failure(robot.list(configMaps, { namespace }))).status, 401);
    await writeFile(path, config(token), { mode: 0o600 });
    assert.ok((await readFile(path, 'utf8')).includes(token));
    // Reading credentials again is paced: a 401 does not mean that there are new ones.
    let error: KubeError | undefined;
    for (let attempt = 0; attempt < 60; attempt++) {
      error = await failure(robot.list(configMaps, { namespace }));
      if (error.status !== 401) break;
      await delay(250);
    }
    assert.equal(error?.status, 403);
    assert.match(error?.message ?? '', /system:serviceaccount:default:robot/);
    await robot.close();
  });

  test('a token in a file beside the kubeconfig is sent, and read again after a 401, whichever way it is written', async () => {
    const account = { group: '', version: 'v1', plural: 'serviceaccounts', kind: 'ServiceAccount', namespaced: true };
    await client.create(account, { metadata: { name: 'filed', namespace } });
    const token = (await plane.kubectl('create', 'token', 'filed', '-n', namespace)).stdout.trim();
    const ca = Buffer.from(plane.caPem).toString('base64');
    const yaml = (user: string) =>
      `apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {name: c, context: {cluster: c, user: u}}\nclusters:\n` +
      `- name: c\n  cluster: {server: "${plane.url}", certificate-authority-data: ${ca}}\nusers:\n- name: u\n  ${user}\n`;
    const spellings = [
      'user: {tokenFile: filed.token}',
      `user:\n    tokenFile: ${plane.dir}/filed.token # mounted`,
      'user: {"tokenFile": "filed.token", "as": ""}',
      "user:\n    'tokenFile': 'filed.token'",
    ];
    for (const [count, spelling] of spellings.entries()) {
      const path = `${plane.dir}/filed-${count}.kubeconfig`;
      await writeFile(path, yaml(spelling), { mode: 0o600 });
      await writeFile(`${plane.dir}/filed.token`, 'expired', { mode: 0o600 });
      const robot = KubeClient.fromKubeconfig({ path, userAgent: 'certbound-test', fieldManager: 'certbound' });
      const ask = () => failure(robot.list(configMaps, { namespace }));
      assert.equal((await ask()).status, 401, spelling);
      await writeFile(`${plane.dir}/filed.token`, `${token}\n`, { mode: 0o600 });
      await waitFor(async () => /system:serviceaccount:default:filed/.test((await ask()).message));
      await robot.close();
    }
  });

  test('1,200 objects come in pages of 500 of one snapshot', async () => {
    await client.create(namespaces, { metadata: { name: 'many' } });
    const names = Array.from({ length: 1200 }, (_, i) => `page-${i}`);
    await Promise.all(names.map((name) => client.create(configMaps, { metadata: { name, namespace: 'many' } })));
    const sizes: number[] = [];
    const seen = new Set<string>();
    const versions = new Set<string>();
    let next: string | undefined;
    do {
      const page = await client.list(configMaps, { namespace: 'many', limit: 500, continue: next });
      sizes.push(page.items.length);
      versions.add(page.resourceVersion);
      for (const item of page.items) {
        seen.add(item.metadata.name);
        assert.equal(item.kind, 'ConfigMap');
        assert.equal(item.apiVersion, 'v1');
      }
      next = page.continue;
    } while (next !== undefined);
    assert.deepEqual(sizes, [500, 500, 200]);
    assert.equal(seen.size, 1200);
    assert.equal(versions.size, 1);
  });

  test('a watch tells events of 900 kB whole, and ends quietly with its signal', async () => {
    const { resourceVersion } = await client.list(configMaps, { namespace });
    const abort = new AbortController();
    const events: WatchEvent[] = [];
    const watching = (async () => {
      const query = { namespace, resourceVersion, timeoutSeconds: 60, allowWatchBookmarks: true } as const;
      for await (const event of client.watch(configMaps, query, { signal: abort.signal, inactivityMs: 60_000 })) {
        events.push(event);
        if (events.length === 6) abort.abort();
      }
    })();
    const blob = 'é€😀'.repeat(100_000);
    const names = ['large-0', 'large-1', 'large-2', 'large-3', 'large-4', 'large-5'];
    for (const name of names) await make(name, { blob });
    await watching;
    assert.deepEqual(
      events.map((event) => ('object' in event ? event.object.metadata.name : event.type)),
      names,
    );
    for (const event of events) assert.deepEqual('object' in event ? event.object['data'] : undefined, { blob });
  });

  test('a cancelled call says so', async () => {
    const error = await failure(client.list(configMaps, {}, { signal: AbortSignal.abort() }));
    assert.equal(error.reason, 'Cancelled');
  });

  test('requests are counted by code and method', async () => {
    const text = await metrics.registry.metrics();
    assert.match(text, /rest_client_requests_total\{method="POST",host="127\.0\.0\.1:\d+",code="201"\} \d+/);
    assert.match(text, /rest_client_requests_total\{method="PATCH",host="127\.0\.0\.1:\d+",code="409"\} \d+/);
  });

  test('500 creates side by side take a handful of connections', async (t) => {
    await client.create(namespaces, { metadata: { name: 'speed' } });
    const started = performance.now();
    const names = Array.from({ length: 500 }, (_, i) => `speed-${i}`);
    await Promise.all(names.map((name) => client.create(configMaps, { metadata: { name, namespace: 'speed' } })));
    const seconds = (performance.now() - started) / 1000;
    t.diagnostic(`${Math.round(500 / seconds)} creates/s`);
    const { items } = await client.list(configMaps, { namespace: 'speed' });
    assert.equal(items.length, 500);
  });

  test('an API server that is away is Unavailable, then works again', async () => {
    await plane.stopApiServer();
    const error = await failure(client.get(configMaps, { namespace, name: 'taken' }));
    assert.deepEqual([error.status, error.reason], [0, 'Unavailable']);
    await plane.startApiServer();
    assert.notEqual(await client.get(configMaps, { namespace, name: 'taken' }), undefined);
  });

  test('a watch from a version older than the API server remembers is an ERROR event that says Expired', async () => {
    const abort = new AbortController();
    const query = { namespace, resourceVersion: '1', timeoutSeconds: 5, allowWatchBookmarks: true } as const;
    const seen: WatchEvent[] = [];
    for await (const event of client.watch(configMaps, query, { signal: abort.signal, inactivityMs: 10_000 }))
      seen.push(event);
    const [first] = seen;
    assert.ok(first?.type === 'ERROR');
    assert.equal(first.error.status, 410);
  });
});

test('a kubeconfig that is absent or broken is an error that says so', () => {
  const options = { path: '/nonexistent/kubeconfig', userAgent: 'x', fieldManager: 'x' };
  assert.throws(
    () => KubeClient.fromKubeconfig(options),
    (error) => error instanceof OperatorError && error.code === 'KubeconfigUnreadable',
  );
});

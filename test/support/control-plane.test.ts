import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { binaries } from './binaries.ts';
import { type ControlPlane, startControlPlane } from './control-plane.ts';

const uidSchema = z.object({ metadata: z.object({ uid: z.string() }) });

const WIDGETS = {
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: 'widgets.test.certbound.dev' },
  spec: {
    group: 'test.certbound.dev',
    scope: 'Namespaced',
    names: { kind: 'Widget', plural: 'widgets', singular: 'widget' },
    versions: [{ name: 'v1', served: true, storage: true, schema: { openAPIV3Schema: { type: 'object' } } }],
  },
};

async function eventually(what: string, holds: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `not within 60 s: ${what}`);
    await sleep(100);
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

async function exists(plane: ControlPlane, ...what: string[]): Promise<boolean> {
  const { code, stderr } = await plane.kubectl('get', ...what);
  if (code !== 0) assert.match(stderr, /NotFound/);
  return code === 0;
}

describe('two control planes side by side', () => {
  let folder: string;
  let managed: ControlPlane;
  let plain: ControlPlane;

  before(async () => {
    await binaries(['etcd', 'kube-apiserver', 'kube-controller-manager', 'kubectl']);
    folder = await mkdtemp(join(tmpdir(), 'certbound-test-'));
    const crd = join(folder, 'crd.json');
    await writeFile(crd, JSON.stringify(WIDGETS));
    [managed, plain] = await Promise.all([
      startControlPlane({ controllerManager: true, crds: [crd] }),
      startControlPlane(),
    ]);
  });
  after(async () => {
    await Promise.all([managed.stop(), plain.stop()]);
    await rm(folder, { recursive: true, force: true });
  });

  /** Applies one object as admin and returns its UID. */
  async function create(plane: ControlPlane, object: object): Promise<string> {
    const file = join(folder, 'object.json');
    await writeFile(file, JSON.stringify(object));
    const { code, stdout, stderr } = await plane.kubectl('create', '-f', file, '-o', 'json');
    assert.equal(code, 0, stderr);
    return uidSchema.parse(JSON.parse(stdout)).metadata.uid;
  }

  it('says the version that is pinned, on the server and in the client', async () => {
    const { stdout } = await plain.kubectl('version', '-o', 'json');
    const version = z.object({ gitVersion: z.string().regex(/^v1\.36\.\d+$/) });
    z.object({ serverVersion: version, clientVersion: version }).parse(JSON.parse(stdout));
  });

  it('shares nothing between them', async () => {
    await create(managed, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'only-here' } });
    assert.equal(await exists(managed, 'namespace', 'only-here'), true);
    assert.equal(await exists(plain, 'namespace', 'only-here'), false);
    const stranger = await plain.kubectl(
      '--kubeconfig',
      plain.kubeconfigPath,
      '--server',
      managed.url,
      'get',
      'namespaces',
    );
    assert.notEqual(stranger.code, 0, 'one plane must not accept the certificates of the other');
  });

  it('collects a dependant whose owner is gone, and empties a deleted namespace', async () => {
    await create(managed, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'owners' } });
    const configMap = { apiVersion: 'v1', kind: 'ConfigMap' };
    const widget = { apiVersion: 'test.certbound.dev/v1', kind: 'Widget' };
    const uid = await create(managed, { ...widget, metadata: { namespace: 'owners', name: 'owner' } });
    const ownerReferences = [{ ...widget, name: 'owner', uid }];
    await create(managed, { ...configMap, metadata: { namespace: 'owners', name: 'dependant', ownerReferences } });
    await create(managed, { ...configMap, metadata: { namespace: 'owners', name: 'bystander' } });

    assert.equal((await managed.kubectl('delete', 'widget', '-n', 'owners', 'owner')).code, 0);
    const gone = async () => !(await exists(managed, 'configmap', '-n', 'owners', 'dependant'));
    await eventually('the dependant is collected', gone);
    assert.equal(await exists(managed, 'configmap', '-n', 'owners', 'bystander'), true);

    assert.equal((await managed.kubectl('delete', 'namespace', 'owners', '--wait=false')).code, 0);
    await eventually('the namespace is gone', async () => !(await exists(managed, 'namespace', 'owners')));
  });

  it('holds a user to RBAC, and counts what the user asked for in the audit log', async () => {
    const config = await plain.userKubeconfig({ name: 'jane, of "sales"', groups: ['readers'] });
    const ask = () =>
      plain.kubectl('--kubeconfig', config, 'get', '--raw', '/api/v1/namespaces/default/configmaps/none');
    assert.match((await ask()).stderr, /Forbidden|forbidden/);
    const role = ['create', 'role', 'reader', '-n', 'default', '--verb=get', '--resource=configmaps'];
    assert.equal((await plain.kubectl(...role)).code, 0);
    const grant = ['create', 'rolebinding', 'readers', '-n', 'default', '--role=reader', '--group=readers'];
    assert.equal((await plain.kubectl(...grant)).code, 0);
    // The authorizer learns of the binding by a watch.
    await eventually('the grant counts', async () => /NotFound|not found/.test((await ask()).stderr));

    const asked = async () => (await plain.auditEvents()).filter((event) => event.user === 'jane, of "sales"');
    const earlier = (await asked()).length;
    for (let i = 0; i < 3; i++) await ask();
    await eventually('three more requests are logged', async () => (await asked()).length >= earlier + 3);
    const events = await asked();
    assert.equal(events.length, earlier + 3);
    assert.equal(events[0]?.code, 403);
    const last = events.at(-1);
    assert.deepEqual(
      { ...last, requestURI: '', receivedAt: undefined, userAgent: last?.userAgent.slice(0, 8) },
      {
        stage: 'ResponseComplete',
        verb: 'get',
        apiGroup: '',
        resource: 'configmaps',
        subresource: '',
        namespace: 'default',
        name: 'none',
        user: 'jane, of "sales"',
        groups: ['readers', 'system:authenticated'],
        userAgent: 'kubectl/',
        code: 404,
        requestURI: '',
        receivedAt: undefined,
      },
    );
  });

  it('keeps its data while the API server restarts', async () => {
    await create(plain, { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'default', name: 'lasting' } });
    await plain.stopApiServer();
    assert.match((await plain.kubectl('get', 'configmaps')).stderr, /refused/);
    await plain.startApiServer();
    assert.equal(await exists(plain, 'configmap', '-n', 'default', 'lasting'), true);
  });

  it('leaves no process and no folder after stop', async () => {
    const plane = await startControlPlane();
    const pids = plane.pids();
    assert.equal(pids.length, 2);
    assert.deepEqual(pids.map(isRunning), [true, true]);
    await plane.stop();
    assert.deepEqual(pids.map(isRunning), [false, false]);
    assert.equal(existsSync(plane.dir), false);
  });
});

describe('a control plane whose starter ends', () => {
  const announced = z.object({ pids: z.array(z.int().positive()).length(2), dir: z.string() });

  /** A process of its own that starts a plane, says so, and waits. */
  async function starter(keep: boolean): Promise<{ end: () => Promise<void> } & z.infer<typeof announced>> {
    const script = `
      const { startControlPlane } = await import(${JSON.stringify(import.meta.resolve('./control-plane.ts'))});
      const plane = await startControlPlane({ keep: ${keep} });
      console.log(JSON.stringify({ pids: plane.pids(), dir: plane.dir }));
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    const [line] = await Promise.race([once(child.stdout, 'data'), exited]);
    const end = async () => {
      child.kill('SIGTERM');
      assert.deepEqual(await exited, [null, 'SIGTERM'], 'the signal ends it as it would have without a control plane');
    };
    return { ...announced.parse(JSON.parse(String(line))), end };
  }

  it('ends with it, by SIGTERM too', async () => {
    const { pids, dir, end } = await starter(false);
    await end();
    await eventually('its processes are gone', () => !pids.some(isRunning));
    assert.equal(existsSync(dir), false);
  });

  it('lives on where it is kept', async () => {
    const { pids, dir, end } = await starter(true);
    await end();
    assert.deepEqual(pids.map(isRunning), [true, true]);
    assert.equal(existsSync(join(dir, 'admin.kubeconfig')), true);
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await eventually('its processes are gone', () => !pids.some(isRunning));
    await rm(dir, { recursive: true, force: true });
  });
});

/** The image, built from the Dockerfile: what is in it, and that it does its work in a Pod of the chart. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstat, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { KubernetesObject, Resource } from '../../src/kube/resource.ts';
import { call } from '../support/https-call.ts';
import { apply, documents } from '../support/cluster-objects.ts';
import { rendered, RELEASE } from '../support/chart.ts';
import { createContainer, podSpec, type Container } from '../support/container.ts';
import { buildImage, whyNoImage, type BuiltImage } from '../support/image.ts';
import { CLUSTER_ID, startInstallation, type Installation } from '../support/installation.ts';
import { boundTo, TestClient } from '../support/oauth-client.ts';
import { requestToken, SERVICE_ACCOUNT_USER } from '../support/operator-rights.ts';
import { startOperator, type OperatorProcess } from '../support/operator.ts';
import { ProjectedVolume } from '../support/projected-volume.ts';
import { waitFor } from '../support/wait-for.ts';

const root = resolve(import.meta.dirname, '../..');
const EPOCH = 1_700_000_000;
const architecture = process.arch === 'x64' ? 'x86_64' : 'aarch64';
const loader = process.arch === 'x64' ? 'lib64/ld-linux-x86-64.so.2' : 'lib/ld-linux-aarch64.so.1';
const pods: Resource = { group: '', version: 'v1', plural: 'pods', kind: 'Pod', namespaced: true };

const FILES = [
  'etc/debian_version',
  'etc/group',
  'etc/nsswitch.conf',
  'etc/os-release',
  'etc/passwd',
  ...['libc.so.6', 'libdl.so.2', 'libgcc_s.so.1', 'libm.so.6', 'libpthread.so.0', 'libstdc++.so.6'].map(
    (name) => `lib/${architecture}-linux-gnu/${name}`,
  ),
  loader,
  ...['LICENSE', 'THIRD-PARTY-NOTICES.txt', 'sbom.cdx.json'].map((name) => `opt/certbound/${name}`),
  ...['', '.LEGAL.txt', '.map'].map((suffix) => `opt/certbound/certbound.mjs${suffix}`),
  'usr/bin/node',
  ...['libc6', 'libgcc-s1', 'libstdc++6'].map((name) => `usr/share/doc/${name}/copyright`),
  'usr/share/doc/node/LICENSE',
  ...['libc6', 'libgcc-s1', 'libstdc++6'].map((name) => `var/lib/dpkg/status.d/${name}`),
].toSorted();

const deployment = z.object({
  spec: z.object({ template: z.object({ metadata: z.looseObject({}), spec: z.looseObject({}) }) }),
});
const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex');

const why = await whyNoImage();

describe('the image', { skip: why ?? false }, () => {
  let image: BuiltImage;
  const read = (path: string) => readFile(join(image.root, path));

  before(async () => {
    image = await buildImage({ SOURCE_DATE_EPOCH: String(EPOCH), REVISION: 'a'.repeat(40) });
  });
  after(() => image?.remove());

  describe('holds', () => {
    /** Paths below its root. */
    let entries: string[];

    before(async () => {
      entries = (await readdir(image.root, { recursive: true })).toSorted();
    });

    it('Node, the libraries that it is linked with, the operator, and what tells of them', async () => {
      const isFile = async (path: string) => !(await lstat(join(image.root, path))).isDirectory();
      const files = (await Promise.all(entries.map(async (path) => ((await isFile(path)) ? [path] : [])))).flat();
      assert.deepEqual(files, FILES);
    });

    it('nothing that somebody but root may write, nothing that runs as its owner, no other time than asked for', async () => {
      for (const path of entries) {
        const { mode, uid, gid, mtimeMs } = await lstat(join(image.root, path));
        assert.deepEqual({ path, uid, gid, mtimeMs }, { path, uid: 0, gid: 0, mtimeMs: EPOCH * 1000 });
        assert.equal(mode & 0o7022, 0, `${path}: ${mode.toString(8)}`);
      }
    });

    it('nothing of what the build needed to reach the registry', async () => {
      for (const path of FILES) assert.ok(!(await read(path)).includes(image.canary), path);
      assert.ok(!image.metadata.includes(image.canary));
    });

    it('the Node of package-lock.json, and the bundle that is built here', async () => {
      const node = resolve(root, 'node_modules', `node-linux-${process.arch}`, 'bin/node');
      assert.equal(sha256(await read('usr/bin/node')), sha256(await readFile(node)));
      const folder = await mkdtemp(join(tmpdir(), 'certbound-bundle-'));
      try {
        await promisify(execFile)(node, [resolve(root, 'hack/bundle.ts'), join(folder, 'certbound.mjs')]);
        const here = await readFile(join(folder, 'certbound.mjs'));
        assert.equal(sha256(await read('opt/certbound/certbound.mjs')), sha256(here));
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    });

    it('its libraries under the names by which scanners know them', async () => {
      for (const name of ['libc6', 'libgcc-s1', 'libstdc++6']) {
        const status = (await read(`var/lib/dpkg/status.d/${name}`)).toString();
        assert.ok(status.startsWith(`Package: ${name}\n`), status);
        assert.match(status, /^Version: \d/m);
      }
    });

    it('a description of itself', async () => {
      const { version } = z
        .object({ version: z.string() })
        .parse(JSON.parse(await readFile(resolve(root, 'package.json'), 'utf8')));
      const { Labels: labels, User: user, Env: environment } = image.config;
      assert.equal(user, '65532:65532');
      assert.deepEqual(
        environment.map((each) => each.split('=')[0]),
        ['PATH'],
      );
      assert.equal(labels['org.opencontainers.image.version'], version);
      assert.equal(labels['org.opencontainers.image.revision'], 'a'.repeat(40));
      assert.equal(labels['org.opencontainers.image.licenses'], 'Apache-2.0');
    });
  });

  describe('in a Pod of the chart', () => {
    let world: Installation;
    let folder: string;
    let container: Container;
    let operator: OperatorProcess;
    let volume: ProjectedVolume;
    let token: string;
    let template: z.infer<typeof deployment>['spec']['template'];

    /** Of its first process, as /proc has it. */
    const statusOf = async () => {
      const text = await readFile(`/proc/${await container.pid()}/status`, 'utf8');
      return Object.fromEntries(text.split('\n').map((line) => [line.split(':')[0], line.split(':')[1]?.trim()]));
    };
    const client = (name: string) => new TestClient(world, { namespace: 'payments', name });
    const createPod = (name: string) =>
      world.kube.create(pods, {
        apiVersion: 'v1',
        kind: pods.kind,
        ...template,
        metadata: { ...template.metadata, namespace: RELEASE.namespace, name },
      });
    const tokenOf = ({ metadata: { name, uid } }: KubernetesObject) =>
      requestToken(world.plane, { kind: 'Pod', name, uid: z.string().parse(uid) });
    const projected = (value: string) => ({
      token: value,
      'ca.crt': world.plane.caPem,
      namespace: RELEASE.namespace,
    });

    before(async () => {
      world = await startInstallation();
      folder = await mkdtemp(join(tmpdir(), 'certbound-pod-'));
      const objects = await rendered({ clusterId: CLUSTER_ID });
      template = deployment.parse(objects.find(({ kind }) => kind === 'Deployment')).spec.template;
      token = await tokenOf(await createPod('certbound-0'));
      const spec = podSpec.parse(template.spec);
      volume = new ProjectedVolume(join(folder, 'service-account'), spec.securityContext.fsGroup);
      await volume.write(projected(token));
      const ingresses = await documents(resolve(root, 'examples/ingresses.yaml'));
      await apply(world.kube, ...(await world.platform()), ...ingresses);
      operator = await startOperator({
        clusterId: CLUSTER_ID,
        logFile: join(folder, 'operator.log'),
        // As the chart has it.
        environment: { CERTBOUND_LEADER_ELECTION: 'true' },
        async command(configuration) {
          const { hostname: host, port } = new URL(world.plane.url);
          const kubernetes = { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port };
          container = await createContainer({
            image,
            pod: spec,
            podName: 'certbound-0',
            environment: { ...configuration, ...kubernetes },
            serviceAccount: volume.path,
            folder: join(folder, 'container'),
          });
          return container.command;
        },
      });
    });
    after(async () => {
      await operator?.stop();
      await container?.remove();
      await world?.stop();
      await rm(folder, { recursive: true, force: true });
    });

    it('is the first process, as nobody, with no right on the machine, and writes nowhere', async () => {
      const status = await statusOf();
      assert.match(status['NSpid'] ?? '', /\t1$/);
      assert.match(status['Uid'] ?? '', /^(65532\s*){4}$/);
      assert.match(status['Gid'] ?? '', /^(65532\s*){4}$/);
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) assert.match(status[set] ?? '', /^0+$/);
      assert.equal(status['NoNewPrivs'], '1');
      const mounts = (await readFile(`/proc/${await container.pid()}/mountinfo`, 'utf8')).trimEnd().split('\n');
      // proc(5): the fifth field is where, the sixth the options.
      const options = mounts.map((line) => [line.split(' ')[4], line.split(' ')[5]?.split(',')] as const);
      for (const where of ['/', '/sys', '/var/run/secrets/kubernetes.io/serviceaccount']) {
        assert.ok(options.find(([path]) => path === where)?.[1]?.includes('ro'), where);
      }
    });

    it('takes an OAuthClient to Ready as the ServiceAccount of its token file', async (t) => {
      t.diagnostic(`resident without a client: ${(await statusOf())['VmRSS']}`);
      await client('first').apply();
      await client('first').ready();
      const credentials = await client('first').credentials();
      assert.equal(await boundTo(credentials), credentials.x5tS256);
      const ours = (await world.plane.auditEvents()).filter(({ userAgent }) => userAgent.startsWith('certbound/'));
      assert.deepEqual([...new Set(ours.map(({ user }) => user))], [SERVICE_ACCOUNT_USER]);
      t.diagnostic(`resident with one: ${(await statusOf())['VmRSS']}`);
    });

    it('goes on with the token of the file when it is another, though the one before is refused', async () => {
      await volume.write(projected(await tokenOf(await createPod('certbound-1'))));
      await world.kube.delete(pods, { namespace: RELEASE.namespace, name: 'certbound-0' });
      await waitFor(async () => {
        const answer = await call({
          url: `${world.plane.url.replace('127.0.0.1', 'localhost')}/api/v1/namespaces/${RELEASE.namespace}/secrets`,
          headers: { authorization: `Bearer ${token}` },
          ca: world.plane.caPem,
        });
        return answer.status === 401;
      }, 60_000);
      await client('second').apply();
      await client('second').ready();
      const credentials = await client('second').credentials();
      assert.equal(await boundTo(credentials), credentials.x5tS256);
    });

    it('opens no debugger for a signal', async () => {
      process.kill(await container.pid(), 'SIGUSR1');
      await client('third').apply();
      await client('third').ready();
      assert.doesNotMatch(await operator.log(), /debugger/i);
    });

    it('ends with 0 when the kubelet asks it to, and gives its Lease back', async () => {
      assert.equal(await operator.stop(), 0);
      assert.match(await operator.log(), /"signal":"SIGTERM"/);
      const { namespace } = RELEASE;
      const holder = '--output=jsonpath={.spec.holderIdentity}';
      const { stdout } = await world.plane.kubectl('get', 'lease', 'certbound', '--namespace', namespace, holder);
      assert.equal(stdout, '');
    });
  });
});

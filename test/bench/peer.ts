/** cert-manager on the same API server: certificates from a CA in a Secret, and no registration anywhere. */
import { join, resolve } from 'node:path';
import { readdir } from 'node:fs/promises';
import type { KubeClient } from '../../src/kube/client.ts';
import { Informer } from '../../src/kube/informer.ts';
import { customResourceDefinitions, type Resource } from '../../src/kube/resource.ts';
import { certManager } from '../support/binaries.ts';
import { startChild } from '../support/child.ts';
import { apply, documents, namespace, opaqueSecret } from '../support/cluster-objects.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import { cpuSeconds, rssMb } from './process-stats.ts';
import { inParallel, isReady, type BenchWorld } from './world.ts';

const NAMESPACE = 'peer';
const certManagerKind = (plural: string, kind: string): Resource => ({
  group: 'cert-manager.io',
  version: 'v1',
  plural,
  kind,
  namespaced: true,
});
const certificates = certManagerKind('certificates', 'Certificate');
const issuers = certManagerKind('issuers', 'Issuer');

export interface PeerResult {
  seconds: number;
  cpuSeconds: number;
  rssMb: number;
}

async function establish(kube: KubeClient, folder: string): Promise<void> {
  for (const file of (await readdir(folder)).filter((name) => name.endsWith('.yaml'))) {
    for (const object of await documents(join(folder, file))) {
      await kube.apply(customResourceDefinitions, object, { fieldManager: 'bench' });
    }
  }
  const served = (kind: Resource) =>
    kube.list(kind).then(
      () => true,
      () => false,
    );
  for (const kind of [certificates, issuers]) await waitFor(() => served(kind));
}

/** Until `count` Certificates, created with the same width as OAuthClients are, have Ready=True. */
export async function measureCertManager({ plane, kube }: BenchWorld, count: number): Promise<PeerResult> {
  const { command, crds } = await certManager();
  await establish(kube, crds);
  const ca = await createThrowawayCa('Peer CA');
  await apply(
    kube,
    namespace(NAMESPACE),
    namespace('cert-manager'),
    opaqueSecret(
      { namespace: NAMESPACE, name: 'ca' },
      { 'tls.crt': ca.certPem, 'tls.key': ca.keyPem },
      'kubernetes.io/tls',
    ),
  );
  await kube.create(issuers, {
    metadata: { namespace: NAMESPACE, name: 'ca' },
    spec: { ca: { secretName: 'ca' } },
  });
  const peer = await startChild({
    command,
    args: [],
    logFile: resolve(plane.dir, 'cert-manager.log'),
    env: { PATH: process.env['PATH'], HOME: plane.dir, KUBECONFIG: plane.kubeconfigPath },
  });
  const watching = new AbortController();
  try {
    const issuerReady = async () =>
      isReady(Object(Object(await kube.get(issuers, { namespace: NAMESPACE, name: 'ca' }))['status']));
    await waitFor(issuerReady, 60_000);
    const ready = new Set<string>();
    const all = Promise.withResolvers<void>();
    const informer = new Informer({
      client: kube,
      resource: certificates,
      project: (object) => ({ ready: isReady(Object(object['status'])) }),
    });
    informer.onChange(({ name, current }) => {
      if (current?.ready === true) ready.add(name);
      if (ready.size >= count) all.resolve();
    });
    informer.start(watching.signal);
    await informer.synced;
    const cpuBefore = await cpuSeconds(peer.pid);
    const started = performance.now();
    await inParallel(
      Array.from({ length: count }, (_, i) => `certificate-${i}`),
      32,
      (name) =>
        kube.create(certificates, {
          metadata: { namespace: NAMESPACE, name },
          spec: {
            secretName: name,
            commonName: name,
            privateKey: { algorithm: 'ECDSA', size: 256 },
            usages: ['client auth', 'digital signature'],
            issuerRef: { kind: 'Issuer', name: 'ca' },
          },
        }),
    );
    const gone = peer.exited.then(async () => {
      throw new Error(`cert-manager ended: ${await peer.tail()}`);
    });
    await Promise.race([all.promise, gone]);
    const seconds = (performance.now() - started) / 1000;
    return { seconds, cpuSeconds: (await cpuSeconds(peer.pid)) - cpuBefore, rssMb: await rssMb(peer.pid) };
  } finally {
    watching.abort();
    await peer.end();
  }
}

/** Contour and its Envoy, by HTTPProxies with what the driver renders for them. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { KubeClient } from '../../src/kube/client.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { contour as driver } from '../../src/terminator/contour.ts';
import { applied } from '../../src/terminator/settings.ts';
import { httpProxy, loopbackService } from '../servers/contour-hosts.ts';
import { apply, opaqueSecret } from '../support/cluster-objects.ts';
import { contourCrds, startContour } from '../support/contour.ts';
import { startControlPlane } from '../support/control-plane.ts';
import { slug } from './ingress-objects.ts';
import type { Product, ProductWorld, RunningProduct, ServedHost } from './product.ts';

const namespace = 'default';
const SERVICE = 'api';

interface Spec {
  virtualhost?: { tls?: object };
}

function objectsOf({ name, clientAuthentication }: ServedHost, port: number): KubernetesObject[] {
  const ref = { namespace, name: slug(name) };
  const proxy = httpProxy(ref, name, { name: SERVICE, port });
  if (clientAuthentication === undefined) return [proxy];
  const bundle = { namespace, name: `trust-${ref.name}` };
  const { mode, depth, ca } = clientAuthentication;
  const { settings } = driver.render({ bundle, frontend: { ...ref, settings: {} }, mode, depth });
  const [spec, wanted]: [Spec, Spec] = [Object(proxy['spec']), Object(applied(settings).spec)];
  const tls = { ...spec.virtualhost?.tls, ...wanted.virtualhost?.tls };
  return [
    opaqueSecret(bundle, { 'ca.crt': ca }),
    { ...proxy, spec: { ...spec, virtualhost: { ...spec.virtualhost, tls } } },
  ];
}

async function pinnedVersion(): Promise<string> {
  const goMod = await readFile(resolve(import.meta.dirname, '../../hack/tools/contour/go.mod'), 'utf8');
  return /projectcontour\/contour v(\d+\.\d+\.\d+)/.exec(goMod)?.[1] ?? '';
}

async function start(world: ProductWorld, parts: AsyncDisposableStack): Promise<RunningProduct> {
  const crds = [await contourCrds(), resolve(import.meta.dirname, '../../crds')];
  const plane = await startControlPlane({ crds });
  parts.defer(() => plane.stop());
  const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
  parts.defer(() => kube.close());
  const { certPem, keyPem } = world.pair;
  const tls = opaqueSecret({ namespace, name: 'tls' }, { 'tls.crt': certPem, 'tls.key': keyPem }, 'kubernetes.io/tls');
  await apply(kube, tls, loopbackService({ namespace, name: SERVICE }, world.backendPort));
  const serve = async (hosts: readonly ServedHost[]): Promise<void> => {
    await apply(kube, ...hosts.flatMap((host) => objectsOf(host, world.backendPort)));
  };
  await serve(world.hosts);
  const contour = await startContour({ kubeconfigPath: plane.kubeconfigPath });
  parts.defer(() => contour.stop());
  return {
    version: await pinnedVersion(),
    httpsPort: () => contour.httpsPort,
    httpPort: () => contour.httpPort,
    serve,
    stop: () => parts.disposeAsync(),
  };
}

export const contourProduct: Product = {
  name: 'contour',
  driver,
  async start(world) {
    const parts = new AsyncDisposableStack();
    try {
      return await start(world, parts);
    } catch (error) {
      await parts.disposeAsync();
      throw error;
    }
  },
};

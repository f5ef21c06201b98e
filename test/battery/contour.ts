/** Contour and its Envoy, by HTTPProxies with what the driver renders for them. */
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
const VERSION = '1.33.8';

interface Spec {
  virtualhost?: { tls?: object };
}

function objectsOf({ name, clientAuthentication }: ServedHost): KubernetesObject[] {
  const ref = { namespace, name: slug(name) };
  const proxy = httpProxy(ref, name, SERVICE);
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

async function start(world: ProductWorld, parts: AsyncDisposableStack): Promise<RunningProduct> {
  const crds = [await contourCrds(), resolve(import.meta.dirname, '../../crds')];
  const plane = await startControlPlane({ crds });
  parts.defer(() => plane.stop());
  const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
  parts.defer(() => kube.close());
  const { certPem, keyPem } = world.pair;
  const tls = opaqueSecret({ namespace, name: 'tls' }, { 'tls.crt': certPem, 'tls.key': keyPem }, 'kubernetes.io/tls');
  await apply(kube, tls, loopbackService({ namespace, name: SERVICE }, world.backendPort));
  const serve = (hosts: readonly ServedHost[]) => apply(kube, ...hosts.flatMap(objectsOf));
  await serve(world.hosts);
  const contour = await startContour({ kubeconfigPath: plane.kubeconfigPath });
  parts.defer(() => contour.stop());
  return {
    version: VERSION,
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

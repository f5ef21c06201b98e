/** Contour and its Envoy, by HTTPProxies with what the driver renders for them. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { contour as driver } from '../../src/terminator/drivers/contour.ts';
import { applied } from '../../src/terminator/frontends/settings.ts';
import { httpProxy } from '../servers/contour-hosts.ts';
import { apply } from '../support/cluster-objects.ts';
import { contourCrds, startContour } from '../support/contour.ts';
import { startOnCluster } from './cluster.ts';
import { NAMESPACE, serverSecret, SERVICE, service, slug, written } from './host-objects.ts';
import type { Product, ServedHost } from './product.ts';

interface Spec {
  virtualhost?: { tls?: object };
}

function objectsOf({ name: host, clientAuthentication }: ServedHost, port: number): KubernetesObject[] {
  const name = slug(host);
  const proxy = httpProxy({ namespace: NAMESPACE, name }, host, { name: SERVICE, port });
  const { settings, objects } = written(driver, name, clientAuthentication);
  const [spec, wanted]: [Spec, Spec] = [Object(proxy['spec']), Object(applied(settings).spec)];
  const tls = { ...spec.virtualhost?.tls, ...wanted.virtualhost?.tls };
  return [...objects, { ...proxy, spec: { ...spec, virtualhost: { ...spec.virtualhost, tls } } }];
}

async function pinnedVersion(): Promise<string> {
  const goMod = await readFile(resolve(import.meta.dirname, '../../hack/tools/contour/go.mod'), 'utf8');
  return /projectcontour\/contour v(\d+\.\d+\.\d+)/.exec(goMod)?.[1] ?? '';
}

export const contourProduct: Product = {
  name: 'contour',
  driver,
  start: async (world) =>
    startOnCluster([await contourCrds()], async ({ plane, kube, parts }) => {
      // Contour serves no ExternalName `localhost`.
      await apply(kube, serverSecret(world.pair), service(world, '127.0.0.1'));
      const serve = async (hosts: readonly ServedHost[]): Promise<void> => {
        await apply(kube, ...hosts.flatMap((host) => objectsOf(host, world.backendPort)));
      };
      await serve(world.hosts);
      const contour = await startContour({ kubeconfigPath: plane.kubeconfigPath });
      parts.defer(() => contour.stop());
      const { httpsPort, httpPort } = contour;
      return { version: await pinnedVersion(), httpsPort: () => httpsPort, httpPort: () => httpPort, serve };
    }),
};

/** Traefik itself, by Ingresses with what either of its drivers renders for them. */
import { nginx } from '../../src/terminator/drivers/nginx.ts';
import { traefik } from '../../src/terminator/drivers/traefik.ts';
import { apply } from '../support/cluster-objects.ts';
import { applyTraefikCrds, headersRemoved, startTraefik } from '../support/traefik.ts';
import { startOnCluster } from './cluster.ts';
import { CLASS, ingressesOf, NAMESPACE, serverSecret, service } from './host-objects.ts';
import type { Product, ServedHost } from './product.ts';

const providers = {
  traefik: { driver: traefik, provider: 'kubernetesIngress', controller: 'traefik.io/ingress-controller' },
  'traefik-nginx': { driver: nginx, provider: 'kubernetesIngressNGINX', controller: 'k8s.io/ingress-nginx' },
} as const;

const { middleware, flags: hardening } = headersRemoved(NAMESPACE);

/** @param hardened with the settings that docs/terminators.md asks of the platform */
export function traefikProduct(name: keyof typeof providers, hardened = false): Product {
  const { driver, provider, controller } = providers[name];
  return {
    name,
    driver,
    start: (world) =>
      startOnCluster([], async ({ plane, kube, parts }) => {
        await applyTraefikCrds(kube);
        const ingressClass = {
          apiVersion: 'networking.k8s.io/v1',
          kind: 'IngressClass',
          metadata: { name: CLASS },
          spec: { controller },
        };
        await apply(kube, ingressClass, middleware, serverSecret(world.pair), service(world, 'localhost'));
        const serve = async (hosts: readonly ServedHost[]): Promise<void> => {
          await apply(kube, ...ingressesOf(driver, hosts));
        };
        await serve(world.hosts);
        const flags = hardened ? hardening : [];
        const running = await startTraefik({
          kubeconfigPath: plane.kubeconfigPath,
          provider,
          ingressClass: CLASS,
          flags,
        });
        parts.defer(() => running.stop());
        const { httpsPort, httpPort, version } = running;
        return { version, httpsPort: () => httpsPort, httpPort: () => httpPort, serve };
      }),
  };
}

/** Traefik itself, by Ingresses with what either of its drivers renders for them. */
import { nginx } from '../../src/terminator/drivers/nginx.ts';
import { traefik } from '../../src/terminator/drivers/traefik.ts';
import { apply } from '../support/cluster-objects.ts';
import { applyTraefikCrds, startTraefik } from '../support/traefik.ts';
import { startOnCluster } from './cluster.ts';
import { CLASS, ingressesOf, NAMESPACE, serverSecret, service } from './host-objects.ts';
import type { Product, ServedHost } from './product.ts';

const providers = {
  traefik: { driver: traefik, provider: 'kubernetesIngress', controller: 'traefik.io/ingress-controller' },
  'traefik-nginx': { driver: nginx, provider: 'kubernetesIngressNGINX', controller: 'k8s.io/ingress-nginx' },
} as const;

/** Clients' own headers are blanked before any router, whose own middlewares write them. */
const blanks = {
  apiVersion: 'traefik.io/v1alpha1',
  kind: 'Middleware',
  metadata: { namespace: NAMESPACE, name: 'blanks' },
  spec: {
    headers: {
      customRequestHeaders: Object.fromEntries(
        ['cert', 'verify', 'subject-dn', 'issuer-dn'].map((name) => [`ssl-client-${name}`, '']),
      ),
    },
  },
};

const hardening = ['web', 'websecure'].flatMap((entryPoint) => [
  `--entryPoints.${entryPoint}.http.middlewares=${NAMESPACE}-${blanks.metadata.name}@kubernetescrd`,
  `--entryPoints.${entryPoint}.http.underscoreHeadersStrategy=reject`,
]);

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
        await apply(kube, ingressClass, blanks, serverSecret(world.pair), service(world, 'localhost'));
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

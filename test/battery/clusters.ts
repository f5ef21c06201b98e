/** Products that watch a real API server, by what the other tests start of them. */
import { envoyGateway } from '../../src/terminator/envoy-gateway.ts';
import { nginx } from '../../src/terminator/nginx.ts';
import { traefik } from '../../src/terminator/traefik.ts';
import { startGatewayHosts } from '../support/gateway-hosts.ts';
import { startTraefikHosts } from '../support/traefik-hosts.ts';
import type { Product } from './product.ts';

/** @param flags more of its static configuration */
export function traefikProduct(name: 'traefik' | 'traefik-nginx', flags: readonly string[] = []): Product {
  const own = name === 'traefik';
  const provider = own ? 'kubernetesIngress' : 'kubernetesIngressNGINX';
  return {
    name,
    driver: own ? traefik : nginx,
    async start(world) {
      const { httpsPort, httpPort, ...running } = await startTraefikHosts({ ...world, provider, flags });
      return { ...running, httpsPort: () => httpsPort, httpPort: () => httpPort };
    },
  };
}

export const envoyGatewayProduct: Product = {
  name: 'envoy-gateway',
  driver: envoyGateway,
  start: (world) => startGatewayHosts(world),
};

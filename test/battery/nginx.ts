/** nginx with what ingress-nginx renders for Ingresses that are annotated by the driver. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { nginx as driver } from '../../src/terminator/nginx.ts';
import { startIngressController } from '../support/ingress-controller.ts';
import { objectList } from '../support/ingress-objects.ts';
import { findNginx } from '../support/nginx-binary.ts';
import { ingressObjects } from './ingress-objects.ts';
import type { Product } from './product.ts';

async function versionOf(binary: string): Promise<string> {
  const { stderr } = await promisify(execFile)(binary, ['-v']);
  return /nginx\/([\d.]+)/.exec(stderr)?.[1] ?? '';
}

export interface NginxSettings {
  /** The controller's ConfigMap of `proxy-set-headers`. */
  proxySetHeaders?: Readonly<Record<string, string>>;
  /** The controller's `ssl-reject-handshake`. */
  rejectHandshake?: boolean;
}

/** With the controller's own defaults, where nothing else is said. */
export function nginxProduct(settings: NginxSettings = {}): Product {
  return {
    name: 'nginx',
    driver,
    async start(world) {
      const binary = await findNginx({ install: true });
      if (binary === undefined)
        throw new Error('nginx is missing: install it, for example with apt-get install nginx-light');
      const source = objectList(ingressObjects(driver, world, world.hosts, 'nginx'));
      const controller = await startIngressController({
        source,
        terminator: 'nginx',
        rejectHandshake: settings.rejectHandshake ?? false,
        ...(settings.proxySetHeaders && { proxySetHeaders: settings.proxySetHeaders }),
      });
      return {
        version: await versionOf(binary),
        httpsPort: () => controller.httpsPort,
        httpPort: () => controller.httpPort,
        async serve(hosts) {
          source.set(ingressObjects(driver, world, hosts, 'nginx'));
          await controller.settled();
        },
        stop: () => controller.stop(),
      };
    },
  };
}

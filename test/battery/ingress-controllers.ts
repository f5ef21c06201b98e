/** nginx and HAProxy with what ingress-nginx and haproxy-ingress render for Ingresses that are annotated by the drivers. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { haproxy as haproxyDriver } from '../../src/terminator/drivers/haproxy.ts';
import { nginx as nginxDriver } from '../../src/terminator/drivers/nginx.ts';
import { findHaproxy } from '../support/haproxy.ts';
import { type IngressControllerOptions, startIngressController } from '../support/ingress-controller.ts';
import { objectList } from '../support/ingress-objects.ts';
import { findNginx } from '../support/nginx-binary.ts';
import { CLASS, ingressesOf, serverSecret, service } from './host-objects.ts';
import type { Product, ProductWorld, RunningProduct, ServedHost } from './product.ts';

type Binary = Pick<Product, 'name' | 'driver'> & { find: () => Promise<string | undefined> };

async function versionOf(binary: string): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(binary, ['-v']);
  return /(?:nginx\/|version )(\d+\.\d+\.\d+)/.exec(stdout + stderr)?.[1] ?? '';
}

async function start(
  { find, driver, name }: Binary,
  world: ProductWorld,
  options: Omit<IngressControllerOptions, 'source'>,
): Promise<RunningProduct> {
  const binary = await find();
  if (binary === undefined) throw new Error(`${name} is missing: install it from Debian`);
  const objects = (hosts: readonly ServedHost[]) => [
    serverSecret(world.pair),
    service(world, 'localhost'),
    ...ingressesOf(driver, hosts),
  ];
  const source = objectList(objects(world.hosts));
  const controller = await startIngressController({ ...options, source, ingressClass: CLASS });
  return {
    version: `${name === 'nginx' ? 'nginx' : 'HAProxy'} ${await versionOf(binary)}`,
    httpsPort: () => controller.httpsPort,
    httpPort: () => controller.httpPort,
    async serve(hosts) {
      source.set(objects(hosts));
      await controller.settled();
    },
    stop: () => controller.stop(),
  };
}

/** The controller's own defaults, where its ConfigMap says nothing else. */
export function nginxProduct(
  settings: Pick<IngressControllerOptions, 'proxySetHeaders' | 'rejectHandshake' | 'sessionCache'> = {},
): Product {
  const binary: Binary = { name: 'nginx', driver: nginxDriver, find: () => findNginx({ install: true }) };
  return {
    ...binary,
    start: (world) => start(binary, world, { terminator: 'nginx', rejectHandshake: false, ...settings }),
  };
}

export function haproxyProduct(
  settings: Pick<IngressControllerOptions, 'configGlobal' | 'configDefaults'> = {},
): Product {
  const binary: Binary = { name: 'haproxy', driver: haproxyDriver, find: findHaproxy };
  return {
    ...binary,
    start: (world) => start(binary, world, { terminator: 'haproxy', dialect: 'haproxy-ingress', ...settings }),
  };
}

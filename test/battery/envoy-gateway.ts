/** Envoy Gateway and its Envoys: a Gateway for each way to ask for certificates, with what the driver renders for it. */
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { envoyGateway as driver } from '../../src/terminator/drivers/envoy-gateway.ts';
import { applied, canonicalJson } from '../../src/terminator/frontends/settings.ts';
import { apply } from '../support/cluster-objects.ts';
import { applyGatewayCrds, startEnvoyGateway } from '../support/envoy-gateway.ts';
import { freePort } from '../support/free-port.ts';
import { gateway, httpRoute, localBackend } from '../support/gateway-objects.ts';
import { startOnCluster } from './cluster.ts';
import { NAMESPACE, serverSecret, SERVICE, written } from './host-objects.ts';
import type { Product, ServedHost } from './product.ts';

interface Group {
  name: string;
  hosts: string[];
  ports: { httpsPort: number; httpPort: number };
}

const asked = ({ clientAuthentication }: ServedHost): string => canonicalJson(clientAuthentication ?? {});

async function grouped(hosts: readonly ServedHost[]): Promise<Group[]> {
  const groups: Group[] = [];
  for (const key of new Set(hosts.map(asked))) {
    groups.push({
      name: `hosts-${groups.length}`,
      hosts: hosts.filter((host) => asked(host) === key).map(({ name }) => name),
      ports: { httpsPort: await freePort(), httpPort: await freePort() },
    });
  }
  return groups;
}

function objectsOf({ name, hosts, ports }: Group, { clientAuthentication }: ServedHost): KubernetesObject[] {
  const ref = { namespace: NAMESPACE, name };
  const plain = gateway(ref, hosts, ports);
  const { settings, objects } = written(driver, name, clientAuthentication);
  const spec = { ...Object(plain['spec']), ...applied(settings).spec };
  return [...objects, { ...plain, spec }, httpRoute(ref, hosts, SERVICE)];
}

const covers = (served: string, host: string): boolean =>
  served === host || (served.startsWith('*.') && host.endsWith(served.slice(1)));

export const envoyGatewayProduct: Product = {
  name: 'envoy-gateway',
  driver,
  start: (world) =>
    startOnCluster([], async ({ plane, kube, parts }) => {
      await applyGatewayCrds(kube);
      const running = await startEnvoyGateway(plane, kube);
      parts.defer(() => running.stop());
      await apply(
        kube,
        serverSecret(world.pair),
        localBackend({ namespace: NAMESPACE, name: SERVICE }, world.backendPort),
      );
      const groups = await grouped(world.hosts);
      const portsOf = (host: string): Group['ports'] | undefined => {
        const of = (named: (served: string) => boolean) => groups.find(({ hosts }) => hosts.some(named))?.ports;
        return of((served) => served === host) ?? of((served) => covers(served, host));
      };
      /** A Gateway is as the first of its hosts wants it now: those that were asked alike still are. */
      const serve = async (hosts: readonly ServedHost[]): Promise<void> => {
        for (const group of groups) {
          const host = hosts.find(({ name }) => group.hosts.includes(name));
          if (host !== undefined) await apply(kube, ...objectsOf(group, host));
        }
      };
      await serve(world.hosts);
      return {
        version: running.version,
        httpsPort: (host) => portsOf(host)?.httpsPort,
        httpPort: (host) => portsOf(host)?.httpPort,
        serve,
      };
    }),
};

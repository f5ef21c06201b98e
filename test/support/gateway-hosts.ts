/** Hosts behind a running Envoy Gateway, by the objects that its driver renders: a Gateway for each way to ask for certificates. */
import { request } from 'node:https';
import { resolve as pathOf } from 'node:path';
import { KubeClient } from '../../src/kube/client.ts';
import { apiVersionOf, type KubernetesObject } from '../../src/kube/resource.ts';
import type { ClientCertificates } from '../../src/terminator/driver.ts';
import { envoyGateway } from '../../src/terminator/envoy-gateway.ts';
import { applied, canonicalJson } from '../../src/terminator/settings.ts';
import { apply, opaqueSecret } from './cluster-objects.ts';
import { startControlPlane } from './control-plane.ts';
import { applyGatewayCrds, startEnvoyGateway } from './envoy-gateway.ts';
import { freePort } from './free-port.ts';
import { gateway, httpRoute, localBackend } from './gateway-objects.ts';
import type { KeyPairPem } from './throwaway-ca.ts';
import { waitFor } from './wait-for.ts';

const namespace = 'default';
const LONG_MS = 90_000;

export interface GatewayHost {
  /** May begin with `*.` */
  name: string;
  /** Undefined: nobody is asked for a certificate. */
  clientAuthentication?: { mode: ClientCertificates; ca: string; depth: number };
}

export interface GatewayHosts {
  readonly version: string;
  httpsPort(host: string): number;
  httpPort(host: string): number;
  /** The same hosts; those that had one answer together still have. Resolves when new connections have theirs. */
  serve(hosts: readonly GatewayHost[]): Promise<void>;
  stop(): Promise<void>;
}

interface Group {
  name: string;
  hosts: string[];
  ports: { httpsPort: number; httpPort: number };
}

const asked = ({ clientAuthentication }: GatewayHost): string => canonicalJson(clientAuthentication ?? {});

async function grouped(hosts: readonly GatewayHost[]): Promise<Group[]> {
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

/** A Gateway with what the operator would give it. */
function objectsOf({ name, hosts, ports }: Group, { clientAuthentication }: GatewayHost): KubernetesObject[] {
  const ref = { namespace, name };
  const plain = gateway(ref, hosts, ports);
  const route = httpRoute(ref, hosts, 'backend');
  if (clientAuthentication === undefined) return [plain, route];
  const { mode, ca, depth } = clientAuthentication;
  const bundle = { namespace, name: `${name}-cas` };
  const { settings, companions } = envoyGateway.render({ bundle, frontend: { ...ref, settings: {} }, mode, depth });
  return [
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: bundle, data: { 'ca.crt': ca } },
    ...companions.map((companion) => ({
      apiVersion: apiVersionOf(companion.resource),
      kind: companion.resource.kind,
      metadata: { namespace, name: companion.name },
      spec: companion.spec,
    })),
    { ...plain, spec: { ...Object(plain['spec']), ...applied(settings).spec } },
    route,
  ];
}

const bare = (pem: string): string => pem.replaceAll(/\s/g, '');

/** Of a request without a certificate. Who the host is does not matter yet. */
function statusOf(host: string, port: number): Promise<number> {
  const target = {
    host: '127.0.0.1',
    port,
    servername: host,
    headers: { host },
    agent: false,
    rejectUnauthorized: false,
  };
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...target, signal: AbortSignal.timeout(2_000) }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    outgoing.once('error', reject).end();
  });
}

/** @param options.pair the hosts' own certificate; `backendPort` on 127.0.0.1 is behind all of them */
export async function startGatewayHosts(options: {
  hosts: readonly GatewayHost[];
  pair: KeyPairPem;
  backendPort: number;
}): Promise<GatewayHosts> {
  const parts = new AsyncDisposableStack();
  try {
    const plane = await startControlPlane({ crds: [pathOf(import.meta.dirname, '../../crds')] });
    parts.defer(() => plane.stop());
    const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
    parts.defer(() => kube.close());
    await applyGatewayCrds(kube);
    const envoys = await startEnvoyGateway(plane, kube);
    parts.defer(() => envoys.stop());
    const { certPem, keyPem } = options.pair;
    await apply(
      kube,
      opaqueSecret({ namespace, name: 'tls' }, { 'tls.crt': certPem, 'tls.key': keyPem }, 'kubernetes.io/tls'),
      localBackend({ namespace, name: 'backend' }, options.backendPort),
    );
    const groups = await grouped(options.hosts);
    const groupOf = (host: string): Group => {
      const found = groups.find(({ hosts }) => hosts.includes(host));
      if (found === undefined) throw new Error(`${host} is not served`);
      return found;
    };

    const answers = async ({ ports, hosts: [first = ''] }: Group, { clientAuthentication }: GatewayHost) => {
      const required = clientAuthentication?.mode === 'required';
      return statusOf(first.replace('*', 'any'), ports.httpsPort).then(
        (status) => !required && ![404, 503].includes(status),
        (error: unknown) => required && String(error).includes('alert'),
      );
    };
    const serve = async (hosts: readonly GatewayHost[]): Promise<void> => {
      const whole = groups.map((group) => {
        const [one, ...more] = hosts.filter(({ name }) => group.hosts.includes(name));
        if (one === undefined || more.some((other) => asked(other) !== asked(one))) {
          throw new Error(`${group.hosts.join(', ')} had one answer before`);
        }
        return { group, host: one };
      });
      for (const { group, host } of whole) await apply(kube, ...objectsOf(group, host));
      const bundles = whole.flatMap(({ host }) => host.clientAuthentication?.ca ?? []).map(bare);
      await waitFor(async () => {
        const trusted = (await envoys.trusted()).map(bare);
        return bundles.every((bundle) => trusted.some((pem) => pem.includes(bundle)));
      }, LONG_MS);
      for (const { group, host } of whole) await waitFor(() => answers(group, host), LONG_MS);
    };
    await serve(options.hosts);
    return {
      version: envoys.version,
      httpsPort: (host) => groupOf(host).ports.httpsPort,
      httpPort: (host) => groupOf(host).ports.httpPort,
      serve,
      stop: () => parts.disposeAsync(),
    };
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}

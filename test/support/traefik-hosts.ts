/** Hosts behind a running Traefik, by the objects that its drivers render: an Ingress each, all in front of one backend. */
import { resolve } from 'node:path';
import { KubeClient } from '../../src/kube/client.ts';
import { apiVersionOf, type KubernetesObject } from '../../src/kube/resource.ts';
import type { ClientCertificates, TerminatorDriver } from '../../src/terminator/driver.ts';
import { nginx } from '../../src/terminator/nginx.ts';
import { traefik } from '../../src/terminator/traefik.ts';
import { apply, ingress, localService, opaqueSecret } from './cluster-objects.ts';
import { startControlPlane } from './control-plane.ts';
import { call } from './https-call.ts';
import type { KeyPairPem } from './throwaway-ca.ts';
import { applyTraefikCrds, startTraefik, type TraefikProvider, traefikSettled } from './traefik.ts';
import { waitFor } from './wait-for.ts';

const namespace = 'default';
const className = 'terminator';
const LONG_MS = 90_000;

const drivers: Readonly<Record<TraefikProvider, { driver: TerminatorDriver; controller: string }>> = {
  kubernetesIngress: { driver: traefik, controller: 'traefik.io/ingress-controller' },
  kubernetesIngressNGINX: { driver: nginx, controller: 'k8s.io/ingress-nginx' },
};

export interface TraefikHost {
  /** May begin with `*.` */
  name: string;
  /** Undefined: nobody is asked for a certificate. */
  clientAuthentication?: { mode: ClientCertificates; ca: string; depth: number };
}

export interface TraefikHosts {
  readonly version: string;
  readonly httpsPort: number;
  readonly httpPort: number;
  /** Resolves when new connections have their answers. */
  serve(hosts: readonly TraefikHost[]): Promise<void>;
  stop(): Promise<void>;
}

function objectsOf(driver: TerminatorDriver, host: TraefikHost): KubernetesObject[] {
  const name = host.name.replace('*', 'any').replaceAll('.', '-');
  const ref = { namespace, name };
  const { clientAuthentication } = host;
  if (clientAuthentication === undefined) return [ingress(ref, host.name, 'backend', className)];
  const { mode, ca, depth } = clientAuthentication;
  const bundle = { namespace, name: `trust-${name}` };
  const { settings, companions } = driver.render({ bundle, frontend: { ...ref, settings: {} }, mode, depth });
  return [
    opaqueSecret(bundle, { 'ca.crt': ca }),
    ...companions.map((companion) => ({
      apiVersion: apiVersionOf(companion.resource),
      kind: companion.resource.kind,
      metadata: { namespace, name: companion.name },
      spec: companion.spec,
    })),
    ingress({ ...ref, annotations: { ...settings } }, host.name, 'backend', className),
  ];
}

/**
 * @param options.pair the hosts' own certificate; `backendPort` on 127.0.0.1 is behind all of them; `flags` are more of
 *   Traefik's static configuration
 */
export async function startTraefikHosts(options: {
  provider: TraefikProvider;
  hosts: readonly TraefikHost[];
  pair: KeyPairPem;
  backendPort: number;
  flags?: readonly string[];
}): Promise<TraefikHosts> {
  const { provider, flags = [] } = options;
  const { driver, controller } = drivers[provider];
  const parts = new AsyncDisposableStack();
  try {
    const plane = await startControlPlane({ crds: [resolve(import.meta.dirname, '../../crds')] });
    parts.defer(() => plane.stop());
    const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
    parts.defer(() => kube.close());
    await applyTraefikCrds(kube);
    const { certPem, keyPem } = options.pair;
    await apply(
      kube,
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'IngressClass',
        metadata: { name: className },
        spec: { controller },
      },
      opaqueSecret({ namespace, name: 'tls' }, { 'tls.crt': certPem, 'tls.key': keyPem }, 'kubernetes.io/tls'),
      localService({ namespace, name: 'backend' }, options.backendPort),
    );
    const { kubeconfigPath } = plane;
    const running = await startTraefik({ kubeconfigPath, provider, ingressClass: className, flags });
    parts.defer(() => running.stop());
    const { httpsPort, httpPort, version } = running;

    /** Asked and answered as it is to be; of the CAs themselves a handshake tells nothing. */
    const answers = ({ name, clientAuthentication }: TraefikHost): Promise<boolean> =>
      call({ url: `https://${name.replace('*', 'any')}:${httpsPort}/`, ca: certPem, deadlineMs: 2_000 }).then(
        ({ status }) => ![404, 503].includes(status) && clientAuthentication?.mode !== 'required',
        (error: unknown) => clientAuthentication?.mode === 'required' && /alert/.test(String(error)),
      );
    const serve = async (hosts: readonly TraefikHost[]): Promise<void> => {
      await apply(kube, ...hosts.flatMap((host) => objectsOf(driver, host)));
      await traefikSettled(running, kube, { namespace, ingressClass: className });
      for (const host of hosts) await waitFor(() => answers(host), LONG_MS);
    };
    await serve(options.hosts);
    return { version, httpsPort, httpPort, serve, stop: () => parts.disposeAsync() };
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}

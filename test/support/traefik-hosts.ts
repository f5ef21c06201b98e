/** Hosts behind a running Traefik, by the objects that its drivers render: an Ingress each, all in front of one backend. */
import { resolve } from 'node:path';
import { KubeClient } from '../../src/kube/client.ts';
import { apiVersionOf, type KubernetesObject } from '../../src/kube/resource.ts';
import type { ClientCertificates, TerminatorDriver } from '../../src/terminator/driver.ts';
import { nginx } from '../../src/terminator/nginx.ts';
import { traefik } from '../../src/terminator/traefik.ts';
import { apply, opaqueSecret } from './cluster-objects.ts';
import { startControlPlane } from './control-plane.ts';
import type { KeyPairPem } from './throwaway-ca.ts';
import { applyTraefikCrds, startTraefik, type TraefikProvider, traefikSettled } from './traefik.ts';

const namespace = 'default';
const className = 'terminator';
const SERVICE = 'backend';

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
  /** Resolves when Traefik has made routers of it; wait for what you call. */
  serve(hosts: readonly TraefikHost[]): Promise<void>;
  stop(): Promise<void>;
}

/** For an ExternalName its own providers connect to the Service's port, whatever `targetPort` says. */
function service(port: number): KubernetesObject {
  // The other is that of the markers of `traefikSettled`.
  const ports = [
    { name: 'http', port },
    { name: 'marker', port: 80 },
  ];
  const spec = { type: 'ExternalName', externalName: 'localhost', ports };
  return { apiVersion: 'v1', kind: 'Service', metadata: { namespace, name: SERVICE }, spec };
}

function served(
  ref: { namespace: string; name: string; annotations?: Record<string, string> },
  host: string,
  number: number,
): KubernetesObject {
  const backend = { service: { name: SERVICE, port: { number } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: ref,
    spec: {
      ingressClassName: className,
      tls: [{ hosts: [host], secretName: 'tls' }],
      rules: [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
    },
  };
}

function objectsOf(driver: TerminatorDriver, host: TraefikHost, port: number): KubernetesObject[] {
  const name = host.name.replace('*', 'any').replaceAll('.', '-');
  const ref = { namespace, name };
  const { clientAuthentication } = host;
  if (clientAuthentication === undefined) return [served(ref, host.name, port)];
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
    served({ ...ref, annotations: { ...settings } }, host.name, port),
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
      service(options.backendPort),
    );
    const { kubeconfigPath } = plane;
    const running = await startTraefik({ kubeconfigPath, provider, ingressClass: className, flags });
    parts.defer(() => running.stop());
    const { httpsPort, httpPort, version } = running;

    const serve = async (hosts: readonly TraefikHost[]): Promise<void> => {
      await apply(kube, ...hosts.flatMap((host) => objectsOf(driver, host, options.backendPort)));
      await traefikSettled(running, kube, { namespace, ingressClass: className });
    };
    await serve(options.hosts);
    return { version, httpsPort, httpPort, serve, stop: () => parts.disposeAsync() };
  } catch (error) {
    await parts.disposeAsync();
    throw error;
  }
}

/** A cluster whose hosts Contour serves, set as the operator would set them: without an operator, for looks at the product. */
import { resolve } from 'node:path';
import { KubeClient } from '../../src/kube/client.ts';
import { httpProxies, type KubernetesObject } from '../../src/kube/resource.ts';
import { contour as driver } from '../../src/terminator/drivers/contour.ts';
import type { ClientCertificates } from '../../src/terminator/driver.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { applied } from '../../src/terminator/frontends/settings.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import { apply, opaqueSecret } from '../support/cluster-objects.ts';
import { type Contour, contourCrds, startContour } from '../support/contour.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { createThrowawayCa, type ThrowawayCa } from '../support/throwaway-ca.ts';

const namespace = 'default';
const BUNDLE = 'certbound-trust-test';

export interface HostOptions {
  host: string;
  /** Of the backend on 127.0.0.1, which speaks plain HTTP. */
  backendPort: number;
  /** Undefined: it has not opted in. */
  clientCertificates?: ClientCertificates;
  /** Also served on the HTTP port, where others are redirected from. */
  permitInsecure?: boolean;
}

export interface ContourHosts extends Pick<Contour, 'httpsPort' | 'httpPort'> {
  readonly plane: ControlPlane;
  readonly kube: KubeClient;
  /** Issues the hosts' certificates. */
  readonly serverCa: ThrowawayCa;
  /** What client certificates have to chain to from now on. */
  trust(clientCaPem: string): Promise<void>;
  /** What the operator would write to the host's HTTPProxy; undefined: what is left when it opts out. */
  set(host: string, clientCertificates: ClientCertificates | undefined): Promise<KubernetesObject>;
  proxy(host: string): Promise<KubernetesObject>;
  stop(): Promise<void>;
}

const nameOf = (host: string): string => host.replaceAll('.', '-').replaceAll('*', 'any');

/** A Service whose endpoint is a process on this machine. Contour serves no ExternalName `localhost`, and heeds no targetPort of others. */
export function loopbackService(ref: { namespace: string; name: string }, port: number): KubernetesObject {
  const spec = { type: 'ExternalName', externalName: '127.0.0.1', ports: [{ port }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: ref, spec };
}

export function httpProxy(
  ref: { namespace: string; name: string; annotations?: Record<string, string> },
  host: string,
  service: { name: string; port: number },
  permitInsecure = false,
): KubernetesObject {
  return {
    apiVersion: 'projectcontour.io/v1',
    kind: 'HTTPProxy',
    metadata: ref,
    spec: {
      virtualhost: { fqdn: host, tls: { secretName: 'tls' } },
      routes: [{ conditions: [{ prefix: '/' }], services: [service], permitInsecure }],
    },
  };
}

async function start(
  hosts: readonly HostOptions[],
  clientCaPem: string,
  parts: AsyncDisposableStack,
): Promise<ContourHosts> {
  const crds = [await contourCrds(), resolve(import.meta.dirname, '../../crds')];
  const plane = await startControlPlane({ crds });
  parts.defer(() => plane.stop());
  const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
  parts.defer(() => kube.close());
  const contour = await startContour({ kubeconfigPath: plane.kubeconfigPath });
  parts.defer(() => contour.stop());
  const serverCa = await createThrowawayCa('Server CA');
  const pair = await serverCa.issue({ cn: 'server', dns: hosts.map(({ host }) => host) });
  const trust = async (pem: string) => {
    await apply(kube, opaqueSecret({ namespace, name: BUNDLE }, { 'ca.crt': pem }));
  };
  const set = async (host: string, mode: ClientCertificates | undefined) => {
    const frontend = { namespace, name: nameOf(host), settings: {} };
    const bundle = { namespace, name: BUNDLE };
    const settings = mode === undefined ? {} : driver.render({ bundle, frontend, mode, depth: 1 }).settings;
    const metadata = { namespace, name: nameOf(host) };
    return kube.apply(httpProxies, { metadata, ...applied(settings) }, { fieldManager: FIELD_MANAGER });
  };
  await trust(clientCaPem);
  const tls = { 'tls.crt': pair.certPem, 'tls.key': pair.keyPem };
  await apply(kube, opaqueSecret({ namespace, name: 'tls' }, tls, 'kubernetes.io/tls'));
  for (const { host, backendPort, clientCertificates, permitInsecure } of hosts) {
    const ref = { namespace, name: nameOf(host) };
    await apply(
      kube,
      loopbackService(ref, backendPort),
      httpProxy(ref, host, { name: ref.name, port: backendPort }, permitInsecure),
    );
    if (clientCertificates !== undefined) await set(host, clientCertificates);
  }
  return {
    plane,
    kube,
    httpsPort: contour.httpsPort,
    httpPort: contour.httpPort,
    serverCa,
    trust,
    set,
    async proxy(host) {
      const object = await kube.get(httpProxies, { namespace, name: nameOf(host) });
      if (object === undefined) throw new Error(`no HTTPProxy for ${host}`);
      return object;
    },
    stop: () => parts.disposeAsync(),
  };
}

/** Wait for what you call: Contour and Envoy say nowhere that a host is live. */
export function startContourHosts(hosts: readonly HostOptions[], clientCaPem: string): Promise<ContourHosts> {
  return allOrNothing((parts) => start(hosts, clientCaPem, parts));
}

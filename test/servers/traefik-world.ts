/** A cluster with the operator as the chart installs it, and Traefik in front of an authorization server and an API. */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { CLIENT_HEADERS_REMOVED } from '../../src/api/annotations.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { KubeClient } from '../../src/kube/client.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { edited, INGRESSES } from '../e2e/lifecycle-world.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import { callApi, type ApiCall } from '../support/application.ts';
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server.ts';
import { apply, documents, ingress, namespace } from '../support/cluster-objects.ts';
import { grantTerminatorRights } from '../support/chart.ts';
import { startControlPlane } from '../support/control-plane.ts';
import { freePort } from '../support/free-port.ts';
import type { Answer } from '../support/https-call.ts';
import { basicObjects, CLUSTER_ID, localised } from '../support/installation.ts';
import { TestClient } from '../support/oauth-client.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import { grantOperatorRights } from '../support/operator-rights.ts';
import { type OperatorProcess, startOperator } from '../support/operator.ts';
import { startResourceServer } from '../support/resource-server.ts';
import { createThrowawayCa, type ThrowawayCa } from '../support/throwaway-ca.ts';
import {
  applyTraefikCrds,
  byPortName,
  externalService,
  headersRemoved,
  startTraefik,
  type Traefik,
  type TraefikProvider,
} from '../support/traefik.ts';

/** Traefik takes a change in two seconds; where two cores are busy, in ten. Before that its answers are those of before. */
const PROPAGATION = '12s';
const ROOT = resolve(import.meta.dirname, '../..');
/** Of what the platform has for Traefik alone. */
const PLATFORM = 'traefik';

interface ProviderClass {
  name: string;
  controller: string;
  /** Whose header it forwards certificates in. */
  header: 'traefik' | 'nginx';
  annotations?: Record<string, string>;
  /** What the platform has set up, as the annotations say. */
  objects: readonly KubernetesObject[];
  flags: readonly string[];
}

const { middleware, flags: removing } = headersRemoved(PLATFORM);

/** By provider: the class whose Ingresses Traefik serves. */
const classes: Readonly<Record<TraefikProvider, ProviderClass>> = {
  // It removes a client's own copy of its header on every host.
  kubernetesIngress: {
    name: 'traefik',
    controller: 'traefik.io/ingress-controller',
    header: 'traefik',
    objects: [],
    flags: [],
  },
  // It does so only on hosts with client authentication; the browser's has none, and the same Service.
  kubernetesIngressNGINX: {
    name: 'nginx',
    controller: 'k8s.io/ingress-nginx',
    header: 'nginx',
    annotations: { [CLIENT_HEADERS_REMOVED]: 'true' },
    objects: [namespace(PLATFORM), middleware],
    flags: removing,
  },
};

/** Rotations follow each other, with no more than three certificates at a time. */
const QUICK = { certificate: { drain: '1s' } };

export interface TraefikWorld {
  /** As cluster admin. */
  readonly kube: KubeClient;
  readonly traefik: Traefik;
  readonly authorizationServer: AuthorizationServer;
  readonly serverCa: ThrowawayCa;
  readonly kubeconfigPath: string;
  /** Of the IngressClass. */
  readonly className: string;
  readonly controller: string;
  origin(host: keyof typeof HOSTS): string;
  /** The Ingresses of examples/, of Traefik's class. */
  ingresses(): Promise<KubernetesObject[]>;
  client(name: string): TestClient;
  api(call: Omit<ApiCall, 'url' | 'caPem'>): Promise<Answer>;
  /** What the operator has logged. */
  log(): Promise<string>;
  readonly operator: Pick<OperatorProcess, 'metrics' | 'stop'>;
  stop(): Promise<void>;
}

export interface TraefikWorldOptions {
  provider: TraefikProvider;
  /** More of Traefik's static configuration. */
  flags?: readonly string[];
}

export function startTraefikWorld(options: TraefikWorldOptions): Promise<TraefikWorld> {
  return allOrNothing((parts) => start(options, parts));
}

async function start(
  { provider, flags = [] }: TraefikWorldOptions,
  parts: AsyncDisposableStack,
): Promise<TraefikWorld> {
  const { name: className, controller, header: terminator, annotations, ...platform } = classes[provider];
  const httpsPort = await freePort();
  const origin = (host: keyof typeof HOSTS) => `https://${HOSTS[host]}:${httpsPort}`;
  const initialAccessToken = randomBytes(24).toString('base64url');
  const plane = await startControlPlane({ controllerManager: false, crds: [resolve(ROOT, 'crds')] });
  parts.defer(() => plane.stop());
  const { kubeconfigPath } = plane;
  const kube = KubeClient.fromKubeconfig({ path: kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
  parts.defer(() => kube.close());
  const serverCa = await createThrowawayCa('Example Server CA');
  const server = await startAuthorizationServer({
    issuer: origin('browser'),
    mtlsOrigin: origin('mtls'),
    initialAccessToken,
    accessTokenTTL: 3,
    terminator,
  });
  parts.defer(() => server.stop());
  const { issuer, resource: audience, jwks } = server;
  const api = await startResourceServer({ issuer, audience, jwks, terminator });
  parts.defer(() => api.stop());
  await applyTraefikCrds(kube);
  const operatorKubeconfig = await grantOperatorRights(plane, kube);
  await grantTerminatorRights(kube, ['nginx', 'traefik']);
  await apply(kube, ...(await basics()));
  const traefik = await startTraefik({
    kubeconfigPath,
    provider,
    ingressClass: className,
    httpsPort,
    flags: [...platform.flags, ...flags],
  });
  parts.defer(() => traefik.stop());
  const example = await documents(resolve(ROOT, 'examples/platform.yaml'));
  await apply(kube, ...edited(localised(example, origin, serverCa.certPem)));
  await kube.patch(
    authorizationServers,
    { name: 'corporate' },
    { spec: { propagation: PROPAGATION, verifyInterval: '1m' } },
    { type: 'merge' },
  );
  const operator = await startOperator({
    kubeconfigPath: operatorKubeconfig,
    clusterId: CLUSTER_ID,
    logFile: resolve(plane.dir, 'operator.log'),
    environment: {
      CERTBOUND_TERMINATORS: 'nginx,traefik',
      CERTBOUND_TERMINATOR_ADDRESSES: JSON.stringify({ [controller]: [`127.0.0.1:${httpsPort}`] }),
    },
  });
  parts.defer(async () => void (await operator.stop()));

  async function basics(): Promise<KubernetesObject[]> {
    return [
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'IngressClass',
        metadata: { name: className, ...(annotations && { annotations }) },
        spec: { controller },
      },
      ...platform.objects,
      ...(await basicObjects(serverCa, initialAccessToken)),
      externalService({ namespace: 'identity', name: 'authorization-server' }, server.port),
      externalService({ namespace: 'accounts', name: 'accounts' }, api.port),
      byPortName(
        ingress(
          { namespace: 'identity', name: 'authorization-server' },
          HOSTS.browser,
          'authorization-server',
          className,
        ),
      ),
    ];
  }

  return {
    kube,
    kubeconfigPath,
    traefik,
    authorizationServer: server,
    serverCa,
    className,
    controller,
    origin,
    async ingresses() {
      const of = `ingressClassName: ${className}`;
      return (await documents(INGRESSES, (text) => text.replaceAll('ingressClassName: nginx', of))).map(byPortName);
    },
    client: (name) => new TestClient({ kube, authorizationServer: server }, { namespace: 'payments', name }, QUICK),
    api: (call) => callApi({ url: `${origin('api')}/accounts`, caPem: serverCa.certPem, ...call }),
    log: () => operator.log(),
    operator,
    stop: () => parts.disposeAsync(),
  };
}

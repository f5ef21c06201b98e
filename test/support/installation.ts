/** A whole installation on this machine: API server, operator, authorization server, API, TLS terminator. */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { Agent, request } from 'undici';
import { CLIENT_HEADERS_REMOVED } from '../../src/api/annotations.ts';
import { KubeClient } from '../../src/kube/client.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { allOrNothing } from './all-or-nothing.ts';
import {
  startAuthorizationServer,
  type AuthorizationServer,
  type AuthorizationServerOptions,
} from './authorization-server.ts';
import { apply, documents, ingress, localService, namespace, opaqueSecret } from './cluster-objects.ts';
import { startControlPlane, type ControlPlane } from './control-plane.ts';
import { startFaultProxy, type FaultProxy } from './fault-proxy.ts';
import { freePort } from './free-port.ts';
import { startIngressController, type IngressController } from './ingress-controller.ts';
import { BLANK_CERTIFICATE_HEADERS, HOSTS } from './oauth-deployment.ts';
import { grantTerminatorRights } from './chart.ts';
import { grantOperatorRights } from './operator-rights.ts';
import { startOperator, type OperatorCommand, type OperatorProcess } from './operator.ts';
import { startResourceServer, type ResourceServer } from './resource-server.ts';
import { createThrowawayCa, type ThrowawayCa } from './throwaway-ca.ts';

const root = resolve(import.meta.dirname, '../..');
export const CLIENTS_ALLOWED = { 'oauth.example.com/clients': 'allowed' };
export const CLUSTER_ID = 'test-cluster';

/** Of a controller with `BLANK_CERTIFICATE_HEADERS`: the browser's host has the same Service. */
export const INGRESS_CLASS: KubernetesObject = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'IngressClass',
  metadata: { name: 'nginx', annotations: { [CLIENT_HEADERS_REMOVED]: 'true' } },
  spec: { controller: 'k8s.io/ingress-nginx' },
};

const HAPROXY_CLASS: KubernetesObject = {
  ...INGRESS_CLASS,
  metadata: { name: 'nginx' },
  spec: { controller: 'haproxy-ingress.github.io/controller' },
};
/** As the driver wants it of the platform. */
export const HAPROXY_INGRESS = {
  terminator: 'haproxy',
  dialect: 'haproxy-ingress',
  configGlobal: ['tune.ssl.cachesize 0'],
} as const;

export interface InstallationOptions {
  controllerManager?: boolean;
  /** Scoped mode: the operator serves these namespaces and has rights in no other. Default: `CERTBOUND_E2E_SCOPE`, else all. */
  scope?: readonly string[];
  /** Seconds. */
  accessTokenTTL?: number;
  rotateRegistrationAccessToken?: AuthorizationServerOptions['rotateRegistrationAccessToken'];
  /** How long the authorization server keeps what it read from a client's jwks_uri. */
  keySetCacheSeconds?: number;
  /** Which stands in front of everything. The class keeps its name, so that the examples' Ingresses are its. Default nginx. */
  terminator?: 'haproxy';
  /** Take nginx from Debian where it is missing and we are root. Default true; else a Node stand-in serves. */
  installNginx?: boolean;
  /** The operator reaches the API server through a proxy that can be told to do wrong. Default false. */
  faultProxy?: boolean;
  onStarted?: (part: string) => void;
}

export interface Installation {
  readonly plane: ControlPlane;
  /** As cluster admin. */
  readonly kube: KubeClient;
  readonly httpsPort: number;
  readonly ingressController: IngressController;
  readonly authorizationServer: AuthorizationServer;
  readonly resourceServer: ResourceServer;
  /** Issues the terminator's own certificates. */
  readonly serverCa: ThrowawayCa;
  readonly initialAccessToken: string;
  /** With `faultProxy`. */
  readonly faultProxy: FaultProxy | undefined;
  /** What the operator's process is given as KUBECONFIG. */
  readonly operatorKubeconfig: string;
  origin(host: keyof typeof HOSTS): string;
  /** The platform's example, for the ports of this installation. */
  platform(): Promise<KubernetesObject[]>;
  /** As the chart's ServiceAccount, with its rights and no others. */
  startOperator(environment?: Record<string, string>, command?: OperatorCommand): Promise<OperatorProcess>;
  stop(): Promise<void>;
}

/**
 * `examples/` speak of port 443 and of a certificate that every client trusts; here both are this machine's.
 *
 * @param addresses of the terminator's replicas
 */
export function localised(
  objects: KubernetesObject[],
  origin: Installation['origin'],
  caBundle: string,
  addresses: readonly string[] = ['127.0.0.1'],
): KubernetesObject[] {
  return objects.map((object) => {
    if (object.kind !== 'AuthorizationServer') return object;
    const spec: unknown = object['spec'];
    const hosts = Object.values(HOSTS);
    const connectTo = hosts.map((host) => ({ host, addresses: [...addresses] }));
    return { ...object, spec: { ...Object(spec), issuer: origin('browser'), caBundle, connectTo } };
  });
}

/** Namespaces, the hosts' certificate in them, and the platform's token: what every installation begins with. */
export async function basicObjects(serverCa: ThrowawayCa, initialAccessToken: string): Promise<KubernetesObject[]> {
  const pair = await serverCa.issue({ cn: 'server', dns: Object.values(HOSTS) });
  const tls = { 'tls.crt': pair.certPem, 'tls.key': pair.keyPem };
  const token = { namespace: 'certbound-system', name: 'corporate-initial-access-token' };
  return [
    namespace('certbound-system'),
    namespace('identity'),
    namespace('accounts'),
    namespace('payments', CLIENTS_ALLOWED),
    opaqueSecret(token, { token: initialAccessToken }),
    opaqueSecret({ namespace: 'identity', name: 'tls' }, tls, 'kubernetes.io/tls'),
    opaqueSecret({ namespace: 'accounts', name: 'tls' }, tls, 'kubernetes.io/tls'),
  ];
}

/** Of Node's own fetch nobody can say whom it trusts. */
export function fetchTrusting(ca: string): typeof globalThis.fetch {
  const dispatcher = new Agent({ connect: { ca } });
  return async (input) => {
    const url = input instanceof Request ? input.url : input;
    const { statusCode: status, headers, body } = await request(url, { dispatcher });
    const type = headers['cache-control'];
    return new Response(await body.text(), {
      status,
      headers: typeof type === 'string' ? { 'cache-control': type } : {},
    });
  };
}

export function startInstallation(options: InstallationOptions = {}): Promise<Installation> {
  return allOrNothing((parts) => start(options, parts));
}

async function start(options: InstallationOptions, parts: AsyncDisposableStack): Promise<Installation> {
  const told = options.onStarted ?? (() => undefined);
  const httpsPort = await freePort();
  const origin = (host: keyof typeof HOSTS) => `https://${HOSTS[host]}:${httpsPort}`;
  const initialAccessToken = randomBytes(24).toString('base64url');
  const plane = await startControlPlane({
    controllerManager: options.controllerManager ?? false,
    crds: [resolve(root, 'crds')],
  });
  parts.defer(() => plane.stop());
  told('Kubernetes API server');
  const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
  parts.defer(() => kube.close());
  const serverCa = await createThrowawayCa('Example Server CA');
  const authorizationServer = await startAuthorizationServer({
    issuer: origin('browser'),
    mtlsOrigin: origin('mtls'),
    selfSignedOrigin: origin('selfSigned'),
    initialAccessToken,
    ...(options.terminator && { terminator: options.terminator }),
    fetch: fetchTrusting(serverCa.certPem),
    ...(options.keySetCacheSeconds === undefined ? {} : { keySetCacheSeconds: options.keySetCacheSeconds }),
    ...(options.accessTokenTTL === undefined ? {} : { accessTokenTTL: options.accessTokenTTL }),
    ...(options.rotateRegistrationAccessToken === undefined
      ? {}
      : { rotateRegistrationAccessToken: options.rotateRegistrationAccessToken }),
  });
  parts.defer(() => authorizationServer.stop());
  told('authorization server (oidc-provider)');
  const { issuer, resource, jwks } = authorizationServer;
  const resourceServer = await startResourceServer({
    issuer,
    audience: resource,
    jwks,
    ...(options.terminator && { terminator: options.terminator }),
  });
  parts.defer(() => resourceServer.stop());
  told('API');
  await applyBasics();
  const scope = options.scope ?? process.env['CERTBOUND_E2E_SCOPE']?.split(',') ?? [];
  const faultProxy = options.faultProxy === true ? await proxied() : undefined;
  const endpoint = faultProxy === undefined ? plane : { url: faultProxy.url, caPem: serverCa.certPem };
  const operatorKubeconfig = await grantOperatorRights(plane, kube, scope, endpoint);
  if (options.terminator !== undefined) {
    await grantTerminatorRights(kube, [options.terminator]);
  }
  const ingressController = await startIngressController({
    ...(options.terminator && HAPROXY_INGRESS),
    source: { kubeconfigPath: plane.kubeconfigPath },
    httpsPort,
    installNginx: options.installNginx ?? true,
    proxySetHeaders: BLANK_CERTIFICATE_HEADERS,
  });
  parts.defer(() => ingressController.stop());
  told(
    ingressController.kind === 'node'
      ? 'TLS terminator (a Node stand-in: no nginx found)'
      : `TLS terminator (${ingressController.kind})`,
  );
  const logFile = resolve(plane.dir, 'operator.log');

  async function proxied(): Promise<FaultProxy> {
    const certificate = await serverCa.issue({ cn: 'kubernetes', ips: ['127.0.0.1'] });
    const proxy = await startFaultProxy({ target: plane.url, targetCaPem: plane.caPem, certificate });
    parts.defer(() => proxy.stop());
    return proxy;
  }

  async function applyBasics(): Promise<void> {
    await apply(
      kube,
      options.terminator === undefined ? INGRESS_CLASS : HAPROXY_CLASS,
      ...(await basicObjects(serverCa, initialAccessToken)),
      localService({ namespace: 'identity', name: 'authorization-server' }, authorizationServer.port),
      localService({ namespace: 'accounts', name: 'accounts' }, resourceServer.port),
      ingress({ namespace: 'identity', name: 'authorization-server' }, HOSTS.browser, 'authorization-server'),
    );
  }

  return {
    plane,
    kube,
    httpsPort,
    ingressController,
    authorizationServer,
    resourceServer,
    serverCa,
    initialAccessToken,
    faultProxy,
    operatorKubeconfig,
    origin,
    platform: async () => localised(await documents(resolve(root, 'examples/platform.yaml')), origin, serverCa.certPem),
    async startOperator(environment, command) {
      const operator = await startOperator({
        kubeconfigPath: operatorKubeconfig,
        clusterId: CLUSTER_ID,
        logFile,
        ...(command && { command }),
        environment: { CERTBOUND_WATCH_NAMESPACES: scope.join(','), ...environment },
      });
      parts.defer(async () => void (await operator.stop()));
      return operator;
    },
    stop: () => parts.disposeAsync(),
  };
}

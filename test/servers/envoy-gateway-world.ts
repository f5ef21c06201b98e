/** An installation whose terminator is Envoy Gateway: three Gateways, each with an Envoy of its own. */
import { resolve } from 'node:path';
import { randomBytes } from 'node:crypto';
import { KubeClient } from '../../src/kube/client.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server.ts';
import { grantTerminatorRights } from '../support/chart.ts';
import { apply, documents } from '../support/cluster-objects.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { applyGatewayCrds, type EnvoyGateway, startEnvoyGateway } from '../support/envoy-gateway.ts';
import { freePort } from '../support/free-port.ts';
import { gateway, httpRoute, localBackend } from '../support/gateway-objects.ts';
import { call } from '../support/https-call.ts';
import { basicObjects, CLUSTER_ID, fetchTrusting, localised } from '../support/installation.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import { grantOperatorRights } from '../support/operator-rights.ts';
import { type OperatorProcess, startOperator } from '../support/operator.ts';
import { type ResourceServer, startResourceServer } from '../support/resource-server.ts';
import { createThrowawayCa, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';

const root = resolve(import.meta.dirname, '../..');
const INGRESS = '{ group: networking.k8s.io, kind: Ingress, namespace: identity, name: authorization-server-mtls }';
/** In front of the token endpoint. */
export const MTLS_GATEWAY = { namespace: 'identity', name: 'authorization-server-mtls' };
/** In front of the API. */
export const API_GATEWAY = { namespace: 'accounts', name: 'accounts-api' };
const BROWSER_GATEWAY = { namespace: 'identity', name: 'authorization-server' };

export interface EnvoyGatewayWorld {
  readonly plane: ControlPlane;
  readonly kube: KubeClient;
  readonly authorizationServer: AuthorizationServer;
  readonly resourceServer: ResourceServer;
  readonly envoyGateway: EnvoyGateway;
  readonly serverCa: ThrowawayCa;
  /** With the rights that the chart grants the operator. */
  readonly operatorKubeconfig: string;
  /** The API over plain HTTP, by the same Gateway. */
  readonly plainApi: string;
  origin(host: keyof typeof HOSTS): string;
  platform(): Promise<KubernetesObject[]>;
  startOperator(): Promise<OperatorProcess>;
  stop(): Promise<void>;
}

export function startEnvoyGatewayWorld(): Promise<EnvoyGatewayWorld> {
  return allOrNothing(start);
}

async function start(parts: AsyncDisposableStack): Promise<EnvoyGatewayWorld> {
  const [browser, mtls, api, plain] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const ports: Partial<Record<keyof typeof HOSTS, number>> = { browser, mtls, api };
  const origin = (host: keyof typeof HOSTS) => `https://${HOSTS[host]}:${ports[host]}`;
  const initialAccessToken = randomBytes(24).toString('base64url');
  const plane = await startControlPlane({ crds: [resolve(root, 'crds')] });
  parts.defer(() => plane.stop());
  const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
  parts.defer(() => kube.close());
  await applyGatewayCrds(kube);
  const serverCa = await createThrowawayCa('Example Server CA');
  const authorizationServer = await startAuthorizationServer({
    issuer: origin('browser'),
    mtlsOrigin: origin('mtls'),
    initialAccessToken,
    terminator: 'envoy',
    accessTokenTTL: 3,
    fetch: fetchTrusting(serverCa.certPem),
  });
  parts.defer(() => authorizationServer.stop());
  const { issuer, resource, jwks } = authorizationServer;
  const resourceServer = await startResourceServer({ issuer, audience: resource, jwks, terminator: 'envoy' });
  parts.defer(() => resourceServer.stop());
  const envoyGateway = await startEnvoyGateway(plane, kube);
  parts.defer(() => envoyGateway.stop());

  await apply(
    kube,
    ...(await basicObjects(serverCa, initialAccessToken)),
    localBackend({ namespace: 'identity', name: 'authorization-server' }, authorizationServer.port),
    localBackend({ namespace: 'accounts', name: 'accounts' }, resourceServer.port),
    gateway(BROWSER_GATEWAY, [HOSTS.browser], { httpsPort: browser }),
    httpRoute(BROWSER_GATEWAY, [HOSTS.browser], 'authorization-server'),
    gateway(MTLS_GATEWAY, [HOSTS.mtls], { httpsPort: mtls }),
    httpRoute(MTLS_GATEWAY, [HOSTS.mtls], 'authorization-server'),
    gateway(API_GATEWAY, [HOSTS.api], { httpsPort: api, httpPort: plain }),
    httpRoute(API_GATEWAY, [HOSTS.api], 'accounts'),
  );
  for (const url of [origin('browser'), origin('mtls'), origin('api')]) await serves(url, serverCa.certPem);
  const kubeconfigPath = await grantOperatorRights(plane, kube);
  await grantTerminatorRights(kube, ['envoy-gateway']);

  return {
    plane,
    kube,
    authorizationServer,
    resourceServer,
    envoyGateway,
    serverCa,
    operatorKubeconfig: kubeconfigPath,
    plainApi: `http://${HOSTS.api}:${plain}`,
    origin,
    async platform() {
      const toGateway = (text: string) =>
        text
          .replace(INGRESS, JSON.stringify({ group: 'gateway.networking.k8s.io', kind: 'Gateway', ...MTLS_GATEWAY }))
          .replace('propagation: 30s', 'propagation: 5s');
      const objects = await documents(resolve(root, 'examples/platform.yaml'), toGateway);
      return localised(objects, origin, serverCa.certPem);
    },
    async startOperator() {
      const operator = await startOperator({
        kubeconfigPath,
        clusterId: CLUSTER_ID,
        logFile: resolve(plane.dir, 'operator.log'),
        environment: {
          CERTBOUND_TERMINATORS: 'envoy-gateway',
          CERTBOUND_TERMINATOR_ADDRESSES: JSON.stringify({
            [`Gateway ${MTLS_GATEWAY.namespace}/${MTLS_GATEWAY.name}`]: [`127.0.0.1:${mtls}`],
            [`Gateway ${API_GATEWAY.namespace}/${API_GATEWAY.name}`]: [`127.0.0.1:${api}`],
          }),
        },
      });
      parts.defer(async () => void (await operator.stop()));
      return operator;
    },
    stop: () => parts.disposeAsync(),
  };
}

/** Until a request is answered, by whomever. */
async function serves(url: string, ca: string): Promise<void> {
  await waitFor(
    () =>
      call({ url, ca, deadlineMs: 2_000 }).then(
        ({ status }) => status !== 503,
        () => false,
      ),
    60_000,
  ).catch((cause: unknown) => {
    throw new Error(`${url} is not served`, { cause });
  });
}

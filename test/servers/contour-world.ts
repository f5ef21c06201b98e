/** A whole installation whose hosts Contour serves: an authorization server and an API behind HTTPProxies. */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { CLIENT_CERTIFICATES, OPT_IN } from '../../src/api/annotations.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { CONTOUR } from '../../src/terminator/drivers/contour.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server.ts';
import { apply, documents } from '../support/cluster-objects.ts';
import { grantTerminatorRights } from '../support/chart.ts';
import { type Contour, contourCrds, startContour } from '../support/contour.ts';
import { startControlPlane } from '../support/control-plane.ts';
import { freePort } from '../support/free-port.ts';
import { basicObjects, CLUSTER_ID, localised } from '../support/installation.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import { grantOperatorRights } from '../support/operator-rights.ts';
import { type OperatorProcess, startOperator } from '../support/operator.ts';
import { startResourceServer } from '../support/resource-server.ts';
import { createThrowawayCa, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { httpProxy, loopbackService } from './contour-hosts.ts';

const root = resolve(import.meta.dirname, '../..');
const terminator = 'envoy';
export const MTLS_PROXY = { namespace: 'identity', name: 'authorization-server-mtls' };
export const API_PROXY = { namespace: 'accounts', name: 'accounts-api' };
/** What the owner of a host writes. */
export const OPTED_IN = { [OPT_IN]: 'corporate', [CLIENT_CERTIFICATES]: 'required' };

export interface ContourWorld {
  readonly kube: KubeClient;
  readonly contour: Contour;
  readonly authorizationServer: AuthorizationServer;
  readonly serverCa: ThrowawayCa;
  readonly kubeconfigPath: string;
  /** The operator's own, with its rights. */
  readonly operatorKubeconfig: string;
  origin(host: keyof typeof HOSTS): string;
  startOperator(): Promise<OperatorProcess>;
  stop(): Promise<void>;
}

const shortly = (object: KubernetesObject): KubernetesObject =>
  object.kind === 'AuthorizationServer'
    ? {
        ...object,
        spec: {
          ...Object(object['spec']),
          propagation: '5s',
          terminators: [{ group: 'projectcontour.io', kind: 'HTTPProxy', ...MTLS_PROXY }],
        },
      }
    : object;

async function start(parts: AsyncDisposableStack): Promise<ContourWorld> {
  const httpsPort = await freePort();
  const origin = (host: keyof typeof HOSTS) => `https://${HOSTS[host]}:${httpsPort}`;
  const plane = await startControlPlane({ crds: [resolve(root, 'crds'), await contourCrds()] });
  parts.defer(() => plane.stop());
  const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
  parts.defer(() => kube.close());
  const serverCa = await createThrowawayCa('Example Server CA');
  const initialAccessToken = randomBytes(24).toString('base64url');
  const authorizationServer = await startAuthorizationServer({
    issuer: origin('browser'),
    mtlsOrigin: origin('mtls'),
    initialAccessToken,
    accessTokenTTL: 3,
    terminator,
  });
  parts.defer(() => authorizationServer.stop());
  const { issuer, resource: audience, jwks } = authorizationServer;
  const resourceServer = await startResourceServer({ issuer, audience, jwks, terminator });
  parts.defer(() => resourceServer.stop());
  const contour = await startContour({ kubeconfigPath: plane.kubeconfigPath, httpsPort });
  parts.defer(() => contour.stop());
  const kubeconfigPath = await grantOperatorRights(plane, kube);
  await grantTerminatorRights(kube, ['contour']);

  const server = { namespace: 'identity', name: 'authorization-server' };
  const api = { namespace: 'accounts', name: 'accounts' };
  await apply(
    kube,
    ...(await basicObjects(serverCa, initialAccessToken)),
    loopbackService(server, authorizationServer.port),
    loopbackService(api, resourceServer.port),
    httpProxy(server, HOSTS.browser, { name: server.name, port: authorizationServer.port }),
    httpProxy({ ...MTLS_PROXY, annotations: OPTED_IN }, HOSTS.mtls, {
      name: server.name,
      port: authorizationServer.port,
    }),
    httpProxy(API_PROXY, HOSTS.api, { name: api.name, port: resourceServer.port }),
    ...localised(await documents(resolve(root, 'examples/platform.yaml')), origin, serverCa.certPem).map(shortly),
  );
  return {
    kubeconfigPath: plane.kubeconfigPath,
    operatorKubeconfig: kubeconfigPath,
    kube,
    contour,
    authorizationServer,
    serverCa,
    origin,
    async startOperator() {
      const operator = await startOperator({
        kubeconfigPath,
        clusterId: CLUSTER_ID,
        logFile: resolve(plane.dir, 'operator.log'),
        environment: {
          CERTBOUND_TERMINATORS: 'contour',
          CERTBOUND_TERMINATOR_ADDRESSES: JSON.stringify({ [CONTOUR]: [`127.0.0.1:${httpsPort}`] }),
        },
      });
      parts.defer(async () => void (await operator.stop()));
      return operator;
    },
    stop: () => parts.disposeAsync(),
  };
}

export function startContourWorld(): Promise<ContourWorld> {
  return allOrNothing(start);
}

/** One installation whose operator reaches the API server through a proxy that does wrong when told to. */
import { oauthClients } from '../../src/api/resources.ts';
import { edited, INGRESSES, SCOPES, serverReady } from '../e2e/lifecycle-world.ts';
import { apply, documents, namespace } from '../support/cluster-objects.ts';
import type { FaultProxy, ProxiedRequest } from '../support/fault-proxy.ts';
import {
  CLIENTS_ALLOWED,
  startInstallation,
  type Installation,
  type InstallationOptions,
} from '../support/installation.ts';
import { TestClient } from '../support/oauth-client.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { SELF_SIGNED_SERVER, selfSignedPlatform } from '../support/self-signed-platform.ts';
import { waitFor } from '../support/wait-for.ts';

export const NAMESPACE = 'team';

export interface FaultWorld {
  readonly installation: Installation;
  readonly proxy: FaultProxy;
  operator: OperatorProcess;
}

type Start = () => Promise<OperatorProcess>;

export interface FaultWorldOptions {
  installation?: InstallationOptions;
  /** What the platform grants besides. */
  clients?: Record<string, unknown>;
  /** Of the AuthorizationServers, as they are applied. */
  edit?: (object: KubernetesObject) => KubernetesObject;
  /** Once the cluster is there: who starts the operator, each time. Default: as it is shipped. */
  startOperator?: (installation: Installation) => Promise<Start>;
}

export async function startFaultWorld(options: FaultWorldOptions = {}): Promise<FaultWorld & { restart: Start }> {
  const installation = await startInstallation({ ...options.installation, faultProxy: true });
  try {
    return await prepared(installation, options);
  } catch (error) {
    await installation.stop();
    throw error;
  }
}

async function prepared(
  installation: Installation,
  { clients, startOperator, edit = (object) => object }: FaultWorldOptions,
): Promise<FaultWorld & { restart: Start }> {
  const { kube, ingressController, faultProxy: proxy } = installation;
  if (proxy === undefined) throw new Error('the installation has no fault proxy');
  await apply(
    kube,
    ...edited(await installation.platform(), clients).map(edit),
    ...edited(selfSignedPlatform(installation, SCOPES), clients).map(edit),
    ...(await documents(INGRESSES)),
    namespace(NAMESPACE, CLIENTS_ALLOWED),
  );
  const restart = (await startOperator?.(installation)) ?? (() => installation.startOperator());
  const operator = await restart();
  await Promise.all(['corporate', SELF_SIGNED_SERVER].map((name) => serverReady(installation, name)));
  await ingressController.settled();
  return { installation, proxy, operator, restart };
}

export function clientOf({ installation }: FaultWorld, name: string): TestClient {
  return new TestClient(installation, { namespace: NAMESPACE, name });
}

export function selfSignedClientOf({ installation }: FaultWorld, name: string): TestClient {
  return new TestClient(
    installation,
    { namespace: NAMESPACE, name },
    { authorizationServerRef: { name: SELF_SIGNED_SERVER }, tokenEndpointAuthMethod: 'self_signed_tls_client_auth' },
  );
}

/** What the operator asked since then; a watch is not asking for anything more than once in five minutes. */
export function requestsSince({ proxy }: FaultWorld, since: number): ProxiedRequest[] {
  return proxy.requests().filter(({ at }) => at >= since);
}

const quietMs = 3_000;

/** Until the operator has asked for nothing for a while: it has nothing left to do. */
export async function silence(world: FaultWorld): Promise<void> {
  const calls = () => world.proxy.requests().findLast(({ verb }) => verb !== 'watch')?.at ?? 0;
  await waitFor(() => Date.now() - calls() > quietMs, 120_000);
}

/** Nothing of an earlier case is left. */
export async function emptied(world: FaultWorld): Promise<void> {
  const { kube } = world.installation;
  for (const { metadata } of (await kube.list(oauthClients, { namespace: NAMESPACE })).items) {
    await kube.delete(oauthClients, metadata);
  }
  await waitFor(async () => (await kube.list(oauthClients, { namespace: NAMESPACE })).items.length === 0, 120_000);
}

/** What the lifecycle cases run in: one installation for one client authentication method. */
import { resolve } from 'node:path';
import { authorizationServer } from '../../src/api/authorization-server.ts';
import { authorizationServers, oauthClients } from '../../src/api/resources.ts';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import type { AuditEvent } from '../support/audit-log.ts';
import { apply, documents, namespace } from '../support/cluster-objects.ts';
import type { ReceivedRequest } from '../support/fault.ts';
import { CLIENTS_ALLOWED, startInstallation, type Installation } from '../support/installation.ts';
import { TestClient } from '../support/oauth-client.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { SELF_SIGNED_SERVER, selfSignedPlatform } from '../support/self-signed-platform.ts';
import { waitFor } from '../support/wait-for.ts';

export const SCOPES = ['accounts:read', 'accounts:write'];
/** The platform's example of hosts that have opted in. */
export const INGRESSES = resolve(import.meta.dirname, '../../examples/ingresses.yaml');
const propagation = '5s';
const accessTokenTTL = 3;
/** What every drain lasts at least: propagation and the longest token life. */
export const SHORTEST_DRAIN_MS = 8_000;

export interface LifecycleWorld {
  readonly installation: Installation;
  readonly method: AuthMethod;
  operator: OperatorProcess;
  client(name: string): TestClient;
}

function specOf(object: KubernetesObject): Record<string, unknown> {
  return { ...Object(object['spec']) };
}

/** The platform's example, with more scopes to ask for and quicker terminators. */
export function edited(
  objects: readonly KubernetesObject[],
  clients: Record<string, unknown> = {},
): KubernetesObject[] {
  return objects.map((object) => {
    if (object.kind !== authorizationServers.kind) return object;
    const spec = specOf(object);
    return {
      ...object,
      spec: { ...spec, propagation, clients: { ...Object(spec['clients']), scopes: SCOPES, ...clients } },
    };
  });
}

export async function serverReady({ kube }: Pick<Installation, 'kube'>, name: string): Promise<void> {
  await waitFor(async () => {
    const object = await kube.get(authorizationServers, { name });
    const ready = authorizationServer.parse(object).status?.conditions?.find(({ type }) => type === 'Ready');
    return ready?.status === 'True';
  }, 60_000);
}

export async function startLifecycleWorld(method: AuthMethod): Promise<LifecycleWorld> {
  const installation = await startInstallation({ accessTokenTTL });
  const { kube, ingressController } = installation;
  const server = method === 'tls_client_auth' ? 'corporate' : SELF_SIGNED_SERVER;
  await apply(
    kube,
    ...edited(await installation.platform()),
    ...edited(selfSignedPlatform(installation, SCOPES)),
    ...(await documents(INGRESSES)),
    namespace('team', CLIENTS_ALLOWED),
  );
  const base = { authorizationServerRef: { name: server }, tokenEndpointAuthMethod: method };
  const operator = await installation.startOperator();
  await serverReady(installation, server);
  await ingressController.settled();
  return {
    installation,
    method,
    operator,
    client: (name) => new TestClient(installation, { namespace: 'team', name }, base),
  };
}

/** Called with every request before the authorization server sees it; the request waits for it. */
export function observe({ installation }: LifecycleWorld, seen: (request: ReceivedRequest) => Promise<void>): void {
  installation.authorizationServer.setFault(async (request) => {
    await seen(request);
    return undefined;
  });
}

const writing = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

/** The operator's writes since then but the Lease, in the order of the API server's audit log. */
export async function operatorWrites({ installation }: LifecycleWorld, since: Date): Promise<AuditEvent[]> {
  const events = await installation.plane.auditEvents();
  const ours = events.filter((e) => e.userAgent.startsWith('certbound/') && e.resource !== 'leases');
  return ours.filter((e) => writing.has(e.verb) && e.receivedAt >= since);
}

/** Every OAuthClient of the installation. */
export async function allClients({ installation }: LifecycleWorld): Promise<TestClient[]> {
  const { items } = await installation.kube.list(oauthClients);
  return items.map(
    ({ metadata }) => new TestClient(installation, { namespace: metadata.namespace ?? '', name: metadata.name }),
  );
}

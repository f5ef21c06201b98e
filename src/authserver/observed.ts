import { createHmac, randomBytes } from 'node:crypto';
import { IN_USE_FINALIZER } from '../api/annotations.ts';
import type { AuthorizationServer } from '../api/authorization-server.ts';
import { asOperatorError, type OperatorError } from '../errors.ts';
import { KubeError } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { type CaBundle, type ObjectValues, readCaBundle } from './connection/ca-bundle.ts';
import { type ManagementClient, readCredentials, readProxyCredentials } from './credentials.ts';
import type { Authorization, Authorizations } from './authorizations.ts';
import type { Intruder } from './proof/canary.ts';
import type { Discovery } from './discovery.ts';
import type { ServerConnections } from './connection/connections.ts';
import type { Enforcement } from './proof/enforcement.ts';
import type { Outage } from './connection/traffic.ts';
import { type ObservedTrust, observeTrust, type TrustMemory, type TrustSources } from './trust-bundle/observed.ts';

/** What discovery found, with what it was asked for and until when that is good enough. Kept in memory alone. */
export interface Discovered extends Discovery {
  basis: string;
  /** Epoch milliseconds. */
  until: number;
}

/** Everything that decides about one server; no secret. */
export interface Observed {
  readonly server: AuthorizationServer;
  /** OAuthClients that refer to it. */
  readonly clients: number;
  /** Why its credential cannot be used. */
  readonly credentialProblem: OperatorError | undefined;
  /** Tells the credential apart that it has now, where clients are managed with one. */
  readonly credential: string | undefined;
  /** Whether the server lets the operator manage clients, as far as this process asked. */
  readonly authorization: Authorization | undefined;
  /** What caBundleRef leads to. */
  readonly caBundle: CaBundle | undefined;
  /** Whether this operator serves key sets (`jwks_uri`). */
  readonly keySetsServed: boolean;
  /** Of this process; undefined after a restart. */
  readonly discovered: Discovered | undefined;
  /** What the canary found, of this process; undefined before one was answered. */
  readonly enforcement: { readonly intruder: Intruder | undefined } | undefined;
  /** Of its origins that do not answer, as far as this process asked them. */
  readonly outages: readonly Outage[];
  /** What its clients' certificates are trusted by, and what of that is published for it. */
  readonly trustBundle: ObservedTrust;
}

export interface ObserveOptions extends ObjectValues, TrustSources {
  servers: Pick<Informer<AuthorizationServer>, 'get'>;
  clientsOf: (server: string) => number;
  enforcement: Pick<Enforcement, 'of'>;
  authorizations: Pick<Authorizations, 'of'>;
  connections: Pick<ServerConnections, 'to'>;
  keySetsServed: boolean;
  trustMemory: TrustMemory;
  /** Servers that name another one are not ours. */
  controllerName: string;
}

/** Undefined when the server is gone, somebody else's, or deleted with nothing of ours left to do. */
export async function observe(
  options: ObserveOptions,
  discoveries: ReadonlyMap<string, Discovered>,
  name: string,
  signal: AbortSignal,
): Promise<Observed | undefined> {
  const server = options.servers.get(undefined, name);
  if (server === undefined) return undefined;
  if ((server.spec.controllerName ?? options.controllerName) !== options.controllerName) return undefined;
  const { deletionTimestamp, finalizers, uid } = server.metadata;
  if (deletionTimestamp !== undefined && !finalizers.includes(IN_USE_FINALIZER)) return undefined;
  return {
    server,
    clients: options.clientsOf(name),
    ...(await credential(options, server, signal)),
    authorization: options.authorizations.of(uid),
    caBundle: await readCaBundle(options, server, signal),
    keySetsServed: options.keySetsServed,
    discovered: discoveries.get(uid),
    enforcement: options.enforcement.of(uid),
    outages: options.connections.to(server).outages(),
    trustBundle: observeTrust(options, options.trustMemory, server),
  };
}

async function credential(
  { secretValue }: ObserveOptions,
  server: AuthorizationServer,
  signal: AbortSignal,
): Promise<Pick<Observed, 'credential' | 'credentialProblem'>> {
  try {
    const { management } = await readCredentials(secretValue, server, signal);
    await readProxyCredentials(secretValue, server, signal);
    return { credential: management && fingerprint(management), credentialProblem: undefined };
  } catch (error) {
    // The API server's failures say nothing about the credential.
    if (error instanceof KubeError) throw error;
    return { credential: undefined, credentialProblem: asOperatorError(error) };
  }
}

const key = randomBytes(32);

/** Of this process alone, so that it says nothing of the secret. */
function fingerprint(management: ManagementClient): string {
  return createHmac('sha256', key).update(JSON.stringify(management)).digest('hex');
}

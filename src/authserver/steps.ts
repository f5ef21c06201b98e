import { IN_USE_FINALIZER } from '../api/annotations.ts';
import type { AuthorizationServer } from '../api/authorization-server.ts';
import { authorizationServers } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import type { KubernetesObject } from '../kube/resource.ts';
import type { Clock } from '../runtime/clock.ts';
import type { ServerView } from './checks.ts';
import { ServerConnection, type ServerConnections } from './connection.ts';
import type { Desired } from './desired.ts';
import { discover, type Discovery } from './discovery.ts';
import type { Discovered } from './observed.ts';

export interface ServerStep {
  readonly name: 'addFinalizer' | 'removeFinalizer' | 'discover';
}

export interface StepOptions {
  client: Pick<KubeClient, 'patch'>;
  servers: Pick<Informer<AuthorizationServer>, 'remember' | 'forget'>;
  connections: Pick<ServerConnections, 'forget'>;
  clock: Pick<Clock, 'now'>;
  /** By uid. */
  discoveries: Map<string, Discovered>;
}

const DISCOVERY_INTERVAL_MS = 600_000;
/** While the server lacks something, its owner is perhaps about to put it right. */
const UNFIT_INTERVAL_MS = 60_000;

/** All I/O of the kind but reading and the status. Each step may be repeated. */
export async function runStep(
  options: StepOptions,
  step: ServerStep,
  view: ServerView,
  signal: AbortSignal,
): Promise<void> {
  switch (step.name) {
    case 'addFinalizer':
      return addFinalizer(options, view, signal);
    case 'removeFinalizer':
      return removeFinalizer(options, view, signal);
    case 'discover':
      return rediscover(options, view, signal);
  }
}

async function addFinalizer(options: StepOptions, { observed: { server } }: ServerView, signal: AbortSignal) {
  const { finalizers } = server.metadata;
  options.servers.remember(await patchFinalizers(options, server, [...finalizers, IN_USE_FINALIZER], signal));
}

async function removeFinalizer(options: StepOptions, { observed: { server } }: ServerView, signal: AbortSignal) {
  const { name, uid } = server.metadata;
  const finalizers = server.metadata.finalizers.filter((finalizer) => finalizer !== IN_USE_FINALIZER);
  const answer = await patchFinalizers(options, server, finalizers, signal);
  options.discoveries.delete(uid);
  options.connections.forget(name);
  if (finalizers.length === 0) options.servers.forget({ name }, uid);
  else options.servers.remember(answer);
}

/** Fenced by the version that was looked at: finalizers that others added meanwhile are not lost. */
function patchFinalizers(
  { client }: StepOptions,
  { metadata: { name, uid, resourceVersion } }: AuthorizationServer,
  finalizers: readonly string[],
  signal: AbortSignal,
): Promise<KubernetesObject> {
  const patch = { metadata: { uid, resourceVersion, finalizers } };
  return client.patch(authorizationServers, { name }, patch, { type: 'merge' }, { signal });
}

/** On a connection of its own: it needs no credential, and none is sent. */
async function rediscover(options: StepOptions, { observed, desired }: ServerView, signal: AbortSignal) {
  const { server } = observed;
  const connection = new ServerConnection(server);
  try {
    const discovery = await discover(connection, server.spec, signal);
    const interval = fits(discovery, desired) ? DISCOVERY_INTERVAL_MS : UNFIT_INTERVAL_MS;
    // Jittered, so that servers that were created together are not asked together for ever.
    const until = options.clock.now() + interval * (0.9 + Math.random() * 0.2);
    options.discoveries.set(server.metadata.uid, { ...discovery, basis: desired.discoveryBasis, until });
  } finally {
    await connection.close();
  }
}

function fits({ endpoints, capabilities }: Discovery, { methods }: Desired): boolean {
  const supported = capabilities.authMethods ?? [];
  return endpoints.registrationEndpoint !== undefined && methods.some((method) => supported.includes(method));
}

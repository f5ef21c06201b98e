import { IN_USE_FINALIZER } from '../api/annotations.ts';
import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { KubeClient } from '../kube/client.ts';
import { addFinalizer, removeFinalizer } from '../kube/finalizers.ts';
import type { Informer } from '../kube/informer.ts';
import type { Clock } from '../runtime/clock.ts';
import { asOperatorError } from '../errors.ts';
import type { Authorizations } from './authorizations.ts';
import type { ServerConnections } from './connection/connections.ts';
import { readCredentials, type SecretValue } from './credentials.ts';
import type { Desired } from './desired.ts';
import { discover, type Discovery } from './discovery.ts';
import type { Enforcement } from './proof/enforcement.ts';
import type { Discovered } from './observed.ts';
import { driverFor } from './registry.ts';
import type { ServerStep, ServerView } from './step.ts';
import { publishTrust, type TrustStepOptions, withdrawTrust } from './trust-bundle/steps.ts';

export interface StepOptions extends TrustStepOptions {
  client: TrustStepOptions['client'] & Pick<KubeClient, 'patch'>;
  servers: Pick<Informer<AuthorizationServer>, 'resource' | 'remember'>;
  connections: Pick<ServerConnections, 'apart' | 'forget'>;
  enforcement: Pick<Enforcement, 'forget'>;
  authorizations: Pick<Authorizations, 'found' | 'forget'>;
  secretValue: SecretValue;
  clock: Pick<Clock, 'now'>;
  /** By uid. */
  discoveries: Map<string, Discovered>;
}

const DISCOVERY_INTERVAL_MS = 600_000;
/** While the server lacks something, its owner is perhaps about to put it right. */
const UNFIT_INTERVAL_MS = 45_000;

/** All I/O of the kind but reading and the status. Each step may be repeated. */
export async function runStep(
  options: StepOptions,
  step: ServerStep,
  view: ServerView,
  signal: AbortSignal,
): Promise<void> {
  const { client, servers: cache } = options;
  const { metadata } = view.observed.server;
  switch (step.name) {
    case 'addFinalizer':
      return addFinalizer({ client, cache }, metadata, IN_USE_FINALIZER, signal);
    case 'removeFinalizer':
      await removeFinalizer({ client, cache }, metadata, IN_USE_FINALIZER, signal);
      options.discoveries.delete(metadata.uid);
      options.connections.forget(metadata.name);
      options.enforcement.forget(metadata.uid);
      options.authorizations.forget(metadata.uid);
      return;
    case 'publishTrust':
      return publishTrust(options, step, metadata.name, signal);
    case 'withdrawTrust':
      return withdrawTrust(options, step, signal);
    case 'discover':
      return rediscover(options, view, signal);
    case 'authorize':
      return authorize(options, view, signal);
  }
}

/** Jittered, so that servers that were created together are not asked together for ever. */
function askedAgainAt({ clock }: StepOptions, wasFine: boolean): number {
  return clock.now() + (wasFine ? DISCOVERY_INTERVAL_MS : UNFIT_INTERVAL_MS) * (0.9 + Math.random() * 0.2);
}

/** On a connection of its own: it needs no credential, and none is sent. */
async function rediscover(options: StepOptions, { observed, desired }: ServerView, signal: AbortSignal) {
  const { server } = observed;
  const { caBundle } = desired;
  // By what was read just now, which status does not say yet.
  const connection = options.connections.apart({ ...server, status: { ...server.status, caBundle } });
  try {
    const discovery = await discover(connection, server.spec, signal);
    const until = askedAgainAt(options, fits(discovery, server.spec, desired));
    options.discoveries.set(server.metadata.uid, { ...discovery, basis: desired.discoveryBasis, until });
  } finally {
    await connection.close();
  }
}

/** These say nothing of the credential. */
const untold = new Set(['ServerUnavailable', 'AnswerLost', 'Cancelled']);

/** On a connection of its own, with a token of its own: one that is still good says nothing of the credential. */
async function authorize(options: StepOptions, { observed, desired }: ServerView, signal: AbortSignal): Promise<void> {
  const { server, discovered } = observed;
  const { caBundle, authorizationBasis: basis = '' } = desired;
  const status = { ...server.status, caBundle, endpoints: discovered?.endpoints };
  const connection = options.connections.apart({ ...server, status });
  const credentials = () => readCredentials(options.secretValue, server, signal);
  let problem: { code: string; message: string } | undefined;
  try {
    await driverFor(server)?.authorize?.({ connection, credentials, signal });
  } catch (error) {
    const { code, message } = asOperatorError(error);
    if (untold.has(code)) throw error;
    problem = { code, message };
  } finally {
    await connection.close();
  }
  const until = askedAgainAt(options, problem === undefined);
  options.authorizations.found(server.metadata.uid, { basis, until, problem });
}

function fits(
  { endpoints, capabilities }: Discovery,
  { dynamicRegistration }: AuthorizationServer['spec'],
  { methods }: Desired,
): boolean {
  const supported = capabilities.authMethods ?? [];
  const registers = dynamicRegistration === undefined || endpoints.registrationEndpoint !== undefined;
  return registers && methods.some((method) => supported.includes(method));
}

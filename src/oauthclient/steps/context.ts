import type { AuthorizationServer } from '../../api/authorization-server.ts';
import type { OAuthClient } from '../../api/oauth-client.ts';
import { oauthClients } from '../../api/resources.ts';
import type { Claim } from '../../authserver/claims.ts';
import type { ServerConnection } from '../../authserver/connection/connection.ts';
import type { ServerCredentials } from '../../authserver/credentials.ts';
import type { Enforcement } from '../../authserver/proof/enforcement.ts';
import type { RegistrationDriver, ServerAccess } from '../../authserver/driver.ts';
import { OperatorError } from '../../errors.ts';
import type { IssuerDriver } from '../../issuer/issuer.ts';
import type { ClientCertificateIssuer } from '../../api/client-certificate-issuer.ts';
import { referenceTo, type EventRecorder } from '../../kube/event-recorder.ts';
import { type KubeClient, KubeError } from '../../kube/client.ts';
import type { Cache, Informer } from '../../kube/informer.ts';
import type { Clock } from '../../runtime/clock.ts';
import type { Rewrites } from '../../runtime/rewrites.ts';
import type { ClientMetrics, Logger } from '../../telemetry.ts';
import type { NamespaceView } from '../observed.ts';
import type { SecretProjection } from '../published-secret.ts';
import type { RecordProjection, RecordState } from '../record.ts';
import type { Comparisons } from '../comparisons.ts';
import type { RecordStore } from '../record-store.ts';
import type { ClientView } from '../step.ts';
import type { Reproofs } from '../reproofs.ts';
import type { UnstoredAnswers } from '../unstored-answers.ts';

/** What steps reach the world through. */
export interface StepContext {
  kube: KubeClient;
  clients: Cache<OAuthClient>;
  published: Cache<SecretProjection>;
  claims: Informer<Claim>;
  records: RecordStore;
  connection(server: AuthorizationServer): ServerConnection;
  enforcement: Pick<Enforcement, 'check'>;
  /** Without those that can't be read: the server's own status says what is wrong with them. */
  credentials(server: AuthorizationServer, signal: AbortSignal): Promise<ServerCredentials>;
  registrationDriver(server: AuthorizationServer): RegistrationDriver | undefined;
  issuerDriver(issuer: ClientCertificateIssuer): IssuerDriver;
  recorder: EventRecorder;
  clock: Clock;
  logger: Logger;
  metrics: ClientMetrics;
  clusterId: string;
  operatorNamespace: string;
  /** Ids of intents that this process wrote and whose call has not begun. */
  unsentIntents: Set<string>;
  unstored: UnstoredAnswers;
  /** Of published Secrets, by the client's uid. */
  rewrites: Rewrites;
  reproofs: Reproofs;
  comparisons: Comparisons;
}

export type ClientAction = (context: StepContext, view: ClientView, signal: AbortSignal) => Promise<void>;

/** In scoped mode our Role in a namespace goes with it, before the clients in it do; and its Secrets go by themselves. */
export function deniedByTermination(error: unknown, namespace: NamespaceView | undefined): boolean {
  return error instanceof KubeError && error.status === 403 && namespace?.terminating === true;
}

/** Checks have made sure that it is there; a step that runs without it is a defect, reported as one. */
export function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new TypeError(`a step ran without ${what}`);
  return value;
}

export function recordOf(view: ClientView): RecordProjection {
  return required(view.observed.record, 'a record');
}

export function serverOf(view: ClientView): AuthorizationServer {
  return required(view.observed.server, 'a server');
}

/** What a record says of the server. */
export function serverIn(view: ClientView): RecordState['server'] {
  const { metadata, spec } = serverOf(view);
  const { deregistrationDeadline } = spec.clients ?? {};
  return {
    name: metadata.name,
    issuer: spec.issuer,
    ...(deregistrationDeadline === undefined ? {} : { deregistrationDeadline }),
  };
}

export function driverOf(context: StepContext, view: ClientView): RegistrationDriver {
  const driver = context.registrationDriver(serverOf(view));
  if (driver !== undefined) return driver;
  throw new OperatorError('Unsupported', 'This version of the operator has no driver for the authorization server.', {
    retry: { class: 'terminal' },
  });
}

export function accessOf(context: StepContext, view: ClientView, signal: AbortSignal): ServerAccess {
  const server = serverOf(view);
  let credentials: Promise<ServerCredentials> | undefined;
  return {
    connection: context.connection(server),
    credentials: () => (credentials ??= context.credentials(server, signal)),
    signal,
  };
}

/** An event on the client; the note is public. */
export function tell(
  context: StepContext,
  view: ClientView,
  type: 'Normal' | 'Warning',
  reason: string,
  note: string,
): void {
  const { namespace, name, uid } = view.observed.client.metadata;
  const regarding = referenceTo(oauthClients, { namespace, name, uid });
  context.recorder.record({ regarding, type, reason, action: reason, note });
}

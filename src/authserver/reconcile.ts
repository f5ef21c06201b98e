import type { AuthorizationServer } from '../api/authorization-server.ts';
import { authorizationServers } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/event-recorder.ts';
import type { Informer } from '../kube/informer.ts';
import { writeStatus } from '../kube/status-writer.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Result } from '../runtime/controller.ts';
import { earliest, Pass, type StepObserver } from '../runtime/pass.ts';
import type { Logger } from '../telemetry.ts';
import type { ObjectValues } from './connection/ca-bundle.ts';
import type { Authorizations } from './authorizations.ts';
import { serverChecks } from './checks.ts';
import type { ServerConnections } from './connection/connections.ts';
import { heldAt } from './connection/outage.ts';
import { type Desired, desired } from './desired.ts';
import type { Enforcement } from './proof/enforcement.ts';
import { type Discovered, observe, type Observed } from './observed.ts';
import { statusOf } from './status.ts';
import type { ServerFinding, ServerStep, ServerView } from './step.ts';
import { runStep } from './steps.ts';
import type { KindUnion } from '../kube/kind-union.ts';
import { TrustMemory, type TrustSources, type TrustView, trustViews } from './trust-bundle/observed.ts';
import type { PublishedTrust } from './trust-bundle/published.ts';

export interface AuthorizationServerReconcilerOptions extends ObjectValues, TrustSources {
  client: Pick<KubeClient, 'get' | 'create' | 'update' | 'replace' | 'delete' | 'patch' | 'updateStatus'>;
  /** With the index of `indexTrust`. */
  bundles: TrustSources['bundles'] & Pick<KindUnion<PublishedTrust>, 'remember' | 'forget'>;
  servers: Informer<AuthorizationServer>;
  /** How many OAuthClients refer to the server. Must be complete before the first reconcile: it decides about deletion. */
  clientsOf: (server: string) => number;
  recorder: Pick<EventRecorder, 'record'>;
  clock: Clock;
  logger: Logger;
  connections: Pick<ServerConnections, 'to' | 'apart' | 'forget'>;
  enforcement: Pick<Enforcement, 'of' | 'forget'>;
  authorizations: Pick<Authorizations, 'of' | 'found' | 'forget'>;
  /** Whether this operator serves key sets (`jwks_uri`). */
  keySetsServed: boolean;
  controllerName: string;
  observer?: StepObserver | undefined;
}

/** Reconciles an AuthorizationServer; keys are names. */
export class AuthorizationServerReconciler {
  readonly #options: AuthorizationServerReconcilerOptions;
  readonly #pass: Pass<Observed, Desired, ServerStep>;
  /** By uid. Volatile: a restart reads everything again. */
  readonly #discoveries = new Map<string, Discovered>();
  readonly #trustMemory = new TrustMemory();

  constructor(options: AuthorizationServerReconcilerOptions) {
    this.#options = options;
    const discoveries = this.#discoveries;
    const more = { ...options, trustMemory: this.#trustMemory };
    this.#pass = new Pass<Observed, Desired, ServerStep>(
      {
        name: authorizationServers.kind,
        observe: (key, signal) => observe(more, discoveries, key, signal),
        desired,
        checks: serverChecks,
        heldBack(_key, { name }, { observed: { server } }) {
          const connection = options.connections.to(server);
          if (name === 'discover') return heldAt(connection, server.spec.issuer);
          return name === 'authorize' ? heldAt(connection, connection.adminUrl ?? server.spec.issuer) : undefined;
        },
        run: (step, view, signal) => runStep({ ...more, discoveries }, step, view, signal),
        wakeAt: ({ observed: { discovered, authorization } }) => earliest(discovered?.until, authorization?.until),
        settle: (view, findings, signal) => this.#settle(view, findings, signal),
      },
      { clock: options.clock, logger: options.logger, observer: options.observer },
    );
  }

  reconcile(key: string, signal: AbortSignal): Promise<Result> {
    return this.#pass.reconcile(key, signal);
  }

  /** What is published for the server itself, beside what its terminators have. */
  trustViews(server: AuthorizationServer): TrustView[] {
    return trustViews(this.#options, this.#trustMemory, server);
  }

  #settle(view: ServerView, findings: readonly ServerFinding[], signal: AbortSignal): Promise<void> {
    const { client, servers: cache, recorder } = this.#options;
    return writeStatus({ client, cache, recorder }, view.observed.server, statusOf(view, findings), signal);
  }
}

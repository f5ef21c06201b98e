import { isDeepStrictEqual } from 'node:util';
import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { Condition as StatusCondition } from '../api/conditions.ts';
import { authorizationServers } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import { type EventRecorder, referenceTo } from '../kube/event-recorder.ts';
import type { Informer } from '../kube/informer.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Result } from '../runtime/controller.ts';
import { Pass, type StepObserver } from '../runtime/pass.ts';
import type { Logger } from '../telemetry.ts';
import { Condition, serverChecks, type ServerFinding, type ServerView } from './checks.ts';
import type { ServerConnections } from './connection.ts';
import type { SecretValue } from './credentials.ts';
import { type Desired, desired } from './desired.ts';
import { type Discovered, observe, type Observed } from './observed.ts';
import { statusOf } from './status.ts';
import { runStep, type ServerStep } from './steps.ts';

/** Field manager of the status. */
const FIELD_MANAGER = 'certbound-authorization-server';

export interface AuthorizationServerReconcilerOptions {
  client: Pick<KubeClient, 'patch' | 'applyStatus'>;
  servers: Informer<AuthorizationServer>;
  /** How many OAuthClients refer to the server. Must be complete before the first reconcile: it decides about deletion. */
  clientsOf: (server: string) => number;
  recorder: Pick<EventRecorder, 'record'>;
  clock: Clock;
  logger: Logger;
  secretValue: SecretValue;
  connections: Pick<ServerConnections, 'forget'>;
  controllerName: string;
  observer?: StepObserver | undefined;
}

/** Reconciles an AuthorizationServer; keys are names. */
export class AuthorizationServerReconciler {
  readonly #options: AuthorizationServerReconcilerOptions;
  readonly #pass: Pass<Observed, Desired, ServerStep>;
  /** By uid. Volatile: a restart reads everything again. */
  readonly #discoveries = new Map<string, Discovered>();

  constructor(options: AuthorizationServerReconcilerOptions) {
    this.#options = options;
    const discoveries = this.#discoveries;
    this.#pass = new Pass<Observed, Desired, ServerStep>(
      {
        name: authorizationServers.kind,
        observe: (key, signal) => observe(options, discoveries, key, signal),
        desired,
        checks: serverChecks,
        run: (step, view, signal) => runStep({ ...options, discoveries }, step, view, signal),
        wakeAt: ({ observed }) => observed.discovered?.until,
        settle: (view, findings, signal) => this.#settle(view, findings, signal),
      },
      { clock: options.clock, logger: options.logger, observer: options.observer },
    );
  }

  reconcile(key: string, signal: AbortSignal): Promise<Result> {
    return this.#pass.reconcile(key, signal);
  }

  async #settle(view: ServerView, findings: readonly ServerFinding[], signal: AbortSignal): Promise<void> {
    const { client, servers } = this.#options;
    const { server } = view.observed;
    const { name, uid, resourceVersion } = server.metadata;
    const status = statusOf(view, findings);
    if (isDeepStrictEqual(status, server.status)) return;
    const written = await client.applyStatus(
      authorizationServers,
      { metadata: { name, uid, resourceVersion }, status },
      // Whoever edits the status of our own kind does not keep it.
      { fieldManager: FIELD_MANAGER, force: true },
      { signal },
    );
    servers.remember(written);
    this.#tell(
      server,
      status.conditions?.find(({ type }) => type === Condition.ready),
    );
  }

  /** An event where Ready, or its reason, changed. */
  #tell({ metadata, status }: AuthorizationServer, ready: StatusCondition | undefined): void {
    const before = status?.conditions?.find(({ type }) => type === Condition.ready);
    if (ready === undefined || (before?.status === ready.status && before.reason === ready.reason)) return;
    const { name, uid, resourceVersion } = metadata;
    this.#options.recorder.record({
      regarding: referenceTo(authorizationServers, { name, uid, resourceVersion }),
      type: ready.status === 'True' ? 'Normal' : 'Warning',
      reason: ready.reason,
      action: 'Reconcile',
      note: ready.message,
    });
  }
}

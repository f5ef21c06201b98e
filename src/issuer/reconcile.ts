import { isDeepStrictEqual } from 'node:util';
import { type ClientCertificateIssuer, clientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { clientCertificateIssuers } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import { type EventRecorder, referenceTo } from '../kube/event-recorder.ts';
import type { Informer } from '../kube/informer.ts';
import type { KubernetesObject } from '../kube/resource.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Result } from '../runtime/controller.ts';
import { type Finding, Pass, type StepObserver } from '../runtime/pass.ts';
import type { Logger } from '../telemetry.ts';
import type { CaProjection } from './certificate-authority-secret.ts';
import { Condition, issuerChecks, type IssuerView } from './checks.ts';
import { type Desired, desired } from './desired.ts';
import { observe, type Observed } from './observed.ts';
import { nextChangeAt, statusOf } from './status.ts';
import { type IssuerStep, runStep } from './steps.ts';

/** Field manager of the status. */
const FIELD_MANAGER = 'certbound-issuer';

export interface IssuerReconcilerOptions {
  client: KubeClient;
  issuers: Informer<ClientCertificateIssuer>;
  /** Secrets of the operator's namespace, by `projectCaSecret`. */
  authoritySecrets: Informer<CaProjection>;
  /**
   * How many OAuthClients use the issuer. Must be complete before the first reconcile: an unused issuer that is deleted
   * takes its CA with it.
   */
  usersOf: (issuerName: string) => number;
  recorder: EventRecorder;
  clock: Clock;
  logger: Logger;
  operatorNamespace: string;
  clusterId: string;
  observer?: StepObserver | undefined;
}

/** What the informer of the kind keeps. */
export function projectIssuer(object: KubernetesObject): ClientCertificateIssuer {
  return clientCertificateIssuer.parse(object);
}

/** Reconciles a ClientCertificateIssuer; keys are names. */
export class IssuerReconciler {
  readonly #options: IssuerReconcilerOptions;
  readonly #pass: Pass<Observed, Desired, IssuerStep>;

  constructor(options: IssuerReconcilerOptions) {
    this.#options = options;
    this.#pass = new Pass<Observed, Desired, IssuerStep>(
      {
        name: clientCertificateIssuers.kind,
        observe: (key, signal) => observe(options, key, signal),
        desired,
        checks: issuerChecks,
        run: (step, view, signal) => runStep(options, step, view, signal),
        wakeAt: nextChangeAt,
        settle: (view, findings, signal) => this.#settle(view, findings, signal),
      },
      { clock: options.clock, logger: options.logger, observer: options.observer },
    );
  }

  reconcile(key: string, signal: AbortSignal): Promise<Result> {
    return this.#pass.reconcile(key, signal);
  }

  async #settle(view: IssuerView, findings: readonly Finding<IssuerStep>[], signal: AbortSignal): Promise<void> {
    const { client, issuers } = this.#options;
    const { issuer } = view.observed;
    const { name, uid, resourceVersion } = issuer.metadata;
    const status = statusOf(view, findings);
    if (isDeepStrictEqual(status, issuer.status)) return;
    const written = await client.applyStatus(
      clientCertificateIssuers,
      { metadata: { name, uid, resourceVersion }, status },
      // Whoever edits the status of our own kind does not keep it.
      { fieldManager: FIELD_MANAGER, force: true },
      { signal },
    );
    issuers.remember(written);
    this.#tell(
      issuer,
      status.conditions?.find(({ type }) => type === Condition.ready),
    );
  }

  /** An event where Ready, or its reason, changed. */
  #tell(
    { metadata: { name, uid, resourceVersion }, status }: ClientCertificateIssuer,
    ready: NonNullable<NonNullable<ClientCertificateIssuer['status']>['conditions']>[number] | undefined,
  ): void {
    const before = status?.conditions?.find(({ type }) => type === Condition.ready);
    if (ready === undefined || (before?.status === ready.status && before.reason === ready.reason)) return;
    this.#options.recorder.record({
      regarding: referenceTo(clientCertificateIssuers, { name, uid, resourceVersion }),
      type: ready.status === 'True' && ready.reason !== 'CAExpiresSoon' ? 'Normal' : 'Warning',
      reason: ready.reason,
      action: 'Reconcile',
      note: ready.message,
    });
  }
}

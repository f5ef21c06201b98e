import { type ClientCertificateIssuer, clientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { clientCertificateIssuers } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/event-recorder.ts';
import type { Informer } from '../kube/informer.ts';
import type { KubernetesObject } from '../kube/resource.ts';
import { writeStatus } from '../kube/status-writer.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Result } from '../runtime/controller.ts';
import { Pass, type StepObserver } from '../runtime/pass.ts';
import type { Logger } from '../telemetry.ts';
import type { CaProjection } from './certificate-authority-secret.ts';
import { issuerChecks } from './checks.ts';
import { type Desired, desired } from './desired.ts';
import { observe, type Observed } from './observed.ts';
import { nextChangeAt, statusOf } from './status.ts';
import type { IssuerFinding, IssuerStep, IssuerView } from './step.ts';
import { runStep } from './steps.ts';

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

  #settle(view: IssuerView, findings: readonly IssuerFinding[], signal: AbortSignal): Promise<void> {
    const { client, issuers: cache, recorder } = this.#options;
    const status = statusOf(view, findings);
    return writeStatus({ client, cache, recorder }, view.observed.issuer, status, signal, ['CAExpiresSoon']);
  }
}

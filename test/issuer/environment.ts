import { setTimeout as delay } from 'node:timers/promises';
import assert from 'node:assert/strict';
import type { ClientCertificateIssuer, ClientCertificateIssuerSpec } from '../../src/api/client-certificate-issuer.ts';
import { clientCertificateIssuers } from '../../src/api/resources.ts';
import {
  authoritySecretName,
  type CaProjection,
  projectCaSecret,
} from '../../src/issuer/certificate-authority-secret.ts';
import { IssuerReconciler, projectIssuer } from '../../src/issuer/reconcile.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { EventRecorder } from '../../src/kube/event-recorder.ts';
import { Informer } from '../../src/kube/informer.ts';
import { type KubernetesObject, secrets } from '../../src/kube/resource.ts';
import type { Result } from '../../src/runtime/controller.ts';
import type { StepObserver } from '../../src/runtime/pass.ts';
import { createLogger } from '../../src/telemetry.ts';
import type { Ca } from '../../src/x509/certificate.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { applyCrds } from '../support/crds.ts';
import { FakeClock } from '../support/fake-clock.ts';

export const operatorNamespace = 'default';
export const clusterId = 'test-cluster';
const name = 'certbound-test';
const GENEROUS_MS = 60_000;

export const lasting = () => AbortSignal.timeout(GENEROUS_MS);

/** A real API server with our CRDs, the caches of an operator, and a clock that stands still. */
export class IssuerEnvironment {
  readonly plane: ControlPlane;
  readonly client: KubeClient;
  readonly issuers: Informer<ClientCertificateIssuer>;
  readonly authoritySecrets: Informer<CaProjection>;
  readonly users = new Map<string, number>();
  readonly clock = new FakeClock(Math.floor(Date.now() / 1000) * 1000);
  readonly recorder: EventRecorder;
  readonly #stop = new AbortController();

  private constructor(plane: ControlPlane) {
    this.plane = plane;
    const client = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: name, fieldManager: name });
    this.client = client;
    this.issuers = new Informer({ client, resource: clientCertificateIssuers, project: projectIssuer });
    this.authoritySecrets = new Informer({
      client,
      resource: secrets,
      namespace: operatorNamespace,
      project: projectCaSecret,
    });
    this.recorder = new EventRecorder({ client, controller: 'certbound.dev/test', instance: 'test' });
  }

  static async start(): Promise<IssuerEnvironment> {
    const plane = await startControlPlane();
    try {
      await applyCrds(plane.kubeconfigPath);
      const environment = new IssuerEnvironment(plane);
      for (const informer of [environment.issuers, environment.authoritySecrets]) {
        informer.start(environment.#stop.signal);
        await informer.synced;
      }
      return environment;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.recorder.close();
    await this.client.close();
    await this.plane.stop();
  }

  reconciler(observer?: StepObserver): IssuerReconciler {
    return new IssuerReconciler({
      client: this.client,
      issuers: this.issuers,
      authoritySecrets: this.authoritySecrets,
      usersOf: (issuer) => this.users.get(issuer) ?? 0,
      recorder: this.recorder,
      clock: this.clock,
      logger: createLogger({ level: 'silent' }),
      operatorNamespace,
      clusterId,
      observer,
    });
  }

  /** One pass of a fresh operator, whose caches have seen all there is. */
  async reconcile(issuer: string, reconciler = this.reconciler()): Promise<Result> {
    await this.caughtUp(issuer);
    return reconciler.reconcile(issuer, lasting());
  }

  async create(issuer: string, spec: ClientCertificateIssuerSpec): Promise<void> {
    await this.client.create(clientCertificateIssuers, { metadata: { name: issuer }, spec });
  }

  async issuer(issuer: string): Promise<ClientCertificateIssuer | undefined> {
    const object = await this.client.get(clientCertificateIssuers, { name: issuer });
    return object === undefined ? undefined : projectIssuer(object);
  }

  async status(issuer: string): Promise<NonNullable<ClientCertificateIssuer['status']>> {
    const status = (await this.issuer(issuer))?.status;
    assert.ok(status !== undefined, `issuer ${issuer} has no status`);
    return status;
  }

  /** `True AuthorityUsable`. */
  async condition(issuer: string, type = 'Ready'): Promise<string | undefined> {
    const condition = (await this.status(issuer)).conditions?.find((c) => c.type === type);
    return condition === undefined ? undefined : `${condition.status} ${condition.reason}`;
  }

  secret(secretName: string): Promise<KubernetesObject | undefined> {
    return this.client.get(secrets, { namespace: operatorNamespace, name: secretName });
  }

  /** Puts a Secret there, whatever was there before. */
  async putSecret(secretName: string, data: Record<string, string>, type = 'kubernetes.io/tls'): Promise<void> {
    await this.deleteSecret(secretName);
    const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
    await this.client.create(secrets, {
      metadata: { name: secretName, namespace: operatorNamespace },
      type,
      data: Object.fromEntries(encoded),
    });
  }

  putCa(secretName: string, ca: Ca): Promise<void> {
    return this.putSecret(secretName, { 'tls.crt': ca.certificatePem, 'tls.key': ca.privateKeyPem });
  }

  deleteSecret(secretName: string): Promise<void> {
    return this.client.delete(secrets, { namespace: operatorNamespace, name: secretName });
  }

  /** Waits until the caches have the present version of an issuer and of its Secret. */
  async caughtUp(issuer: string): Promise<void> {
    await until(async () => {
      const live = await this.client.get(clientCertificateIssuers, { name: issuer });
      return this.issuers.get(undefined, issuer)?.metadata.resourceVersion === live?.metadata.resourceVersion;
    });
    const cached = this.issuers.get(undefined, issuer);
    const secretName = cached === undefined ? undefined : authoritySecretName(cached);
    if (secretName !== undefined) await this.secretCaughtUp(secretName);
  }

  async secretCaughtUp(secretName: string): Promise<void> {
    await until(async () => {
      const object = await this.secret(secretName);
      const projected = object === undefined ? undefined : projectCaSecret(object);
      const cached = this.authoritySecrets.get(operatorNamespace, secretName);
      return cached?.resourceVersion === projected?.resourceVersion;
    });
  }
}

/** The world is read anew each time: the API server itself writes too. */
export async function until(holds: () => Promise<boolean>): Promise<void> {
  const signal = lasting();
  while (!(await holds())) await delay(10, undefined, { signal });
}

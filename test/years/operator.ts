/** One life of the operator: its caches, its memory, and the passes of three kinds. All of it is the real code. */
import { Enforcement } from '../../src/authserver/proof/enforcement.ts';
import { createCaches, type Caches } from '../../src/caches.ts';
import { Role, ROLE_LABEL } from '../../src/api/annotations.ts';
import type { AuthorizationServer } from '../../src/api/authorization-server.ts';
import { driverFor } from '../../src/authserver/registry.ts';
import type { ServerConnection } from '../../src/authserver/connection/connection.ts';
import { issuerRegistry } from '../../src/issuer/registry.ts';
import { IssuerReconciler } from '../../src/issuer/reconcile.ts';
import { KubeClient } from '../../src/kube/client.ts';
import type { Cache } from '../../src/kube/informer.ts';
import { EventRecorder } from '../../src/kube/event-recorder.ts';
import { OPERATOR_FIELD_MANAGER } from '../../src/kube/field-managers.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import type { Transport } from '../../src/kube/transport.ts';
import { createMetrics } from '../../src/metrics.ts';
import { HOLDER_INDEX, oauthClientKind, secretKey, SECRET_NAME_INDEX } from '../../src/oauthclient/reconcile.ts';
import { Comparisons } from '../../src/oauthclient/comparisons.ts';
import { RecordStore } from '../../src/oauthclient/record-store.ts';
import { Reproofs } from '../../src/oauthclient/reproofs.ts';
import { UnstoredAnswers } from '../../src/oauthclient/unstored-answers.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import type { Result } from '../../src/runtime/controller.ts';
import { Pass, type StepObserver } from '../../src/runtime/pass.ts';
import { Rewrites } from '../../src/runtime/rewrites.ts';
import { createLogger } from '../../src/telemetry.ts';
import { distribution } from '../../src/terminator/distribution.ts';
import { TerminatorKind } from '../../src/terminator/reconcile.ts';
import { clusterId } from '../oauthclient/view.ts';
import type { ObjectChange } from './api-server.ts';

export const OPERATOR_NAMESPACE = 'certbound-system';

const logger = createLogger({ level: 'silent' });
const metrics = createMetrics();
const never = new AbortController().signal;

export interface LifeOptions {
  transport: Transport;
  clock: Clock;
  connect: (server: AuthorizationServer) => ServerConnection;
  /** Everything that the API server has when it starts. */
  objects: Iterable<KubernetesObject>;
  observer: StepObserver;
  /** Each event that is recorded. */
  onEvent: (event: KubernetesObject) => void;
}

export class OperatorLife {
  readonly caches: Caches;
  readonly #kinds: readonly Reconciled[] = [];
  readonly #terminators: TerminatorKind;

  constructor({ transport, clock, connect, objects, observer, onEvent }: LifeOptions) {
    const kube = new KubeClient(transport, OPERATOR_FIELD_MANAGER);
    const drivers = new Set(['nginx']);
    const served = { namespace: OPERATOR_NAMESPACE, watchNamespaces: [], terminators: drivers };
    const caches = createCaches(kube, served, logger, metrics);
    this.caches = caches;
    caches.clients.addIndex(SECRET_NAME_INDEX, (client) => [secretKey(client)]);
    caches.claims.addIndex(HOLDER_INDEX, ({ holder }) => [holder]);
    const create = (_resource: unknown, object: KubernetesObject) => {
      onEvent(object);
      return Promise.resolve(object);
    };
    const unheard = { create, patch: () => Promise.reject(new TypeError('no event is repeated here')) };
    const recorder = new EventRecorder({ client: unheard, controller: 'certbound', instance: clusterId, clock });
    const terminators = new TerminatorKind({ client: kube, ...caches, drivers, recorder, clock, logger });
    this.#terminators = terminators;
    const clients = oauthClientKind(
      {
        kube,
        ...caches,
        distribution: (server, caSha256) =>
          distribution({ server, caSha256, terminators: terminators.views.of(server, clock.now()) }),
        controllerName: 'certbound.dev/operator',
        clusterId,
        operatorNamespace: OPERATOR_NAMESPACE,
        jwksUrl: undefined,
      },
      {
        kube,
        ...caches,
        records: new RecordStore(kube, caches.records, OPERATOR_NAMESPACE),
        connection: connect,
        enforcement: new Enforcement(),
        credentials: () => Promise.resolve({}),
        registrationDriver: driverFor,
        issuerDriver: issuerRegistry({
          client: kube,
          authoritySecrets: caches.authoritySecrets,
          operatorNamespace: OPERATOR_NAMESPACE,
        }),
        recorder,
        clock,
        logger,
        metrics: metrics.clients,
        clusterId,
        operatorNamespace: OPERATOR_NAMESPACE,
        unsentIntents: new Set(),
        unstored: new UnstoredAnswers(),
        rewrites: new Rewrites(),
        reproofs: new Reproofs(clock.now()),
        comparisons: new Comparisons(clock.now()),
      },
    );
    const issuers = new IssuerReconciler({
      client: kube,
      ...caches,
      usersOf: () => 1,
      recorder,
      clock,
      logger,
      operatorNamespace: OPERATOR_NAMESPACE,
      clusterId,
      observer,
    });
    const clientPass = new Pass(clients, { clock, logger, observer });
    const terminatorPass = new Pass(terminators, { clock, logger, observer });
    for (const object of objects) this.observe({ before: undefined, after: object });
    this.#kinds = [
      new Reconciled(clock, () =>
        soonest([...caches.issuers.list()], ({ metadata }) => issuers.reconcile(metadata.name, never)),
      ),
      new Reconciled(clock, () => soonest(this.#scopes(), (key) => terminatorPass.reconcile(key, never))),
      new Reconciled(clock, () =>
        soonest([...caches.clients.list()], ({ metadata: { namespace = '', name } }) =>
          clientPass.reconcile(`${namespace}/${name}`, never),
        ),
      ),
    ];
  }

  /** What its watches tell. */
  observe({ before, after }: ObjectChange): void {
    const object = after ?? before;
    if (object === undefined) return;
    for (const cache of this.#cachesOf(object)) {
      if (after === undefined) cache.forget(object.metadata, object.metadata.uid);
      else cache.remember(after);
    }
    const ofClients = [this.caches.clients, this.caches.records, this.caches.published, this.caches.claims];
    const concerned = this.#cachesOf(object).some((cache) => ofClients.some((one) => one === cache))
      ? this.#kinds.slice(-1)
      : this.#kinds;
    for (const kind of concerned) kind.enqueue();
  }

  /**
   * The passes that are due; one that fails is due again a little later, as a work queue has it.
   * @returns when the next is, epoch milliseconds
   */
  async reconcile(): Promise<number> {
    for (const kind of this.#kinds) await kind.reconcile();
    return Math.min(...this.#kinds.map(({ due }) => due));
  }

  #scopes(): string[] {
    const keys = [...this.caches.frontends.list()].flatMap((frontend) => this.#terminators.keysForFrontend(frontend));
    return [...new Set(keys)];
  }

  #cachesOf({ kind, metadata }: KubernetesObject): Written[] {
    const { caches } = this;
    const role = metadata.labels?.[ROLE_LABEL];
    switch (kind) {
      case 'OAuthClient':
        return [caches.clients];
      case 'AuthorizationServer':
        return [caches.servers];
      case 'ClientCertificateIssuer':
        return [caches.issuers];
      case 'Namespace':
        return [caches.namespaces];
      case 'Ingress':
        return [writtenTo(caches.frontends, kind)];
      case 'IngressClass':
        return [caches.ingressClasses];
      case 'ConfigMap':
        return role === Role.claim ? [caches.claims] : [];
      case 'Secret':
        if (role === Role.published) return [caches.published];
        if (role === Role.trustBundle) return [writtenTo(caches.bundles, kind)];
        if (metadata.namespace !== OPERATOR_NAMESPACE) return [];
        return role === Role.client ? [caches.records] : [caches.authoritySecrets];
      default:
        return [];
    }
  }
}

type Written = Pick<Cache<never>, 'remember' | 'forget'>;

const writtenTo = (union: Caches['frontends'] | Caches['bundles'], kind: string): Written => ({
  remember: (object) => union.remember(kind, object),
  forget: (ref, uid) => union.forget(kind, ref, uid),
});

/** One after the other. */
async function soonest<T>(of: Iterable<T>, reconcile: (one: T) => Promise<Result>): Promise<Result> {
  let requeueAfterMs = Infinity;
  for (const one of of) requeueAfterMs = Math.min(requeueAfterMs, (await reconcile(one)).requeueAfterMs ?? Infinity);
  return { requeueAfterMs };
}

const retryMs = 1_000;

/** The objects of one kind, and when they are to be looked at. */
class Reconciled {
  /** Epoch milliseconds. */
  due = -Infinity;
  readonly #clock: Clock;
  readonly #pass: () => Promise<Result>;
  #working = false;

  constructor(clock: Clock, pass: () => Promise<Result>) {
    this.#clock = clock;
    this.#pass = pass;
  }

  /** A pass looks again after each of its own writes. */
  enqueue(): void {
    if (!this.#working) this.due = -Infinity;
  }

  async reconcile(): Promise<void> {
    if (this.due > this.#clock.now()) return;
    this.due = this.#clock.now() + retryMs;
    this.#working = true;
    try {
      const { requeueAfterMs = Infinity } = await this.#pass();
      // Timers count whole milliseconds.
      this.due = this.#clock.now() + Math.ceil(requeueAfterMs);
    } finally {
      this.#working = false;
    }
  }
}

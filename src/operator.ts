import { hostname } from 'node:os';
import type { AuthorizationServer } from './api/authorization-server.ts';
import { clientCertificateIssuers } from './api/resources.ts';
import { asOperatorError, type OperatorError } from './errors.ts';
import { createCaches, type Caches } from './caches.ts';
import type { Config } from './config.ts';
import { AuthorizationServerReconciler } from './authserver/reconcile.ts';
import { ServerConnections } from './authserver/connection/connections.ts';
import {
  readCredentials,
  readProxyCredentials,
  type SecretValue,
  type ServerCredentials,
} from './authserver/credentials.ts';
import { sweepClaim } from './authserver/claim-sweep.ts';
import { Authorizations } from './authserver/authorizations.ts';
import { Enforcement } from './authserver/proof/enforcement.ts';
import { driverFor } from './authserver/registry.ts';
import { indexTrust } from './authserver/trust-bundle/observed.ts';
import { startJwksServer } from './http/jwks.ts';
import { startOperatorServer } from './http/server.ts';
import { issuerRegistry } from './issuer/registry.ts';
import { IssuerReconciler } from './issuer/reconcile.ts';
import { KubeClient } from './kube/client.ts';
import { EventRecorder } from './kube/event-recorder.ts';
import { OPERATOR_FIELD_MANAGER } from './kube/field-managers.ts';
import { configMaps, secrets, type Resource } from './kube/resource.ts';
import { leadershipOf } from './leadership.ts';
import { issuerNameOf } from './oauthclient/desired.ts';
import { keysAt } from './oauthclient/key-set.ts';
import { HOLDER_INDEX, oauthClientKind, secretKey, SECRET_NAME_INDEX } from './oauthclient/reconcile.ts';
import { Comparisons } from './oauthclient/comparisons.ts';
import { RecordStore } from './oauthclient/record-store.ts';
import { Reproofs } from './oauthclient/reproofs.ts';
import { UnstoredAnswers } from './oauthclient/unstored-answers.ts';
import { systemClock } from './runtime/clock.ts';
import { Controller, type Result } from './runtime/controller.ts';
import type { Fence } from './runtime/fence.ts';
import { Pass, type StepObserver } from './runtime/pass.ts';
import { Rewrites } from './runtime/rewrites.ts';
import { WorkQueue, type WorkQueueOptions } from './runtime/workqueue.ts';
import { createMetrics } from './metrics.ts';
import { registerStateMetrics } from './state-metrics.ts';
import type { Logger } from './telemetry.ts';
import { distribution } from './terminator/distribution.ts';
import { TerminatorProofs } from './terminator/proof/proofs.ts';
import { TerminatorKind } from './terminator/reconcile.ts';
import { clientOrder, connectSources, SERVER_INDEX, type Controllers } from './sources.ts';

const RECORD_ISSUER_INDEX = 'issuer';
const ANY_ISSUER = '*';
const passDeadlineMs = 120_000;
/** Of the API server, while a connection through a proxy is opened. */
const lookupMs = 5_000;
/** Of a server that answers again, fifty clients a second, and all of them within half a minute. */
const wakeMs = 20;
const longestWakeMs = 30_000;
/** Clients of one server never get every worker: it may take its time, or not answer at all. */
const largestShare = 0.75;
/** Scopes whose terminators are asked at the same time. */
const proofWorkers = 4;
/** Within what kubelet grants by default before it kills (30 s); the rest is for events and for the Lease. */
const drainMs = 20_000;

export interface OperatorOptions {
  /** Told of each step of every kind. */
  observer?: StepObserver | undefined;
  /** Objects of each of the platform's kinds worked on at the same time. Default 4. */
  platformWorkers?: number | undefined;
}

export interface Operator {
  /** Where health and metrics are served. */
  readonly port: number;
  /** Finishes what is under way, sends what was recorded, closes every connection. */
  stop(): Promise<void>;
}

/**
 * Wires caches, kinds and controllers together; resolves once every cache is synced. The controllers work from when this
 * replica is the leader.
 *
 * @param onLost the leader no longer is one: the process must end at once, with nothing finished
 */
export async function startOperator(
  config: Config,
  logger: Logger,
  onLost: (why: OperatorError) => void,
  { observer: told, platformWorkers = 4 }: OperatorOptions = {},
): Promise<Operator> {
  const clock = systemClock;
  const metrics = createMetrics();
  // The API server's audit log tells the replicas apart by it.
  const userAgent = `certbound/${config.controllerName} ${config.podName ?? hostname()}`;
  const kubeClient = (fence?: Fence) =>
    KubeClient.fromKubeconfig({
      path: config.kubeconfig,
      userAgent,
      fieldManager: OPERATOR_FIELD_MANAGER,
      metrics,
      fence,
    });
  const leadership = leadershipOf(config, {
    connect: () => kubeClient(),
    clock,
    logger,
    metrics,
    onElected: () => Object.values(controllers).forEach((each) => each.start()),
    onLost,
  });
  const { fence } = leadership;
  const kube = kubeClient(fence);
  const recorder = new EventRecorder({
    client: kube,
    controller: config.controllerName,
    instance: config.clusterId,
    clock,
    logger,
  });
  const authorizations = new Authorizations();
  const connections = new ServerConnections({
    fence,
    metrics: metrics.serverCalls,
    proxyCredentials: (server) => readProxyCredentials(secretValue, server, AbortSignal.timeout(lookupMs)),
    onUnauthorized({ metadata: { name, uid } }) {
      if (authorizations.doubt(uid)) controllers.servers.enqueue(name);
    },
    onChange(server, held) {
      controllers.servers.enqueue(server);
      const spreadMs = Math.min(longestWakeMs, held.length * wakeMs);
      for (const key of held) controllers.clients.enqueueAfter(key, Math.random() * spreadMs);
    },
  });
  const enforcement = new Enforcement();
  const observer: StepObserver = {
    async before(kind, step, key) {
      await told?.before(kind, step, key);
      // Last, however long that took: nobody may have become the leader meanwhile.
      fence();
    },
    after: (kind, step, key) => told?.after(kind, step, key),
  };
  const caches = createCaches(kube, config, logger, metrics);
  const { namespace: operatorNamespace, clusterId, controllerName } = config;

  caches.clients.addIndex(SECRET_NAME_INDEX, (client) => [secretKey(client)]);
  caches.claims.addIndex(HOLDER_INDEX, ({ holder }) => [holder]);
  indexTrust(caches.bundles);
  caches.clients.addIndex(SERVER_INDEX, (client) => [client.spec.authorizationServerRef.name]);
  const terminators = new TerminatorKind({
    client: kube,
    ...caches,
    drivers: config.terminators,
    manualControllers: config.manualTerminators,
    recorder,
    clock,
    logger,
  });

  /** Values are read when they are needed and kept nowhere. */
  const valueIn =
    (resource: Resource, encoding: BufferEncoding): SecretValue =>
    async (name, key, signal) => {
      const object = await kube.get(resource, { namespace: operatorNamespace, name }, { signal });
      const data: unknown = object?.['data'];
      const value: unknown = typeof data === 'object' && data !== null ? Reflect.get(data, key) : undefined;
      return typeof value === 'string' ? Buffer.from(value, encoding).toString().trim() : undefined;
    };
  const secretValue = valueIn(secrets, 'base64');
  const configMapValue = valueIn(configMaps, 'utf8');

  caches.records.addIndex(RECORD_ISSUER_INDEX, ({ state }) =>
    // A record that can't be read may hold a certificate of any issuer.
    state === undefined ? [ANY_ISSUER] : state.certificates.map((certificate) => certificate.issuer),
  );
  /** Also of clients that moved on but still have a certificate from it: its CA goes only with the last of them. */
  const usersOf = (issuer: string): number =>
    [...caches.clients.list()].filter((client) => issuerNameOf(client, serverOf(caches, client)) === issuer).length +
    caches.records.byIndex(RECORD_ISSUER_INDEX, issuer).length +
    caches.records.byIndex(RECORD_ISSUER_INDEX, ANY_ISSUER).length;

  const issuerDriver = issuerRegistry({ client: kube, authoritySecrets: caches.authoritySecrets, operatorNamespace });
  const terminatorProofs = new TerminatorProofs({
    addresses: config.terminatorAddresses,
    subjectOf: (key) => terminators.proofSubject(key),
    sign: (issuer, request, signal) => issuerDriver(issuer).sign(issuer, request, signal),
    results: terminators.proofs,
    clock,
    logger,
    metrics: metrics.terminatorProofs,
    onChange(key, server) {
      controllers.terminators.enqueue(key);
      for (const { metadata } of caches.clients.byIndex(SERVER_INDEX, server))
        controllers.clients.enqueue(`${metadata.namespace ?? ''}/${metadata.name}`);
    },
  });
  const clientKind = oauthClientKind(
    {
      kube,
      ...caches,
      distribution: (server, caSha256) =>
        distribution({
          server,
          caSha256,
          terminators: [...terminators.views.of(server, clock.now()), ...serverReconciler.trustViews(server)],
        }),
      controllerName,
      clusterId,
      operatorNamespace,
      jwksUrl: config.jwks?.url,
    },
    {
      kube,
      ...caches,
      records: new RecordStore(kube, caches.records, operatorNamespace),
      connection: (server) => connections.to(server),
      enforcement,
      credentials,
      registrationDriver: driverFor,
      issuerDriver,
      recorder,
      clock,
      logger,
      metrics: metrics.clients,
      clusterId,
      operatorNamespace,
      unsentIntents: new Set(),
      unstored: new UnstoredAnswers(),
      rewrites: new Rewrites(),
      reproofs: new Reproofs(clock.now()),
      comparisons: new Comparisons(clock.now()),
    },
  );

  async function credentials(server: AuthorizationServer, signal: AbortSignal): Promise<ServerCredentials> {
    return readCredentials(secretValue, server, signal).catch((error: unknown) => {
      if (asOperatorError(error).code.startsWith('Credential')) return {};
      throw error;
    });
  }

  const issuerReconciler = new IssuerReconciler({
    client: kube,
    ...caches,
    usersOf,
    recorder,
    clock,
    logger,
    operatorNamespace,
    clusterId,
    observer,
  });
  const serverReconciler = new AuthorizationServerReconciler({
    client: kube,
    ...caches,
    watchNamespaces: config.watchNamespaces,
    clientsOf: (server) => caches.clients.byIndex(SERVER_INDEX, server).length,
    secretValue,
    configMapValue,
    connections,
    enforcement,
    authorizations,
    keySetsServed: config.jwks !== undefined,
    recorder,
    clock,
    logger,
    controllerName,
    observer,
  });
  const clientPass = new Pass(clientKind, { clock, logger, observer });
  const terminatorPass = new Pass(terminators, { clock, logger, observer });

  const controller = (
    name: string,
    workers: number,
    reconcile: (key: string, signal: AbortSignal) => Promise<Result>,
    order: Pick<WorkQueueOptions, 'groupOf' | 'isUrgent'> = {},
  ) =>
    new Controller({
      name,
      workers,
      reconcile,
      deadlineMs: passDeadlineMs,
      clock,
      logger,
      queue: new WorkQueue({ clock, metrics: metrics.workQueue(name), ...order }),
      metrics: metrics.controller(name, workers),
    });
  const controllers: Controllers = {
    clients: controller(
      'oauthclient',
      config.workers,
      (key, signal) => clientPass.reconcile(key, signal),
      clientOrder(caches, Math.max(1, Math.floor(config.workers * largestShare))),
    ),
    servers: controller('authorizationserver', platformWorkers, (key, signal) =>
      serverReconciler.reconcile(key, signal),
    ),
    issuers: controller(clientCertificateIssuers.kind.toLowerCase(), platformWorkers, (key, signal) =>
      issuerReconciler.reconcile(key, signal),
    ),
    terminators: controller('terminator', platformWorkers, (key, signal) => terminatorPass.reconcile(key, signal)),
    ...(config.terminatorAddresses.size === 0
      ? {}
      : {
          terminatorProofs: controller(
            'terminatorproof',
            proofWorkers,
            (key, signal) => terminatorProofs.reconcile(key, signal),
            { groupOf: terminatorProofs.groupOf },
          ),
        }),
    claims: controller('claim', 1, (name, signal) =>
      sweepClaim({ kube, claims: caches.claims, operatorNamespace, clock }, name, signal),
    ),
  };
  connectSources(caches, controllers, terminators);
  enforcement.onChange((name) => controllers.servers.enqueue(name));
  registerStateMetrics(metrics.registry, { ...caches, controllerName, proofs: terminators.proofs });

  const server = await startOperatorServer({
    host: config.httpAddress,
    port: config.httpPort,
    metrics,
    health: Object.fromEntries(Object.entries(controllers).map(([name, each]) => [name, () => each.stalled()])),
    readiness: {
      caches: () => {
        const waiting = caches.all.filter((cache) => !cache.hasSynced).map((cache) => cache.resource.plural);
        return waiting.length === 0 ? undefined : `not listed yet: ${waiting.join(', ')}`;
      },
    },
  });
  const jwksServer = async () =>
    config.jwks &&
    startJwksServer({
      host: config.httpAddress,
      port: config.jwks.port,
      tlsDirectory: config.jwks.tlsDirectory,
      keysOf: (name) => keysAt(name, (record) => caches.records.get(operatorNamespace, record)?.state),
      logger,
    });
  const running = new AbortController();
  for (const cache of caches.all) cache.start(running.signal);
  await Promise.all(caches.all.map((cache) => cache.synced));
  // Every replica serves them, whoever leads; from caches that lack nobody.
  const jwks = await jwksServer();
  logger.info({ clusterId, namespace: operatorNamespace, port: server.port }, 'operator started');
  leadership.start();

  return {
    port: server.port,
    async stop() {
      await Promise.all(Object.values(controllers).map((each) => each.stop({ graceMs: drainMs })));
      await recorder.close();
      // The other goes on from here; what is left concerns nobody else.
      await leadership.stop();
      running.abort();
      await connections.close();
      await jwks?.close();
      await server.close();
      await kube.close();
    },
  };
}

function serverOf(caches: Caches, client: { spec: { authorizationServerRef: { name: string } } }) {
  return caches.servers.get(undefined, client.spec.authorizationServerRef.name);
}

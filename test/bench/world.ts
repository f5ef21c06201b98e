/**
 * What is measured: the operator's bundle as it is shipped, in a process of its own, beside a real API server, nginx, and
 * an authorization server in its own process. It runs as the chart's ServiceAccount, with leader election.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { oauthClient, type OAuthClientStatus } from '../../src/api/oauth-client.ts';
import { authorizationServers, oauthClients } from '../../src/api/resources.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { Informer } from '../../src/kube/informer.ts';
import { secrets, type KubernetesObject } from '../../src/kube/resource.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import type { AuditEvent } from '../support/audit-log.ts';
import { startChild } from '../support/child.ts';
import { apply, documents, ingress, localService, namespace, opaqueSecret } from '../support/cluster-objects.ts';
import { startControlPlane, type ControlPlane } from '../support/control-plane.ts';
import { freePort } from '../support/free-port.ts';
import { startIngressController, type IngressController } from '../support/ingress-controller.ts';
import { clusterObjects } from '../support/ingress-objects.ts';
import { CLIENTS_ALLOWED, INGRESS_CLASS, localised } from '../support/installation.ts';
import { BLANK_CERTIFICATE_HEADERS, HOSTS } from '../support/oauth-deployment.ts';
import { grantOperatorRights } from '../support/operator-rights.ts';
import { createThrowawayCa, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import { startAuthorizationServerProcess, type AuthorizationServerProcess } from './authorization-server.ts';
import { profileFlags, type ProfileKind } from './profile.ts';

const root = resolve(import.meta.dirname, '../..');
const HOUR_MS = 3_600_000;
/** As the image starts it under the chart's limit: 70 % of 512 MiB. Without a limit V8 takes what the machine has. */
const HEAP_LIMITS = ['--max-old-space-size=358', '--max-semi-space-size=16'];
const IDENTITY = 'identity';

export interface OperatorUnderTest {
  readonly pid: number;
  /** The value of a metric without labels, or the sum over its series. */
  metric(name: string): Promise<number>;
  /** Until every key was worked on and nothing waits. */
  settled(keys: number): Promise<void>;
  log(): Promise<string>;
  /** SIGTERM; the profile is written then. */
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export interface ClientRef {
  namespace: string;
  name: string;
}

export interface WorldOptions {
  /** Of the terminator, each on an address of its own. Default 1. */
  replicas?: number;
  /** They follow every change, each reload this long after what it is for. Default: they are asked once. */
  reloadDelayMs?: (() => number) | undefined;
  /** Seconds. */
  accessTokenTTL?: number | undefined;
}

export interface BenchWorld {
  readonly plane: ControlPlane;
  readonly kube: KubeClient;
  readonly authorizationServer: AuthorizationServerProcess;
  readonly ingressControllers: readonly IngressController[];
  /** Of the terminator's replicas. */
  readonly addresses: readonly string[];
  /** Issues the terminators' own certificates. */
  readonly serverCa: ThrowawayCa;
  origin(host: keyof typeof HOSTS): string;
  startOperator(profile?: ProfileKind, podName?: string): Promise<OperatorUnderTest>;
  /** Until the platform's objects are ready and the terminator has what they ask for. */
  platformReady(): Promise<void>;
  /** Creates them with many requests at a time. */
  create(refs: readonly ClientRef[]): Promise<void>;
  /** What the API server's watch told of each client last; kept from the first call on. */
  watchClients(): Promise<ClientWatch>;
  /** Watches of the operator that the API server holds open. */
  openWatches(): Promise<number>;
  /** Requests of the operator that succeeded since then. */
  requests(since: Date): Promise<AuditEvent[]>;
  stop(): Promise<void>;
}

export interface ClientWatch {
  readyCount(): number;
  /** Until so many are Ready and nothing is being done for them. */
  ready(count: number, limitMs?: number): Promise<void>;
  status(ref: ClientRef): OAuthClientStatus;
  /** Resolves with the first status that fits. */
  until(ref: ClientRef, wanted: (status: OAuthClientStatus) => boolean): Promise<void>;
}

export const NAMESPACES = 10;

/** The i-th of many clients, spread over namespaces. */
export function clientRef(i: number, prefix = 'client'): ClientRef {
  return { namespace: `team-${i % NAMESPACES}`, name: `${prefix}-${String(i).padStart(5, '0')}` };
}

export function clientObject({ namespace: in_, name }: ClientRef): KubernetesObject {
  return {
    apiVersion: 'certbound.dev/v1alpha1',
    kind: oauthClients.kind,
    metadata: { namespace: in_, name },
    spec: { authorizationServerRef: { name: 'corporate' }, grantTypes: ['client_credentials'], scope: 'accounts:read' },
  };
}

/** Runs `work` for each, so many at a time. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item);
  };
  await Promise.all(Array.from({ length: width }, lane));
}

const BUNDLE = resolve(root, 'dist/bench/certbound.mjs');
let bundled: Promise<string> | undefined;

/** Once a run: what is in the tree then. */
function bundle(): Promise<string> {
  bundled ??= promisify(execFile)(process.execPath, [resolve(root, 'hack/bundle.ts'), BUNDLE]).then(() => BUNDLE);
  return bundled;
}

/** The peer spares no server; what is measured is the operator, and not the limit that somebody sets it. */
function unhurried(object: KubernetesObject): KubernetesObject {
  if (object.kind !== 'AuthorizationServer') return object;
  return { ...object, spec: { ...Object(object['spec']), rateLimit: { requestsPerSecond: 1000, burst: 10_000 } } };
}

function isReady(status: OAuthClientStatus | undefined): boolean {
  const is = (type: string) => status?.conditions?.some((c) => c.type === type && c.status === 'True') === true;
  return is('Ready') && !is('Reconciling');
}

export function startBenchWorld(options: WorldOptions = {}): Promise<BenchWorld> {
  return allOrNothing((parts) => start(options, parts));
}

async function start(options: WorldOptions, parts: AsyncDisposableStack): Promise<BenchWorld> {
  const { replicas = 1, reloadDelayMs } = options;
  const addresses = Array.from({ length: replicas }, (_, i) => `127.0.0.${i + 1}`);
  const httpsPort = await freePort();
  const origin = (host: keyof typeof HOSTS) => `https://${HOSTS[host]}:${httpsPort}`;
  const plane = await startControlPlane({ crds: [resolve(root, 'crds')] });
  parts.defer(() => plane.stop());
  const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'bench', fieldManager: 'bench' });
  parts.defer(() => kube.close());
  const initialAccessToken = randomBytes(24).toString('base64url');
  const authorizationServer = await startAuthorizationServerProcess({
    issuer: origin('browser'),
    mtlsOrigin: origin('mtls'),
    selfSignedOrigin: origin('selfSigned'),
    selfSignedApiOrigin: origin('selfSignedApi'),
    initialAccessToken,
    rotateRegistrationAccessToken: true,
    ...(options.accessTokenTTL === undefined ? {} : { accessTokenTTL: options.accessTokenTTL }),
  });
  parts.defer(() => authorizationServer.stop());
  const serverCa = await createThrowawayCa('Example Server CA');
  const pair = await serverCa.issue({ cn: 'server', dns: Object.values(HOSTS) });
  await apply(
    kube,
    INGRESS_CLASS,
    namespace('certbound-system'),
    namespace(IDENTITY),
    ...Array.from({ length: NAMESPACES }, (_, i) => namespace(`team-${i}`, CLIENTS_ALLOWED)),
    opaqueSecret(
      { namespace: 'certbound-system', name: 'corporate-initial-access-token' },
      { token: initialAccessToken },
    ),
    opaqueSecret(
      { namespace: IDENTITY, name: 'tls' },
      { 'tls.crt': pair.certPem, 'tls.key': pair.keyPem },
      'kubernetes.io/tls',
    ),
    localService({ namespace: IDENTITY, name: 'authorization-server' }, authorizationServer.port),
    ingress({ namespace: IDENTITY, name: 'authorization-server' }, HOSTS.browser, 'authorization-server'),
  );
  const operatorKubeconfig = await grantOperatorRights(plane, kube);
  const platform = localised(
    await documents(resolve(root, 'examples/platform.yaml')),
    origin,
    serverCa.certPem,
    addresses,
  );
  const optedIn = (await documents(resolve(root, 'examples/ingresses.yaml'))).filter(
    ({ metadata }) => metadata.namespace === IDENTITY,
  );
  await apply(kube, ...platform.map(unhurried), ...optedIn);
  const cluster = clusterObjects(plane.kubeconfigPath);
  parts.defer(() => cluster.stop());
  const changed = new EventTarget();
  // Else asked once, when the platform is ready: what it costs to watch every Secret is not to be measured.
  if (reloadDelayMs !== undefined) cluster.onChange(() => changed.dispatchEvent(new Event('change')), {});
  const httpPort = await freePort();
  const ingressControllers: IngressController[] = [];
  for (const address of addresses) {
    const controller = await startIngressController({
      source: {
        read: (read) => cluster.read(read),
        onChange: (listener) => changed.addEventListener('change', listener),
        stop: () => Promise.resolve(),
      },
      address,
      httpsPort,
      httpPort,
      installNginx: true,
      terminator: 'nginx',
      proxySetHeaders: BLANK_CERTIFICATE_HEADERS,
      ...(reloadDelayMs === undefined ? {} : { reloadDelayMs }),
    });
    parts.defer(() => controller.stop());
    ingressControllers.push(controller);
  }
  const watching = new AbortController();
  parts.defer(() => watching.abort());
  let watch: Promise<ClientWatch> | undefined;

  return {
    plane,
    kube,
    authorizationServer,
    ingressControllers,
    addresses,
    serverCa,
    origin,
    async startOperator(profile, podName = 'certbound-0') {
      const operator = await startOperator(plane.dir, operatorKubeconfig, profile, podName);
      parts.defer(() => operator.stop());
      return operator;
    },
    async platformReady() {
      await waitFor(async () => {
        const status: unknown = (await kube.get(authorizationServers, { name: 'corporate' }))?.['status'];
        return JSON.stringify(status ?? {}).includes('"type":"Ready"') && isReady(Object(status));
      }, 60_000);
      await Promise.all(ingressControllers.map((controller) => waitFor(() => asksForCertificates(controller), 60_000)));
    },
    create: (refs) => inParallel(refs, 32, (ref) => kube.create(oauthClients, clientObject(ref))),
    watchClients: () => (watch ??= watchClients(kube, watching.signal)),
    async openWatches() {
      const [begun, ended] = await Promise.all([
        plane.auditEvents('ResponseStarted'),
        plane.auditEvents('ResponseComplete'),
      ]);
      const isWatch = (e: AuditEvent) => e.verb === 'watch' && e.userAgent.startsWith('certbound/');
      return begun.filter(isWatch).length - ended.filter(isWatch).length;
    },
    async requests(since) {
      const events = await plane.auditEvents();
      return events.filter((e) => e.receivedAt >= since && e.userAgent.startsWith('certbound/') && e.code < 400);
    },
    stop: () => parts.disposeAsync(),
  };
}

async function asksForCertificates(controller: IngressController): Promise<boolean> {
  await controller.settled();
  return controller.config().includes('ssl_verify_client');
}

async function startOperator(
  dir: string,
  kubeconfig: string,
  profile: ProfileKind | undefined,
  podName: string,
): Promise<OperatorUnderTest> {
  const port = await freePort();
  const logFile = join(dir, `operator-${port}.log`);
  const child = await startChild({
    command: process.execPath,
    args: [...HEAP_LIMITS, ...(await profileFlags(profile)), await bundle(), 'operator'],
    logFile,
    env: {
      PATH: process.env['PATH'],
      KUBECONFIG: kubeconfig,
      CERTBOUND_CLUSTER_ID: 'bench',
      CERTBOUND_HTTP_ADDRESS: '127.0.0.1',
      CERTBOUND_HTTP_PORT: String(port),
      CERTBOUND_POD_NAME: podName,
    },
  });
  const get = async (path: string): Promise<{ ok: boolean; text: string }> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(30_000) });
    return { ok: answer.ok, text: await answer.text() };
  };
  const metric = async (name: string): Promise<number> => {
    const { text } = await get('/metrics');
    const series = text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, 'gm'));
    return [...series].reduce((sum, [, value]) => sum + Number(value), 0);
  };
  await waitFor(async () => {
    if (!child.running()) throw new Error(`the operator ended: ${await child.tail()}`);
    return get('/readyz').then(
      ({ ok }) => ok,
      () => false,
    );
  }, 300_000);
  return {
    pid: child.pid,
    metric,
    async settled(keys) {
      await waitFor(async () => {
        if ((await metric('controller_runtime_reconcile_total')) < keys) return false;
        return (await metric('workqueue_depth')) + (await metric('controller_runtime_active_workers')) === 0;
      }, 300_000);
    },
    log: () => readFile(logFile, 'utf8'),
    async stop() {
      await child.end(30_000);
    },
    async kill() {
      process.kill(child.pid, 'SIGKILL');
      await child.exited;
    },
  };
}

async function watchClients(kube: KubeClient, signal: AbortSignal): Promise<ClientWatch> {
  const informer = new Informer({
    client: kube,
    resource: oauthClients,
    // Not parsed: there are many, and the bench shares the machine with what it measures.
    project: (object) => ({ status: object['status'] ?? {} }),
  });
  const parsed = (held: { status: unknown } | undefined) => oauthClient.shape.status.parse(held?.status) ?? {};
  const key = (ref: ClientRef) => `${ref.namespace}/${ref.name}`;
  const ready = new Set<string>();
  const waiting = new Map<string, { wanted: (status: OAuthClientStatus) => boolean; resolve: () => void }>();
  let onReady = (): void => undefined;
  informer.onChange(({ namespace: in_ = '', name, current }) => {
    const ref = key({ namespace: in_, name });
    if (isReady(Object(current?.status))) ready.add(ref);
    else ready.delete(ref);
    const one = waiting.get(ref);
    if (one !== undefined && current !== undefined && one.wanted(parsed(current))) one.resolve();
    onReady();
  });
  informer.start(signal);
  await informer.synced;
  return {
    readyCount: () => ready.size,
    status: (ref) => parsed(informer.get(ref.namespace, ref.name)),
    async until(ref, wanted) {
      const { promise, resolve: done } = Promise.withResolvers<void>();
      waiting.set(key(ref), { wanted, resolve: done });
      const current = informer.get(ref.namespace, ref.name);
      if (current !== undefined && wanted(parsed(current))) done();
      await promise;
      waiting.delete(key(ref));
    },
    async ready(count, limitMs = HOUR_MS) {
      const { promise, resolve: done, reject } = Promise.withResolvers<void>();
      onReady = () => {
        if (ready.size >= count) done();
      };
      const timer = setTimeout(() => reject(new Error(`${ready.size} of ${count} are Ready`)), limitMs);
      onReady();
      await promise.finally(() => clearTimeout(timer));
    },
  };
}

export { isReady };

/** Those that belong to nobody here. */
export async function foreignSecrets(kube: KubeClient, count: number, bytes: number): Promise<void> {
  const filler = Buffer.alloc(bytes, 'x').toString('base64');
  await inParallel(
    Array.from({ length: count }, (_, i) => i),
    4,
    (i) =>
      kube.create(secrets, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: { namespace: `team-${i % NAMESPACES}`, name: `foreign-${i}` },
        type: 'Opaque',
        data: { filler },
      }),
  );
}

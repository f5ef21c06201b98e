/** What the AuthorizationServer kind is run in: a real API server, and a server of which the test writes every answer. */
import { Authorizations } from '../../src/authserver/authorizations.ts';
import {
  type AuthorizationServer,
  authorizationServer,
  type AuthorizationServerSpec,
} from '../../src/api/authorization-server.ts';
import type { Condition } from '../../src/api/conditions.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { ServerConnection } from '../../src/authserver/connection/connection.ts';
import { defaultRateLimit, ServerTraffic } from '../../src/authserver/connection/traffic.ts';
import { Enforcement } from '../../src/authserver/proof/enforcement.ts';
import { AuthorizationServerReconciler } from '../../src/authserver/reconcile.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { EventRecorder } from '../../src/kube/event-recorder.ts';
import { Informer } from '../../src/kube/informer.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import type { Result } from '../../src/runtime/controller.ts';
import type { StepObserver } from '../../src/runtime/pass.ts';
import { createLogger } from '../../src/telemetry.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import { startControlPlane } from '../support/control-plane.ts';
import { applyCrds } from '../support/crds.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Handler, HOST, json, lasting, type ScriptedServer, startScriptedServer } from './servers.ts';
import { startTrustCaches, type TrustCaches } from './trust-caches.ts';

const controllerName = 'certbound.dev/operator';

interface Parts {
  readonly client: KubeClient;
  readonly servers: Informer<AuthorizationServer>;
  readonly recorder: EventRecorder;
  readonly scripted: ScriptedServer;
  readonly trustCaches: TrustCaches;
  readonly stop: () => Promise<void>;
}

const start = (): Promise<Parts> =>
  allOrNothing(async (parts) => {
    const plane = await startControlPlane();
    parts.defer(() => plane.stop());
    await applyCrds(plane.kubeconfigPath);
    const scripted = await startScriptedServer();
    parts.defer(() => scripted.stop());
    const client = KubeClient.fromKubeconfig({
      path: plane.kubeconfigPath,
      userAgent: 'test',
      fieldManager: 'certbound',
    });
    parts.defer(() => client.close());
    const recorder = new EventRecorder({ client, controller: controllerName, instance: 'test' });
    parts.defer(() => recorder.close());
    const servers = new Informer({
      client,
      resource: authorizationServers,
      project: (o) => authorizationServer.parse(o),
    });
    const ended = new AbortController();
    parts.defer(() => ended.abort());
    servers.start(ended.signal);
    const trustCaches = startTrustCaches(client, ended.signal);
    await Promise.all([servers.synced, trustCaches.synced]);
    return { client, servers, recorder, scripted, trustCaches, stop: () => parts.disposeAsync() };
  });

/** One suite shares it; each test has a server of a name of its own. */
export class ServerWorld {
  readonly clock = new FakeClock(Math.floor(Date.now() / 1000) * 1000);
  /** How many clients refer to a server. */
  readonly clients = new Map<string, number>();
  /** By name and key. */
  readonly secret = new Map<string, string>();
  readonly configMap = new Map<string, string>();
  /** Servers whose connections were forgotten. */
  readonly forgotten: string[] = [];
  readonly authorizations = new Authorizations();
  enforcement = new Enforcement();
  /** Of the test that runs. */
  name = '';
  readonly #traffic = new Map<string, ServerTraffic>();
  readonly #watchNamespaces: string[] = [];
  #parts: Parts | undefined;
  #reconciler: AuthorizationServerReconciler | undefined;
  #count = 0;

  async start(): Promise<void> {
    this.#parts = await start();
  }

  async stop(): Promise<void> {
    await this.#parts?.stop();
  }

  /** Before each test. */
  begin(): void {
    this.name = `server-${++this.#count}`;
    this.#reconciler = this.freshReconciler();
    this.scripted.answer(this.metadata());
  }

  get #started(): Parts {
    if (this.#parts === undefined) throw new TypeError('it is not started');
    return this.#parts;
  }
  get client(): KubeClient {
    return this.#started.client;
  }
  get servers(): Informer<AuthorizationServer> {
    return this.#started.servers;
  }
  get recorder(): EventRecorder {
    return this.#started.recorder;
  }
  get scripted(): ScriptedServer {
    return this.#started.scripted;
  }
  get trustCaches(): TrustCaches {
    return this.#started.trustCaches;
  }
  get reconciler(): AuthorizationServerReconciler {
    if (this.#reconciler === undefined) throw new TypeError('no test has begun');
    return this.#reconciler;
  }

  /** Another life of the operator. */
  readonly freshReconciler = (observer?: StepObserver): AuthorizationServerReconciler => {
    const connections = {
      to: this.#connectTo,
      apart: this.#connectTo,
      forget: (server: string) => this.forgotten.push(server),
    };
    return new AuthorizationServerReconciler({
      client: this.client,
      servers: this.servers,
      clientsOf: (server) => this.clients.get(server) ?? 0,
      configMapValue: (mapName, key) => Promise.resolve(this.configMap.get(`${mapName}/${key}`)),
      secretValue: (secretName, key) => Promise.resolve(this.secret.get(`${secretName}/${key}`)),
      connections,
      enforcement: this.enforcement,
      authorizations: this.authorizations,
      keySetsServed: false,
      recorder: this.recorder,
      clock: this.clock,
      logger: createLogger({ level: 'silent' }),
      controllerName,
      ...this.trustCaches,
      watchNamespaces: this.#watchNamespaces,
      observer,
    });
  };

  readonly #connectTo = (server: Pick<AuthorizationServer, 'metadata' | 'spec' | 'status'>): ServerConnection => {
    const { uid } = server.metadata;
    const traffic = this.#traffic.get(uid) ?? new ServerTraffic(this.name, defaultRateLimit, { clock: this.clock });
    this.#traffic.set(uid, traffic);
    return new ServerConnection(server, {
      traffic,
      onUnauthorized: ({ metadata }) => this.authorizations.doubt(metadata.uid),
    });
  };

  readonly metadata = (changed: Record<string, unknown> = {}): Handler => {
    const { origin } = this.scripted;
    return json(200, {
      issuer: origin,
      token_endpoint: `${origin}/token`,
      registration_endpoint: `${origin}/reg`,
      token_endpoint_auth_methods_supported: ['tls_client_auth'],
      tls_client_certificate_bound_access_tokens: true,
      ...changed,
    });
  };

  readonly spec = (changed: Partial<AuthorizationServerSpec> = {}): AuthorizationServerSpec => ({
    issuer: this.scripted.origin,
    dynamicRegistration: {},
    caBundle: this.scripted.ca.certPem,
    connectTo: [{ host: HOST, addresses: ['127.0.0.1'] }],
    ...changed,
  });

  readonly create = (changed: Partial<AuthorizationServerSpec> = {}): Promise<KubernetesObject> =>
    this.client.create(authorizationServers, { metadata: { name: this.name }, spec: this.spec(changed) });

  readonly change = (changed: Record<string, unknown>): Promise<KubernetesObject> =>
    this.client.patch(authorizationServers, { name: this.name }, { spec: changed }, { type: 'merge' });

  readonly live = async (): Promise<AuthorizationServer | undefined> => {
    const object = await this.client.get(authorizationServers, { name: this.name });
    return object === undefined ? undefined : authorizationServer.parse(object);
  };

  /** Once the cache has what the API server has. */
  readonly reconcile = async (of = this.reconciler): Promise<Result> => {
    await waitFor(async () => {
      const now = await this.live();
      return this.servers.get(undefined, this.name)?.metadata.resourceVersion === now?.metadata.resourceVersion;
    });
    return of.reconcile(this.name, lasting());
  };

  readonly conditionOf = async (type: string): Promise<Condition | undefined> =>
    (await this.live())?.status?.conditions?.find((condition) => condition.type === type);

  /** Status and reason. */
  readonly state = async (type = 'Ready'): Promise<string | undefined> => {
    const condition = await this.conditionOf(type);
    return condition === undefined ? undefined : `${condition.status} ${condition.reason}`;
  };

  /** Until everything is asked again. */
  readonly later = (): void => this.clock.advance(700_000);

  /** Namespaces that are served; none: all. */
  serve(namespaces: readonly string[]): void {
    this.#watchNamespaces.splice(0, this.#watchNamespaces.length, ...namespaces);
  }
}

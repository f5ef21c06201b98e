/** A real API server with our CRDs, and an operator's caches around the terminator kind; passes are run by hand. */
import { setTimeout as delay } from 'node:timers/promises';
import { CLIENT_CERTIFICATES, MODE, OPT_IN } from '../../src/api/annotations.ts';
import { authorizationServer } from '../../src/api/authorization-server.ts';
import { clientCertificateIssuer } from '../../src/api/client-certificate-issuer.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { EventRecorder } from '../../src/kube/event-recorder.ts';
import { Informer } from '../../src/kube/informer.ts';
import { KindUnion } from '../../src/kube/kind-union.ts';
import {
  events,
  ingressClasses,
  ingresses,
  type KubernetesObject,
  namespaces,
  type ObjectMeta,
  type Resource,
  secrets,
} from '../../src/kube/resource.ts';
import { Pass, type StepObserver } from '../../src/runtime/pass.ts';
import { BUNDLE_SELECTOR, bundleName, projectBundle } from '../../src/terminator/bundle.ts';
import { projectIngressClass } from '../../src/terminator/frontends/class.ts';
import { projectIngress } from '../../src/terminator/frontends/ingress.ts';
import { TerminatorKind, type TerminatorKindOptions } from '../../src/terminator/reconcile.ts';
import { createLogger } from '../../src/telemetry.ts';
import type { AuditEvent } from '../support/audit-log.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { applyCrds } from '../support/crds.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { waitFor } from '../support/wait-for.ts';

const OPERATOR = 'certbound-operator-test';
const PEOPLE = 'people';
export const controller = 'k8s.io/ingress-nginx';

export interface OptIn {
  server?: string;
  clientCertificates?: string;
  mode?: string;
}

/** Our annotations; none opts out. */
export function optIn(request: OptIn | undefined): Record<string, string> {
  if (request === undefined) return {};
  const { server = 'corporate', clientCertificates, mode } = request;
  return {
    [OPT_IN]: server,
    ...(clientCertificates === undefined ? {} : { [CLIENT_CERTIFICATES]: clientCertificates }),
    ...(mode === undefined ? {} : { [MODE]: mode }),
  };
}

/** One life of the operator: its caches, its memory. */
export class Operator {
  readonly kind: TerminatorKind;
  readonly kinds: Pick<TerminatorKindOptions, 'frontends' | 'routes' | 'bundles' | 'companions'>;
  readonly recorder: EventRecorder;
  readonly #pass: { reconcile(key: string, signal: AbortSignal): Promise<unknown> };
  readonly #caches;
  readonly #client: KubeClient;
  readonly #stop = new AbortController();

  constructor(client: KubeClient, clock: FakeClock, observer?: StepObserver) {
    this.#client = client;
    const caches = {
      ingresses: new Informer({ client, resource: ingresses, project: projectIngress }),
      ingressClasses: new Informer({ client, resource: ingressClasses, project: projectIngressClass }),
      bundles: new Informer({
        client,
        resource: secrets,
        labelSelector: BUNDLE_SELECTOR,
        project: projectBundle('Secret'),
      }),
      servers: new Informer({ client, resource: authorizationServers, project: (o) => authorizationServer.parse(o) }),
      issuers: new Informer({
        client,
        resource: clientCertificateIssuers,
        project: (o) => clientCertificateIssuer.parse(o),
      }),
      namespaces: new Informer({
        client,
        resource: namespaces,
        project: ({ metadata: { name, labels = {} } }) => ({ name, labels }),
      }),
    };
    this.#caches = caches;
    this.kinds = {
      frontends: new KindUnion(new Map([['Ingress', caches.ingresses]])),
      routes: new KindUnion(new Map()),
      bundles: new KindUnion(new Map([['Secret', caches.bundles]])),
      companions: new KindUnion(new Map()),
    };
    this.recorder = new EventRecorder({ client, controller: 'certbound.dev/test', instance: 'test', clock });
    const logger = createLogger({ level: 'silent' });
    this.kind = new TerminatorKind({
      client,
      ...caches,
      ...this.kinds,
      drivers: new Set(['nginx']),
      recorder: this.recorder,
      clock,
      logger,
    });
    this.#pass = new Pass(this.kind, { clock, logger, observer });
  }

  get caches() {
    return this.#caches;
  }

  async start(): Promise<this> {
    for (const informer of Object.values(this.#caches)) informer.start(this.#stop.signal);
    await Promise.all(Object.values(this.#caches).map((informer) => informer.synced));
    return this;
  }

  /** Runs the passes that all changes so far ask for, on caches that know them. */
  async settle(): Promise<void> {
    await this.caughtUp();
    const { kind } = this;
    const keys = new Set([
      ...[...this.#caches.ingresses.list()].flatMap((ingress) => kind.keysForFrontend(ingress)),
      ...[...this.#caches.bundles.list()].flatMap((bundle) => kind.keysForBundle(bundle)),
    ]);
    for (const key of keys) await this.#pass.reconcile(key, AbortSignal.timeout(30_000));
    await this.recorder.flush();
  }

  /** Until every cache holds what the API server has. */
  async caughtUp(): Promise<void> {
    const { servers, issuers, bundles, ingresses: cached, ingressClasses: classes } = this.#caches;
    const versioned = [
      { informer: cached, query: {} },
      { informer: bundles, query: { labelSelector: BUNDLE_SELECTOR } },
    ];
    for (const { informer, query } of versioned) {
      await waitFor(async () => {
        const { items } = await this.#client.list(informer.resource, query);
        return (
          items.length === informer.size &&
          items.every(
            ({ metadata: { namespace, name, resourceVersion } }) =>
              informer.get(namespace, name)?.resourceVersion === resourceVersion,
          )
        );
      });
    }
    for (const informer of [servers, issuers]) {
      await waitFor(async () => {
        const { items } = await this.#client.list(informer.resource);
        return (
          items.length === informer.size &&
          items.every(
            ({ metadata: { name, resourceVersion } }) =>
              informer.get(undefined, name)?.metadata.resourceVersion === resourceVersion,
          )
        );
      });
    }
    for (const informer of [classes, this.#caches.namespaces]) {
      await waitFor(async () => (await this.#client.list(informer.resource)).items.length === informer.size);
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await waitFor(() => Object.values(this.#caches).every(({ state }) => state === 'stopped'));
    await this.recorder.close();
  }
}

export class TerminatorEnvironment {
  readonly plane: ControlPlane;
  /** The operator's. */
  readonly client: KubeClient;
  /** Everybody else's. */
  readonly people: KubeClient;
  readonly clock = new FakeClock(Date.now());
  readonly #operators: Operator[] = [];

  private constructor(plane: ControlPlane) {
    this.plane = plane;
    const connect = (userAgent: string): KubeClient =>
      KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent, fieldManager: userAgent });
    this.client = connect(OPERATOR);
    this.people = connect(PEOPLE);
  }

  static async start(): Promise<TerminatorEnvironment> {
    const plane = await startControlPlane();
    try {
      await applyCrds(plane.kubeconfigPath);
      const environment = new TerminatorEnvironment(plane);
      await environment.put(ingressClasses, { metadata: { name: 'nginx' }, spec: { controller } });
      return environment;
    } catch (error) {
      await plane.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const operator of this.#operators) await operator.stop();
    await this.client.close();
    await this.people.close();
    await this.plane.stop();
  }

  async operator(observer?: StepObserver): Promise<Operator> {
    const operator = new Operator(this.client, this.clock, observer);
    this.#operators.push(operator);
    return operator.start();
  }

  put(resource: Resource, object: KubernetesObject, fieldManager = PEOPLE): Promise<KubernetesObject> {
    return this.people.apply(resource, object, { fieldManager, force: true });
  }

  async namespace(name: string): Promise<string> {
    await this.put(namespaces, { metadata: { name } });
    return name;
  }

  server(name: string, granted: readonly string[], issuers: readonly string[], terminators: readonly object[] = []) {
    return this.put(authorizationServers, {
      metadata: { name },
      spec: {
        issuer: `https://${name}.example.test`,
        dynamicRegistration: {},
        clients: { issuers },
        resourceServers: { namespaces: { names: granted } },
        terminators,
      },
    });
  }

  /** @param caCertificate PEM, as the issuer's own reconciler publishes it; undefined: not yet */
  async issuer(name: string, caCertificate: string | undefined): Promise<void> {
    await this.put(clientCertificateIssuers, { metadata: { name }, spec: { ca: { managed: {} } } });
    if (caCertificate === undefined) return;
    await this.people.applyStatus(
      clientCertificateIssuers,
      { metadata: { name }, status: { caCertificate } },
      { fieldManager: 'issuer', force: true },
    );
  }

  /** As its owner writes it in Git. */
  ingress(
    ref: { namespace: string; name: string; host: string },
    request: OptIn | undefined,
    annotations: Record<string, string> = {},
    fieldManager = 'argocd',
  ): Promise<KubernetesObject> {
    const { namespace, name, host } = ref;
    const backend = { service: { name, port: { number: 80 } } };
    return this.put(
      ingresses,
      {
        metadata: { namespace, name, annotations: { 'example.com/team': 'api', ...optIn(request), ...annotations } },
        spec: {
          ingressClassName: 'nginx',
          tls: [{ hosts: [host], secretName: 'tls' }],
          rules: [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
        },
      },
      fieldManager,
    );
  }

  live({ namespace, name }: { namespace: string; name: string }): Promise<KubernetesObject | undefined> {
    return this.people.get(ingresses, { namespace, name });
  }

  bundle({ namespace, host }: { namespace: string; host: string }): Promise<KubernetesObject | undefined> {
    return this.people.get(secrets, { namespace, name: bundleName({ controller, host }) });
  }

  /** The Events in a namespace. */
  async events(namespace: string) {
    const { items } = await this.people.list(events, { namespace });
    return items.map(({ reason, note, series, metadata: { resourceVersion } }) => ({
      reason: String(reason),
      note: String(note),
      count: typeof series === 'object' && series !== null && 'count' in series ? Number(series.count) : 1,
      resourceVersion,
    }));
  }

  /** The operator's writes in a namespace but Events, as `verb resource code`, in their order. */
  async writes(namespace: string): Promise<string[]> {
    // A request is logged just after it was answered.
    await delay(100);
    return (await this.plane.auditEvents())
      .filter((event) => event.userAgent.startsWith(OPERATOR) && event.namespace === namespace)
      .filter((event) => isWrite(event) && event.resource !== 'events')
      .map(({ verb, resource, code }) => `${verb} ${resource} ${code}`);
  }
}

const isWrite = ({ verb }: AuditEvent): boolean => !['get', 'list', 'watch'].includes(verb);

/** managedFields of everybody but us, without times. */
export function othersFields({ managedFields = [] }: ObjectMeta): unknown {
  return managedFields.filter(({ manager }) => manager !== 'certbound-terminator');
}

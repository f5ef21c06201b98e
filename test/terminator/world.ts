/** Caches filled by hand, for the pure half of the terminator kind. */
import { CLIENT_CERTIFICATES, MODE, OPT_IN } from '../../src/api/annotations.ts';
import { authorizationServer } from '../../src/api/authorization-server.ts';
import { clientCertificateIssuer } from '../../src/api/client-certificate-issuer.ts';
import type { GrantedNamespace } from '../../src/api/namespace-grant.ts';
import { KindUnion } from '../../src/kube/kind-union.ts';
import { type Change, ObjectCache } from '../../src/kube/object-cache.ts';
import type { KubernetesObject, ObjectMeta } from '../../src/kube/resource.ts';
import { evaluate, type Plan } from '../../src/runtime/pass.ts';
import { bundleObject, type BundleProjection, projectBundle } from '../../src/terminator/bundle.ts';
import { checks, type TerminatorViewOfScope } from '../../src/terminator/checks.ts';
import { desired } from '../../src/terminator/desired.ts';
import { projectGatewayClass, projectIngressClass } from '../../src/terminator/frontends/class.ts';
import type { Companion } from '../../src/terminator/driver.ts';
import { companionObject, type CompanionProjection, projectCompanion } from '../../src/terminator/companion.ts';
import { clientTrafficPolicies } from '../../src/terminator/drivers/envoy-gateway.ts';
import { type Frontend, type FrontendRef, frontendResources } from '../../src/terminator/frontends/frontend.ts';
import { projectGateway } from '../../src/terminator/frontends/gateway.ts';
import { projectHTTPProxy } from '../../src/terminator/frontends/http-proxy.ts';
import { projectIngress } from '../../src/terminator/frontends/ingress.ts';
import { TerminatorMemory } from '../../src/terminator/memory.ts';
import { routeProjections } from '../../src/terminator/routes/route-projections.ts';
import type { Route } from '../../src/terminator/routes/route.ts';
import type { Scope } from '../../src/terminator/scope.ts';
import { middlewares, tlsOptions } from '../../src/terminator/drivers/traefik.ts';
import { judge } from '../../src/terminator/rules/rules.ts';
import type { TerminatorStep } from '../../src/terminator/steps.ts';
import type { Source } from '../../src/terminator/sources.ts';
import { TerminatorViews } from '../../src/terminator/views.ts';
import { testCa } from '../x509/authority.ts';

export const HOST = 'api.example.test';
export const KEY = `k8s.io/ingress-nginx|${HOST}`;
export const SCOPE = { controller: 'k8s.io/ingress-nginx', host: HOST };

export const corporateCa = (await testCa('CN=corporate,O=platform')).certificatePem;
export const otherCa = (await testCa('CN=other,O=platform')).certificatePem;

class Cache<T> implements Source<T> {
  readonly #handlers: ((change: Change<T>) => void)[] = [];
  readonly #cache: ObjectCache<T>;
  #version = 0;

  constructor(project: (object: KubernetesObject) => T | undefined) {
    this.#cache = new ObjectCache({
      project,
      onChange: (change) => this.#handlers.forEach((handler) => handler(change)),
      onProjectionError: (error) => {
        throw error;
      },
    });
  }

  set(object: KubernetesObject): void {
    const { namespace = '', name } = object.metadata;
    const resourceVersion = String(++this.#version);
    const metadata = { uid: `${namespace}/${name}`, ...object.metadata, resourceVersion };
    this.#cache.applyEvent('ADDED', { ...object, metadata });
  }

  delete(namespace: string, name: string): void {
    const uid = `${namespace}/${name}`;
    this.#cache.applyEvent('DELETED', { metadata: { namespace, name, uid, resourceVersion: String(++this.#version) } });
  }

  addIndex(name: string, keys: (value: T, metadata: ObjectMeta) => readonly string[]): void {
    this.#cache.addIndex(name, keys);
  }
  onChange(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
  }
  get(namespace: string | undefined, name: string): T | undefined {
    return this.#cache.get(namespace, name);
  }
  list(): Iterable<T> {
    return this.#cache.values();
  }
  byIndex(name: string, key: string): T[] {
    return this.#cache.byIndex(name, key);
  }
}

export interface IngressRequest {
  namespace?: string;
  name?: string;
  hosts?: readonly string[];
  tls?: readonly string[];
  className?: string | undefined;
  service?: string;
  server?: string;
  clientCertificates?: string;
  mode?: string;
  annotations?: Record<string, string>;
  /** Field managers by the annotation keys that they own. */
  managers?: Record<string, readonly string[]>;
  deleting?: boolean;
}

/** An Ingress as the API server has it; by default opted in at `corporate`, in every way as it should be. */
export function ingress(request: IngressRequest): KubernetesObject {
  const { namespace = 'payments', name = 'api', hosts = [HOST], service = 'api', managers = {} } = request;
  const backend = { service: { name: service, port: { number: 80 } } };
  const annotations = {
    ...(request.server === '-' ? {} : { [OPT_IN]: request.server ?? 'corporate' }),
    ...(request.clientCertificates === undefined ? {} : { [CLIENT_CERTIFICATES]: request.clientCertificates }),
    ...(request.mode === undefined ? {} : { [MODE]: request.mode }),
    ...request.annotations,
  };
  return {
    metadata: {
      namespace,
      name,
      annotations,
      managedFields: Object.entries(managers).map(([manager, keys]) => ({
        manager,
        operation: 'Apply',
        time: '2026-01-01T00:00:00Z',
        fieldsV1: {
          'f:metadata': { 'f:annotations': Object.fromEntries(keys.map((key) => [`f:${key}`, {}])) },
        },
      })),
      ...(request.deleting === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: {
      ...('className' in request && request.className === undefined
        ? {}
        : { ingressClassName: request.className ?? 'nginx' }),
      tls: [{ hosts: request.tls ?? hosts, secretName: 'tls' }],
      rules: hosts.map((host) => ({
        ...(host === '' ? {} : { host }),
        http: { paths: [{ path: '/', pathType: 'Prefix', backend }] },
      })),
    },
  };
}

export interface ServerRequest {
  name?: string;
  namespaces?: readonly string[];
  labels?: Record<string, string>;
  issuers?: readonly string[];
  terminators?: readonly (Omit<FrontendRef, 'kind'> & Partial<FrontendRef>)[];
}

export interface RouteRequest {
  namespace?: string;
  name?: string;
  /** `namespace/name` of the Gateway that it names. */
  gateway?: string;
  services?: readonly { name: string; namespace?: string }[];
  /** Services that get each request a second time. */
  mirrors?: readonly { name: string }[];
  /** What the Gateway's controller says of it. */
  conditions?: readonly string[];
  hostnames?: readonly string[];
  sectionName?: string;
  port?: number;
}

/** An HTTPRoute or a GRPCRoute as the API server has it; by default to Service `api`. */
export function gatewayRoute(request: RouteRequest): KubernetesObject {
  const { gateway = 'edge/public', services = [{ name: 'api' }], mirrors = [], conditions = [] } = request;
  const [namespace = '', name = ''] = gateway.split('/');
  const { sectionName, port, hostnames = [] } = request;
  const parentRef = {
    namespace,
    name,
    ...(sectionName === undefined ? {} : { sectionName }),
    ...(port === undefined ? {} : { port }),
  };
  return {
    metadata: { namespace: request.namespace ?? 'payments', name: request.name ?? 'api' },
    spec: {
      hostnames,
      parentRefs: [parentRef, { group: '', kind: 'Service', name: 'mesh' }],
      rules: [
        {
          backendRefs: services.map((service) => ({ ...service, port: 80 })),
          filters: [
            { type: 'RequestHeaderModifier' },
            ...mirrors.map((backendRef) => ({ type: 'RequestMirror', requestMirror: { backendRef } })),
          ],
        },
        { filters: [{ type: 'RequestRedirect', requestRedirect: { scheme: 'https' } }] },
      ],
    },
    status: { parents: [{ parentRef, conditions: conditions.map((type) => ({ type, status: 'True' })) }] },
  };
}

/** An IngressRoute as the API server has it. */
export function ingressRoute(
  services: readonly { name: string; namespace?: string; kind?: string }[] = [{ name: 'api' }],
  { namespace = 'payments', className }: { namespace?: string; className?: string } = {},
): KubernetesObject {
  return {
    metadata: {
      namespace,
      name: 'api',
      annotations: className === undefined ? {} : { 'kubernetes.io/ingress.class': className },
    },
    spec: { routes: [{ kind: 'Rule', match: 'Host(`www.example.test`)', services }] },
  };
}

export class World {
  readonly ingresses = new Cache(projectIngress);
  readonly ingressClasses = new Cache(projectIngressClass);
  readonly proxies = new Cache(projectHTTPProxy);
  readonly gateways = new Cache(projectGateway);
  readonly gatewayClasses = new Cache(projectGatewayClass);
  readonly routeCaches = {
    HTTPRoute: new Cache(routeProjections.HTTPRoute),
    GRPCRoute: new Cache(routeProjections.GRPCRoute),
    IngressRoute: new Cache(routeProjections.IngressRoute),
  };
  readonly routes = new KindUnion<Route>(new Map(Object.entries(this.routeCaches)));
  readonly secrets = new Cache(projectBundle('Secret'));
  readonly configMaps = new Cache(projectBundle('ConfigMap'));
  readonly frontends = new KindUnion<Frontend>(
    new Map([
      ['Ingress', this.ingresses],
      ['HTTPProxy', this.proxies],
      ['Gateway', this.gateways],
    ]),
  );
  readonly bundles = new KindUnion<BundleProjection>(
    new Map([
      ['Secret', this.secrets],
      ['ConfigMap', this.configMaps],
    ]),
  );
  readonly companionCaches = new Map(
    [tlsOptions, middlewares, clientTrafficPolicies].map((resource) => [
      resource.kind,
      new Cache(projectCompanion(resource)),
    ]),
  );
  readonly companions = new KindUnion<CompanionProjection>(this.companionCaches);
  readonly drivers: ReadonlySet<string> = new Set(['nginx', 'traefik', 'manual']);
  readonly servers = new Cache((object) => authorizationServer.parse(object));
  readonly issuers = new Cache((object) => clientCertificateIssuer.parse(object));
  readonly namespaces = new Cache(({ metadata: { name, labels = {} } }): GrantedNamespace => ({ name, labels }));
  readonly manualControllers = new Set<string>();
  readonly memory = new TerminatorMemory();
  readonly views = new TerminatorViews(this, this.memory);
  now = Date.UTC(2026, 0, 1);

  ingress(request: IngressRequest = {}): this {
    this.ingresses.set(ingress(request));
    return this;
  }

  ingressClass(name: string, controller: string, isDefault = false, own: Record<string, string> = {}): this {
    const annotations = { ...own, 'ingressclass.kubernetes.io/is-default-class': String(isDefault) };
    this.ingressClasses.set({ metadata: { name, annotations }, spec: { controller } });
    return this;
  }

  route(kind: 'HTTPRoute' | 'GRPCRoute', request: RouteRequest = {}): this {
    this.routeCaches[kind].set(gatewayRoute(request));
    return this;
  }

  ingressRoute(...request: Parameters<typeof ingressRoute>): this {
    this.routeCaches.IngressRoute.set(ingressRoute(...request));
    return this;
  }

  gatewayClass(name: string, controllerName: string, annotations: Record<string, string> = {}): this {
    this.gatewayClasses.set({ metadata: { name, annotations }, spec: { controllerName } });
    return this;
  }

  namespace(name: string, labels: Record<string, string>): this {
    this.namespaces.set({ metadata: { name, labels } });
    return this;
  }

  server(request: ServerRequest = {}): this {
    const { name = 'corporate', namespaces = ['payments'], issuers = ['corporate-clients'] } = request;
    const terminators = (request.terminators ?? []).map((ref) => ({
      group: frontendResources[ref.kind ?? 'Ingress'].group,
      kind: 'Ingress',
      ...ref,
    }));
    const grant = request.labels === undefined ? { names: namespaces } : { selector: { matchLabels: request.labels } };
    this.servers.set({
      metadata: { name },
      spec: {
        issuer: `https://${name}.example.test`,
        dynamicRegistration: {},
        clients: { issuers },
        resourceServers: { namespaces: grant },
        terminators,
      },
    });
    return this;
  }

  /** @param ca PEM; undefined: it has none yet */
  issuer(name: string, ca: string | undefined): this {
    const status = ca === undefined ? {} : { caCertificate: ca };
    this.issuers.set({ metadata: { name }, spec: { ca: { managed: {} } }, status });
    return this;
  }

  selfSignedIssuer(name: string): this {
    this.issuers.set({ metadata: { name }, spec: { selfSigned: {} } });
    return this;
  }

  /** The bundle of a namespace as the operator writes it, with changes. */
  bundle(
    ca: string,
    change: (secret: KubernetesObject) => KubernetesObject = (same) => same,
    namespace = 'payments',
    scope: Scope = SCOPE,
  ): this {
    this.secrets.set(change(bundleObject({ kind: 'Secret', namespace, scope, server: 'corporate', ca })));
    return this;
  }

  /** As the operator writes it. */
  companion(companion: Companion, scope: Scope, namespace = 'payments'): this {
    const object = companionObject(companion, { namespace, scope, server: 'corporate' });
    this.companionCaches.get(companion.resource.kind)?.set(object);
    return this;
  }

  view(key = KEY): TerminatorViewOfScope {
    const [controller = '', host = ''] = key.split('|');
    const observed = this.views.observe({ controller, host }, this.now);
    return { observed, desired: desired(observed), now: this.now };
  }

  plan(key = KEY): Plan<TerminatorStep> {
    return evaluate(checks, this.view(key));
  }

  /** What is said of one Ingress, as `Reason` or `Reason!` where it keeps its annotations from being written. */
  said(ref = 'payments/api', key = KEY): string[] {
    const view = this.view(key);
    const member = view.observed.members.find(({ frontend: { namespace, name } }) => `${namespace}/${name}` === ref);
    if (member === undefined) return ['(not in this scope)'];
    return judge(member, view).map(({ reason, bundle }) => (bundle === undefined ? reason : `${reason}!`));
  }
}

/** A granted Ingress on a known class, and nothing written yet. */
export function settledWorld(): World {
  return new World()
    .ingressClass('nginx', 'k8s.io/ingress-nginx')
    .server()
    .issuer('corporate-clients', corporateCa)
    .ingress();
}

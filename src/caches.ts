import { authorizationServer } from './api/authorization-server.ts';
import { ROLE_LABEL, Role } from './api/annotations.ts';
import { oauthClient } from './api/oauth-client.ts';
import { authorizationServers, clientCertificateIssuers, oauthClients } from './api/resources.ts';
import { projectClaim } from './authserver/claims.ts';
import { projectCaSecret } from './issuer/certificate-authority-secret.ts';
import { projectIssuer } from './issuer/reconcile.ts';
import type { KubeClient } from './kube/client.ts';
import { type Cache, Informer } from './kube/informer.ts';
import { InformerUnion } from './kube/informer-union.ts';
import { KindUnion } from './kube/kind-union.ts';
import {
  configMaps,
  gatewayClasses,
  ingressClasses,
  namespaces,
  resourceName,
  secrets,
  type KubernetesObject,
  type Resource,
} from './kube/resource.ts';
import type { NamespaceView } from './oauthclient/observed.ts';
import { projectSecret } from './oauthclient/published-secret.ts';
import { projectRecord } from './oauthclient/record.ts';
import type { Logger, Metrics } from './telemetry.ts';
import { BUNDLE_SELECTOR, type BundleProjection, bundleResources, projectBundle } from './terminator/bundle.ts';
import { projectGatewayClass, projectIngressClass } from './terminator/frontends/class.ts';
import { COMPANION_SELECTOR, type CompanionProjection, projectCompanion } from './terminator/companion.ts';
import { frontendProjections } from './terminator/frontends/frontend-projections.ts';
import { type Frontend, frontendResources } from './terminator/frontends/frontend.ts';
import { kindsOf } from './terminator/registry.ts';
import { routeProjections } from './terminator/routes/route-projections.ts';
import { type Route, routeResources } from './terminator/routes/route.ts';

interface CacheOptions<T> {
  resource: Resource;
  namespace?: string;
  labelSelector?: string;
  mayBeAbsent?: boolean;
  project: (object: KubernetesObject) => T | undefined;
}

type Startable = Pick<Cache<never>, 'resource' | 'start' | 'synced' | 'hasSynced'>;
export type Caches = ReturnType<typeof createCaches>;

const labelled = (role: string) => `${ROLE_LABEL}=${role}`;

interface Served {
  /** The operator's own. */
  namespace: string;
  /** Where tenants' objects are looked for; empty: everywhere. */
  watchNamespaces: readonly string[];
  /** Names of the terminator drivers that are switched on. */
  terminators: ReadonlySet<string>;
}

/** Every cache of the operator. What they keep is projected on arrival: no key byte stays. */
export function createCaches(
  client: KubeClient,
  { namespace, watchNamespaces, terminators }: Served,
  logger: Logger,
  metrics: Metrics,
) {
  const all: Startable[] = [];
  function cache<T>(name: string, options: CacheOptions<T>): Informer<T> {
    const informer = new Informer({ client, logger, metrics: metrics.informer(name), ...options });
    all.push(informer);
    return informer;
  }
  /** Of the namespaces that are served. One that was taken away holds up no other. */
  function tenantCache<T>(name: string, options: Omit<CacheOptions<T>, 'namespace'>): Cache<T> {
    if (watchNamespaces.length === 0) return cache(name, options);
    const parts = watchNamespaces.map((served): [string, Informer<T>] => {
      const each = { ...options, namespace: served, mayBeDenied: true };
      return [served, new Informer({ client, logger, metrics: metrics.informer(`${name}/${served}`), ...each })];
    });
    const union = new InformerUnion(new Map(parts));
    all.push(union);
    return union;
  }
  const kinds = kindsOf(terminators);
  const frontends = new Map<string, Cache<Frontend>>();
  for (const kind of kinds.frontends) {
    const resource = frontendResources[kind];
    const project = frontendProjections[kind];
    frontends.set(kind, tenantCache(resourceName(resource), { resource, project, mayBeAbsent: kind !== 'Ingress' }));
  }
  const routes = new Map<string, Cache<Route>>();
  for (const kind of kinds.routes) {
    const resource = routeResources[kind];
    const project = routeProjections[kind];
    routes.set(kind, tenantCache(resourceName(resource), { resource, project, mayBeAbsent: true }));
  }
  const bundles = new Map<string, Cache<BundleProjection>>();
  // Also for a server that validates certificates itself, whatever terminators there are.
  for (const kind of new Set([...kinds.bundles, 'Secret' as const])) {
    const resource = bundleResources[kind];
    const options = { resource, labelSelector: BUNDLE_SELECTOR, project: projectBundle(kind) };
    bundles.set(kind, tenantCache(`${resourceName(resource)}/bundles`, options));
  }
  const companions = new Map<string, Cache<CompanionProjection>>();
  for (const resource of kinds.companions) {
    const options = { resource, labelSelector: COMPANION_SELECTOR, project: projectCompanion(resource) };
    companions.set(resource.kind, tenantCache(resourceName(resource), { ...options, mayBeAbsent: true }));
  }
  return {
    /** Each of them, to start and to wait for. */
    all,
    clients: tenantCache(resourceName(oauthClients), { resource: oauthClients, project: (o) => oauthClient.parse(o) }),
    servers: cache(resourceName(authorizationServers), {
      resource: authorizationServers,
      project: (o) => authorizationServer.parse(o),
    }),
    issuers: cache(resourceName(clientCertificateIssuers), {
      resource: clientCertificateIssuers,
      project: projectIssuer,
    }),
    records: cache('secrets/clients', {
      resource: secrets,
      namespace,
      labelSelector: labelled(Role.client),
      project: projectRecord,
    }),
    /** CAs of ours and what the platform brings; credentials of servers are here by name alone. */
    authoritySecrets: cache('secrets/platform', {
      resource: secrets,
      namespace,
      labelSelector: `${ROLE_LABEL}!=${Role.client}`,
      project: projectCaSecret,
    }),
    published: tenantCache('secrets/published', {
      resource: secrets,
      labelSelector: labelled(Role.published),
      project: projectSecret,
    }),
    bundles: new KindUnion(bundles),
    companions: new KindUnion(companions),
    frontends: new KindUnion(frontends),
    routes: new KindUnion(routes),
    /** Of those that the platform brings only when they change; they are read when they are needed. */
    platformConfigMaps: cache('configmaps/platform', {
      resource: configMaps,
      namespace,
      labelSelector: `${ROLE_LABEL}!=${Role.claim}`,
      project: ({ metadata: { name, resourceVersion = '' } }) => ({ name, resourceVersion }),
    }),
    claims: cache('configmaps/claims', {
      resource: configMaps,
      namespace,
      labelSelector: labelled(Role.claim),
      project: projectClaim,
    }),
    namespaces: cache('namespaces', { resource: namespaces, project: projectNamespace }),
    ingressClasses: cache(resourceName(ingressClasses), { resource: ingressClasses, project: projectIngressClass }),
    gatewayClasses: kinds.frontends.includes('Gateway')
      ? cache(resourceName(gatewayClasses), {
          resource: gatewayClasses,
          project: projectGatewayClass,
          mayBeAbsent: true,
        })
      : undefined,
  };
}

function projectNamespace({ metadata }: KubernetesObject): NamespaceView {
  return {
    name: metadata.name,
    labels: metadata.labels ?? {},
    terminating: metadata.deletionTimestamp !== undefined,
  };
}

/** The caches that scopes are seen in, and the indexes by which they are asked. */
import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import type { GrantedNamespace } from '../api/namespace-grant.ts';
import type { Informer } from '../kube/informer.ts';
import type { KindUnion } from '../kube/kind-union.ts';
import type { BundleProjection } from './bundle.ts';
import type { ClassProjection } from './frontends/class.ts';
import type { CompanionProjection } from './companion.ts';
import { type Frontend, isMember } from './frontends/frontend.ts';
import { bundlesNamedBy } from './registry.ts';
import { acceptedAt, type Route, type RouteParent } from './routes/route.ts';
import { scopeKey } from './scope.ts';

/** What is read of an informer; before its start, for indexes are added. */
export type Source<T> = Pick<Informer<T>, 'get' | 'list' | 'byIndex' | 'addIndex' | 'onChange'>;

export interface TerminatorSources {
  frontends: Pick<KindUnion<Frontend>, 'get' | 'list' | 'byIndex' | 'addIndex' | 'onChange'>;
  routes: Pick<KindUnion<Route>, 'list' | 'byIndex' | 'addIndex' | 'onChange'>;
  ingressClasses: Source<ClassProjection>;
  /** Absent where no driver is switched on. */
  gatewayClasses?: Source<ClassProjection> | undefined;
  /** Objects of `BUNDLE_SELECTOR`. */
  bundles: Pick<KindUnion<BundleProjection>, 'get' | 'byIndex' | 'addIndex' | 'onChange'>;
  /** Objects of `COMPANION_SELECTOR`. */
  companions: Pick<KindUnion<CompanionProjection>, 'byIndex' | 'addIndex' | 'onChange'>;
  servers: Source<AuthorizationServer>;
  issuers: Source<ClientCertificateIssuer>;
  namespaces: Source<GrantedNamespace>;
  /** Names of the drivers that are switched on. */
  drivers: ReadonlySet<string>;
  /** `spec.controller` of IngressClasses whose terminators the platform configures by hand. Default: none. */
  manualControllers?: ReadonlySet<string> | undefined;
}

export const Index = {
  host: 'terminator/host',
  service: 'terminator/service',
  gateway: 'terminator/gateway',
  server: 'terminator/server',
  bundle: 'terminator/bundle',
  name: 'terminator/name',
  class: 'terminator/class',
  namespace: 'terminator/namespace',
  scope: 'terminator/scope',
  lax: 'terminator/lax',
} as const;

export const hostsOf = ({ hosts, hostless }: Frontend): readonly string[] => (hostless ? [...hosts, ''] : hosts);

/** `*.example.com` in spec.tls covers one label, as in a certificate. */
export function covers(tlsHost: string, host: string): boolean {
  return tlsHost === host || (tlsHost.startsWith('*.') && host.slice(host.indexOf('.')) === tlsHost.slice(1));
}

export const laxKey = ({ kind, className = '' }: Pick<Frontend, 'kind' | 'className'>): string =>
  `${kind} ${className}`;

/** Of a frontend that is served over TLS and asks for no certificates, a host by which it is reached. */
export function laxHostOf(frontend: Frontend): string | undefined {
  const { kind, hosts, proofHosts, tlsHosts, settings, deleting } = frontend;
  if (deleting || isMember(frontend) || bundlesNamedBy(settings).length > 0) return undefined;
  if (kind === 'Gateway') return tlsHosts.length > 0 ? proofHosts[0] : undefined;
  return hosts.find((host) => tlsHosts.some((tls) => covers(tls, host)));
}

/** That it names itself. */
export const ownServicesOf = ({ namespace, backends }: Frontend): string[] => [
  ...new Set(backends.map(({ service }) => `${namespace}/${service}`)),
];

/** `namespace/name` of the Services behind it: of a Gateway, those of the routes that its controller has accepted there. */
export function servicesOf({ routes }: Pick<TerminatorSources, 'routes'>, frontend: Frontend): string[] {
  if (frontend.kind !== 'Gateway') return ownServicesOf(frontend);
  const gateway = `${frontend.namespace}/${frontend.name}`;
  const accepted = routes.byIndex(Index.gateway, gateway).filter((route) => acceptedAt(route, gateway).length > 0);
  return [...new Set(accepted.flatMap(({ services }) => services))];
}

/** What a route hangs on, where that is looked at. */
export function gatewayOf(
  { frontends }: Pick<TerminatorSources, 'frontends'>,
  parent: RouteParent,
): Frontend | undefined {
  if (parent.kind !== 'Gateway') return undefined;
  const [namespace = '', name = ''] = parent.gateway.split('/');
  return frontends.get('Gateway', namespace, name);
}

/** Before the informers start. */
export function addIndexes({ frontends, routes, bundles, companions }: TerminatorSources): void {
  frontends.addIndex(Index.host, hostsOf);
  frontends.addIndex(Index.service, ownServicesOf);
  routes.addIndex(Index.service, ({ services }) => services);
  routes.addIndex(Index.gateway, ({ parents }) => [
    ...new Set(parents.flatMap((parent) => (parent.kind === 'Gateway' ? [parent.gateway] : []))),
  ]);
  frontends.addIndex(Index.server, ({ optIn }) => (optIn.server === undefined ? [] : [optIn.server]));
  frontends.addIndex(Index.bundle, ({ settings }) => bundlesNamedBy(settings));
  frontends.addIndex(Index.class, ({ className }) => [className ?? '']);
  frontends.addIndex(Index.namespace, ({ namespace }) => [namespace]);
  frontends.addIndex(Index.lax, (frontend) => (laxHostOf(frontend) === undefined ? [] : [laxKey(frontend)]));
  bundles.addIndex(Index.name, ({ name }) => [name]);
  bundles.addIndex(Index.namespace, ({ namespace }) => [namespace]);
  companions.addIndex(Index.namespace, ({ namespace }) => [namespace]);
  companions.addIndex(Index.scope, ({ scope }) => (scope === undefined ? [] : [scopeKey(scope)]));
}

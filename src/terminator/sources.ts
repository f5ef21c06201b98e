/** The caches that scopes are seen in, and the indexes by which they are asked. */
import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import type { GrantedNamespace } from '../api/namespace-grant.ts';
import type { Informer } from '../kube/informer.ts';
import type { KindUnion } from '../kube/kind-union.ts';
import type { BundleProjection } from './bundle.ts';
import type { ClassProjection } from './class.ts';
import type { CompanionProjection } from './companion.ts';
import type { Frontend } from './frontend.ts';
import { bundlesNamedBy } from './registry.ts';
import { scopeKey } from './scope.ts';

/** What is read of an informer; before its start, for indexes are added. */
export type Source<T> = Pick<Informer<T>, 'get' | 'list' | 'byIndex' | 'addIndex' | 'onChange'>;

export interface TerminatorSources {
  frontends: Pick<KindUnion<Frontend>, 'get' | 'list' | 'byIndex' | 'addIndex' | 'onChange'>;
  ingressClasses: Source<ClassProjection>;
  /** Absent where no driver for Gateways is switched on. */
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
  server: 'terminator/server',
  bundle: 'terminator/bundle',
  name: 'terminator/name',
  class: 'terminator/class',
  namespace: 'terminator/namespace',
  scope: 'terminator/scope',
} as const;

export const hostsOf = ({ hosts, hostless }: Frontend): readonly string[] => (hostless ? [...hosts, ''] : hosts);

/** Before the informers start. */
export function addIndexes({ frontends, bundles, companions }: TerminatorSources): void {
  frontends.addIndex(Index.host, hostsOf);
  frontends.addIndex(Index.service, (frontend) => [
    ...new Set(frontend.backends.map(({ service }) => `${frontend.namespace}/${service}`)),
  ]);
  frontends.addIndex(Index.server, ({ optIn }) => (optIn.server === undefined ? [] : [optIn.server]));
  frontends.addIndex(Index.bundle, ({ settings }) => bundlesNamedBy(settings));
  frontends.addIndex(Index.class, ({ className }) => [className ?? '']);
  frontends.addIndex(Index.namespace, ({ namespace }) => [namespace]);
  bundles.addIndex(Index.name, ({ name }) => [name]);
  bundles.addIndex(Index.namespace, ({ namespace }) => [namespace]);
  companions.addIndex(Index.namespace, ({ namespace }) => [namespace]);
  companions.addIndex(Index.scope, ({ scope }) => (scope === undefined ? [] : [scopeKey(scope)]));
}

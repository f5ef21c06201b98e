import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { namespaceGranted, type GrantedNamespace } from '../api/namespace-grant.ts';
import type { Informer } from '../kube/informer.ts';
import { bundleName, type BundleProjection } from './bundle-secret.ts';
import { desired } from './desired.ts';
import type { TerminatorView } from './distribution.ts';
import { defaultController, type IngressClassProjection } from './ingress-class.ts';
import { type IngressProjection, isOptedIn } from './ingress.ts';
import { bundleTarget, ingressTarget, type TerminatorMemory } from './memory.ts';
import type { Exposure, Member, Neighbour, Observed } from './observed.ts';
import { bundlesNamedBy, driverFor } from './registry.ts';
import { inEffect, judge } from './rules.ts';
import { leadScope, type Scope, scopeKey } from './scope.ts';
import { type Trust, trustOf } from './trust.ts';

/** What is read of an informer; before its start, for indexes are added. */
export type Source<T> = Pick<Informer<T>, 'get' | 'list' | 'byIndex' | 'addIndex' | 'onChange'>;

export interface TerminatorSources {
  ingresses: Source<IngressProjection>;
  ingressClasses: Source<IngressClassProjection>;
  /** Secrets of `BUNDLE_SELECTOR`. */
  bundles: Source<BundleProjection>;
  servers: Source<AuthorizationServer>;
  issuers: Source<ClientCertificateIssuer>;
  namespaces: Source<GrantedNamespace>;
}

const Index = {
  host: 'terminator/host',
  service: 'terminator/service',
  server: 'terminator/server',
  bundle: 'terminator/bundle',
  name: 'terminator/name',
  class: 'terminator/class',
  namespace: 'terminator/namespace',
} as const;

const refOf = ({ namespace, name }: { namespace: string; name: string }): string => `${namespace}/${name}`;

const hostsOf = ({ hosts, hostless }: IngressProjection): readonly string[] => (hostless ? [...hosts, ''] : hosts);

/** It has opted in, or carries annotations of ours. */
const isMember = (ingress: IngressProjection): boolean => isOptedIn(ingress) || ingress.ownKeys.length > 0;

/** `*.example.com` in spec.tls covers one label, as in a certificate. */
function covers(tlsHost: string, host: string): boolean {
  return tlsHost === host || (tlsHost.startsWith('*.') && host.slice(host.indexOf('.')) === tlsHost.slice(1));
}

/** The caches seen as scopes, for the terminator kind and for what an OAuthClient's rotation waits on. */
export class TerminatorViews {
  readonly #sources: TerminatorSources;
  readonly #memory: TerminatorMemory;
  readonly #trust = new Map<string, Trust>();
  readonly #views = new Map<string, { version: number; views: readonly TerminatorView[] }>();
  #version = 0;

  /** Before the informers start. */
  constructor(sources: TerminatorSources, memory: TerminatorMemory) {
    this.#sources = sources;
    this.#memory = memory;
    const { ingresses, ingressClasses, bundles, servers, issuers, namespaces } = sources;
    ingresses.addIndex(Index.host, hostsOf);
    ingresses.addIndex(Index.service, (ingress) => [
      ...new Set(ingress.backends.map(({ service }) => `${ingress.namespace}/${service}`)),
    ]);
    ingresses.addIndex(Index.server, ({ optIn }) => (optIn.server === undefined ? [] : [optIn.server]));
    ingresses.addIndex(Index.bundle, ({ driverAnnotations }) => bundlesNamedBy(driverAnnotations));
    ingresses.addIndex(Index.class, ({ className }) => [className ?? '']);
    ingresses.addIndex(Index.namespace, ({ namespace }) => [namespace]);
    bundles.addIndex(Index.name, ({ name }) => [name]);
    bundles.addIndex(Index.namespace, ({ namespace }) => [namespace]);
    for (const source of [ingresses, ingressClasses, bundles, servers, issuers, namespaces]) {
      source.onChange(() => (this.#version += 1));
    }
    for (const source of [servers, issuers]) source.onChange(() => this.#trust.clear());
  }

  scopeOf(ingress: IngressProjection): Scope {
    return leadScope(ingress, this.#controllerOf(ingress));
  }

  observe(scope: Scope, now: number): Observed {
    const { ingresses, bundles } = this.#sources;
    const key = scopeKey(scope);
    const members = ingresses
      .byIndex(Index.host, scope.host)
      .filter((ingress) => isMember(ingress) && scopeKey(this.scopeOf(ingress)) === key)
      .toSorted((a, b) => refOf(a).localeCompare(refOf(b)));
    return {
      scope,
      members: members.map((ingress) => this.#member(ingress, scope, now)),
      bundles: bundles.byIndex(Index.name, bundleName(scope)).flatMap((bundle) => {
        if (bundle.scope === undefined || scopeKey(bundle.scope) !== key) return [];
        const used = members.some((ingress) => ingress.namespace === bundle.namespace && isOptedIn(ingress));
        return [{ bundle, needed: used || ingresses.byIndex(Index.bundle, refOf(bundle)).length > 0 }];
      }),
      memory: this.#memory,
    };
  }

  /** Every terminator of a server: those it lists, there or not, and all other Ingresses that are opted in and granted. */
  of(server: AuthorizationServer, now: number): readonly TerminatorView[] {
    const version = this.#version + this.#memory.version;
    const known = this.#views.get(server.metadata.name);
    if (known?.version === version) return known.views;
    const listed = (server.spec.terminators ?? []).map(refOf);
    const optedIn = this.#sources.ingresses
      .byIndex(Index.server, server.metadata.name)
      .filter((ingress) => isOptedIn(ingress) && !ingress.deleting && this.#grants(server, ingress));
    const refs = new Set([...listed, ...optedIn.map(refOf)]);
    const views = [...refs].toSorted().map((ref) => this.#view(ref, server, listed.includes(ref), now));
    this.#views.set(server.metadata.name, { version, views });
    return views;
  }

  keysForIngress(ingress: IngressProjection): string[] {
    const { ingresses, bundles } = this.#sources;
    const related = [
      ingress,
      ...hostsOf(ingress).flatMap((host) => ingresses.byIndex(Index.host, host)),
      ...ingress.backends.flatMap(({ service }) => ingresses.byIndex(Index.service, `${ingress.namespace}/${service}`)),
    ];
    const keys = related.filter(isMember).map((member) => scopeKey(this.scopeOf(member)));
    // A bundle that it named may be needed no more, also one of a scope that it has left.
    const left = bundles.byIndex(Index.namespace, ingress.namespace).flatMap(({ scope }) => scope ?? []);
    return [...new Set([...keys, ...left.map(scopeKey)])];
  }

  keysForServer(name: string): string[] {
    return this.#keysOf(this.#sources.ingresses.byIndex(Index.server, name));
  }

  keysForIssuer(name: string): string[] {
    const trusting = [...this.#sources.servers.list()].filter(
      ({ spec }) => spec.clients?.issuers?.includes(name) === true,
    );
    return [...new Set(trusting.flatMap(({ metadata }) => this.keysForServer(metadata.name)))];
  }

  keysForIngressClass(name: string): string[] {
    const { ingresses } = this.#sources;
    return this.#keysOf([...ingresses.byIndex(Index.class, name), ...ingresses.byIndex(Index.class, '')]);
  }

  keysForNamespace(name: string): string[] {
    return this.#keysOf(this.#sources.ingresses.byIndex(Index.namespace, name).filter(isMember));
  }

  keysForBundle(bundle: BundleProjection): string[] {
    const members = this.#sources.ingresses.byIndex(Index.namespace, bundle.namespace).filter(isMember);
    const scopes = members.map((ingress) => this.scopeOf(ingress)).filter((scope) => bundleName(scope) === bundle.name);
    return [...new Set([...scopes, ...(bundle.scope === undefined ? [] : [bundle.scope])].map(scopeKey))];
  }

  #keysOf(ingresses: readonly IngressProjection[]): string[] {
    return [...new Set(ingresses.flatMap((ingress) => this.keysForIngress(ingress)))];
  }

  #controllerOf({ className }: IngressProjection): string {
    const { ingressClasses } = this.#sources;
    if (className === undefined) return defaultController(ingressClasses.list());
    return ingressClasses.get(undefined, className)?.controller ?? '';
  }

  #grants(server: AuthorizationServer, ingress: Pick<IngressProjection, 'namespace' | 'name'>): boolean {
    if (isListed(server, ingress)) return true;
    const { namespace: name } = ingress;
    const namespace = this.#sources.namespaces.get(undefined, name) ?? { name, labels: {} };
    return namespaceGranted(server.spec.resourceServers?.namespaces, namespace);
  }

  #trustOf(server: AuthorizationServer): Trust {
    const { name } = server.metadata;
    const trust = this.#trust.get(name) ?? trustOf(server, (issuer) => this.#sources.issuers.get(undefined, issuer));
    this.#trust.set(name, trust);
    return trust;
  }

  #serverOf(ingress: IngressProjection): AuthorizationServer | undefined {
    const { optIn } = ingress;
    const server = optIn.server === undefined ? undefined : this.#sources.servers.get(undefined, optIn.server);
    return server !== undefined && this.#grants(server, ingress) ? server : undefined;
  }

  #member(ingress: IngressProjection, scope: Scope, now: number): Member {
    const { ingresses, bundles } = this.#sources;
    const server = this.#serverOf(ingress);
    const alike = ingress.hosts.map((host) => ({
      host,
      others: ingresses.byIndex(Index.host, host).filter((other) => this.#controllerOf(other) === scope.controller),
    }));
    const neighbours = new Map(
      alike
        .flatMap(({ others }) => others)
        .filter((other) => other.uid !== ingress.uid && !other.deleting)
        .map((other) => [other.uid, other]),
    );
    return {
      ingress,
      optedIn: isOptedIn(ingress),
      driver: driverFor(scope.controller),
      server,
      listed: server !== undefined && isListed(server, ingress),
      trust: server === undefined ? undefined : this.#trustOf(server),
      plainHosts: alike
        .filter(({ host, others }) => !others.some(({ tlsHosts }) => tlsHosts.some((tls) => covers(tls, host))))
        .map(({ host }) => host),
      neighbours: [...neighbours.values()].map((other) => this.#neighbour(other)),
      exposures: this.#exposures(ingress, scope.controller),
      bundle: bundles.get(ingress.namespace, bundleName(scope)),
      losses: this.#memory.losses(ingress.uid, now),
    };
  }

  #neighbour(ingress: IngressProjection): Neighbour {
    const { namespace, name, optIn } = ingress;
    const server = isOptedIn(ingress) && optIn.invalid === undefined ? this.#serverOf(ingress) : undefined;
    return {
      namespace,
      name,
      optIn:
        server === undefined
          ? undefined
          : { server: server.metadata.name, clientCertificates: optIn.clientCertificates },
      listed: server !== undefined && isListed(server, ingress),
    };
  }

  #exposures(ingress: IngressProjection, controller: string): Exposure[] {
    const { ingresses } = this.#sources;
    const services = new Set(ingress.backends.map(({ service }) => service));
    return [...services].flatMap((service) =>
      ingresses.byIndex(Index.service, `${ingress.namespace}/${service}`).flatMap((other) => {
        const own = this.#controllerOf(other) === controller;
        return other.backends
          .filter((backend) => backend.service === service && !(own && ingress.hosts.includes(backend.host)))
          .filter(({ host }) => other.uid !== ingress.uid && !this.#overwrites(this.#controllerOf(other), host))
          .map(({ host }) => ({ service, host, ingress: other.name }));
      }),
    );
  }

  /** Whether a client's own certificate headers are overwritten on a host; one Ingress decides for all of it. */
  #overwrites(controller: string, host: string): boolean {
    const driver = driverFor(controller);
    return this.#sources.ingresses
      .byIndex(Index.host, host)
      .some(
        (ingress) =>
          this.#controllerOf(ingress) === controller && driver?.overwritesHeaders(ingress.driverAnnotations) === true,
      );
  }

  #view(ref: string, server: AuthorizationServer, listed: boolean, now: number): TerminatorView {
    const [namespace, name = ''] = ref.split('/');
    const ingress = this.#sources.ingresses.get(namespace, name);
    const view = { ref, listed, inEffect: false, caHashes: [], changedAt: undefined, trustChangedAt: undefined };
    if (ingress === undefined || ingress.deleting) {
      return { ...view, problem: { reason: 'TerminatorMissing', message: 'There is no such Ingress: create it.' } };
    }
    if (!isOptedIn(ingress) || ingress.optIn.server !== server.metadata.name) {
      const message = `It has not opted in: annotate it with certbound.dev/authorization-server: ${server.metadata.name}.`;
      return { ...view, problem: { reason: 'TerminatorNotOptedIn', message } };
    }
    const observed = this.observe(this.scopeOf(ingress), now);
    const scopeView = { observed, desired: desired(observed), now };
    const member = observed.members.find((candidate) => candidate.ingress.uid === ingress.uid);
    if (member === undefined) return { ...view, problem: undefined };
    const problem = judge(member, scopeView).find(({ rule, bundle }) => bundle !== undefined || rule === 'ReportOnly');
    return {
      ...view,
      problem: problem === undefined ? undefined : { reason: problem.reason, message: problem.message },
      inEffect: inEffect(member, scopeView),
      caHashes: member.bundle?.hashes ?? [],
      changedAt: this.#changedAt(member),
      trustChangedAt:
        member.bundle === undefined
          ? undefined
          : this.#memory.trustChangedAt(bundleTarget(ingress.namespace, member.bundle.name)),
    };
  }

  #changedAt({ ingress, bundle }: Member): number | undefined {
    const known = [
      // Another process may have written them, a moment before this one was started.
      ingress.appliedAt,
      bundle?.writtenAt,
      this.#memory.writtenAt(ingressTarget(ingress.uid)),
      bundle === undefined ? undefined : this.#memory.writtenAt(bundleTarget(ingress.namespace, bundle.name)),
    ];
    const times = known.filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.max(...times);
  }
}

function isListed(server: AuthorizationServer, { namespace, name }: { namespace: string; name: string }): boolean {
  return (server.spec.terminators ?? []).some((ref) => ref.namespace === namespace && ref.name === name);
}

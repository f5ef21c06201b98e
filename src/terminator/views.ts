import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { propagationMs, verifyIntervalMs } from '../api/intervals.ts';
import { namespaceGranted, type GrantedNamespace } from '../api/namespace-grant.ts';
import type { Informer } from '../kube/informer.ts';
import type { KindUnion } from '../kube/kind-union.ts';
import { bundleName, type BundleProjection } from './bundle.ts';
import { desired } from './desired.ts';
import type { ProofSubject } from './proof/proofs.ts';
import { stateOf } from './proof/verdict.ts';
import { terminatorNotProved } from './product-rules.ts';
import type { TerminatorView } from './distribution.ts';
import { type ClassProjection, defaultClass } from './class.ts';
import { CONTOUR } from './contour.ts';
import type { CompanionProjection } from './companion.ts';
import type { TerminatorDriver } from './driver.ts';
import { type Frontend, frontendName, isOptedIn } from './frontend.ts';
import { frontendTarget, objectTarget, type TerminatorMemory } from './memory.ts';
import type { Exposure, Made, Member, Neighbour, Observed } from './observed.ts';
import { manual } from './manual.ts';
import { bundlesNamedBy, driverFor } from './registry.ts';
import { inEffect, isConfigured, judge } from './rules.ts';
import { leadScope, type Scope, scopeKey } from './scope.ts';
import { type Trust, trustOf } from '../x509/trust.ts';

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

const Index = {
  host: 'terminator/host',
  service: 'terminator/service',
  server: 'terminator/server',
  bundle: 'terminator/bundle',
  name: 'terminator/name',
  class: 'terminator/class',
  namespace: 'terminator/namespace',
  scope: 'terminator/scope',
} as const;

type Ref = Pick<Frontend, 'kind' | 'namespace' | 'name'>;

const hostsOf = ({ hosts, hostless }: Frontend): readonly string[] => (hostless ? [...hosts, ''] : hosts);

/** It has opted in, or carries settings of ours. */
const isMember = (frontend: Frontend): boolean => isOptedIn(frontend) || frontend.ownKeys.length > 0;

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
    const { frontends, ingressClasses, gatewayClasses, bundles, companions, servers, issuers, namespaces } = sources;
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
    const changed = (): void => void (this.#version += 1);
    for (const source of [frontends, bundles, companions]) source.onChange(changed);
    for (const source of [ingressClasses, servers, issuers, namespaces]) source.onChange(changed);
    gatewayClasses?.onChange(changed);
    for (const source of [servers, issuers]) source.onChange(() => this.#trust.clear());
  }

  scopeOf(frontend: Frontend): Scope {
    return leadScope(frontend, this.#controllerOf(frontend));
  }

  observe(scope: Scope, now: number): Observed {
    const { frontends, bundles } = this.#sources;
    const key = scopeKey(scope);
    const members = frontends
      .byIndex(Index.host, scope.host)
      .filter((frontend) => isMember(frontend) && scopeKey(this.scopeOf(frontend)) === key)
      .toSorted((a, b) => frontendName(a).localeCompare(frontendName(b)));
    const judged = members.map((frontend) => this.#member(frontend, scope, now));
    const kept = ({ namespace }: { namespace: string }): boolean =>
      members.some((frontend) => frontend.namespace === namespace && isOptedIn(frontend)) ||
      frontends.byIndex(Index.bundle, `${namespace}/${bundleName(scope)}`).length > 0;
    const companions = this.#madeCompanions(scope, judged, kept);
    return {
      scope,
      members: judged,
      bundles: bundles
        .byIndex(Index.name, bundleName(scope))
        .filter((bundle) => bundle.scope !== undefined && scopeKey(bundle.scope) === key)
        .map((bundle) => ({
          object: bundle,
          needed: kept(bundle) || companions.some(({ object }) => object.namespace === bundle.namespace),
        })),
      companions,
      memory: this.#memory,
    };
  }

  #madeCompanions(
    scope: Scope,
    members: readonly Member[],
    kept: (object: CompanionProjection) => boolean,
  ): Made<CompanionProjection>[] {
    const made = this.#sources.companions.byIndex(Index.scope, scopeKey(scope));
    if (made.length === 0) return [];
    const { wanted } = desired({ scope, members });
    return made.map((object) => {
      const beside = members.filter(({ frontend, optedIn }) => optedIn && frontend.namespace === object.namespace);
      const undecided = beside.some(({ frontend }) => !wanted.has(frontend.uid));
      const asked = beside.some(({ frontend }) =>
        wanted
          .get(frontend.uid)
          ?.companions.some(({ resource, name }) => resource.kind === object.resource.kind && name === object.name),
      );
      return { object, needed: asked || undecided || (beside.length === 0 && kept(object)) };
    });
  }

  /** What of a scope is configured, so that live connections can show it; undefined where something is in the way. */
  proofSubject(scope: Scope, now: number): ProofSubject | undefined {
    const observed = this.observe(scope, now);
    const view = { observed, desired: desired(observed), now };
    const members = observed.members.filter(
      (member) =>
        member.optedIn &&
        !member.frontend.deleting &&
        isConfigured(member, view) &&
        judge(member, view).every(({ rule, bundle }) => bundle === undefined || rule === terminatorNotProved.name),
    );
    const [first] = members;
    if (first?.server === undefined || first.trust === undefined) return undefined;
    const { server, trust, driver } = first;
    const mode = first.frontend.optIn.clientCertificates;
    const changedAt = Math.max(0, ...members.flatMap((member) => this.#changedAt(member) ?? []));
    return {
      controller: scope.controller,
      frontends: members.map(({ frontend }) => frontendName(frontend)),
      hosts: [...new Set(members.flatMap(({ frontend }) => frontend.hosts))].toSorted(),
      mode,
      server: server.metadata.name,
      issuers: (server.spec.clients?.issuers ?? []).flatMap((name) => {
        const issuer = this.#sources.issuers.get(undefined, name);
        return issuer?.spec.ca === undefined || (issuer.status?.caCertificate ?? '') === '' ? [] : [issuer];
      }),
      bundlePem: trust.bundle?.pem,
      laxHost: this.#laxHost(scope.controller, driver),
      basis: [mode, server.metadata.uid, ...(trust.bundle?.hashes ?? []), changedAt].join(' '),
      settledAt: changedAt + propagationMs(server),
      intervalMs: verifyIntervalMs(server),
    };
  }

  /** One that the controller serves over TLS and asks for no certificates on. */
  #laxHost(controller: string, driver: TerminatorDriver | undefined): string | undefined {
    for (const frontend of this.#sources.frontends.list()) {
      const { tlsHosts, hosts, settings, deleting } = frontend;
      if (deleting || isMember(frontend) || driver?.bundleOf(settings) !== undefined) continue;
      if (this.#controllerOf(frontend) !== controller) continue;
      const host = hosts.find((each) => tlsHosts.some((tls) => covers(tls, each)));
      if (host !== undefined) return host;
    }
    return undefined;
  }

  /** Every terminator of a server: those it lists, there or not, and all other frontends that are opted in and granted. */
  of(server: AuthorizationServer, now: number): readonly TerminatorView[] {
    const version = this.#version + this.#memory.version;
    const known = this.#views.get(server.metadata.name);
    if (known?.version === version) return known.views;
    const listed: readonly Ref[] = server.spec.terminators ?? [];
    const optedIn = this.#sources.frontends
      .byIndex(Index.server, server.metadata.name)
      .filter((frontend) => isOptedIn(frontend) && !frontend.deleting && this.#grants(server, frontend));
    const refs = new Map([...listed, ...optedIn].map((ref) => [frontendName(ref), ref]));
    const views = [...refs]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, ref]) => this.#view(ref, server, isListed(server, ref), now));
    this.#views.set(server.metadata.name, { version, views });
    return views;
  }

  keysForFrontend(frontend: Frontend): string[] {
    const { frontends, bundles, companions } = this.#sources;
    const related = [
      frontend,
      ...hostsOf(frontend).flatMap((host) => frontends.byIndex(Index.host, host)),
      ...frontend.backends.flatMap(({ service }) =>
        frontends.byIndex(Index.service, `${frontend.namespace}/${service}`),
      ),
    ];
    const keys = related.filter(isMember).map((member) => scopeKey(this.scopeOf(member)));
    // What it named may be needed no more, also of a scope that it has left.
    const left = [bundles, companions].flatMap((made) =>
      made.byIndex(Index.namespace, frontend.namespace).flatMap(({ scope }) => scope ?? []),
    );
    return [...new Set([...keys, ...left.map(scopeKey)])];
  }

  keysForServer(name: string): string[] {
    return this.#keysOf(this.#sources.frontends.byIndex(Index.server, name));
  }

  keysForIssuer(name: string): string[] {
    const trusting = [...this.#sources.servers.list()].filter(
      ({ spec }) => spec.clients?.issuers?.includes(name) === true,
    );
    return [...new Set(trusting.flatMap(({ metadata }) => this.keysForServer(metadata.name)))];
  }

  /** Of an IngressClass or a GatewayClass. */
  keysForClass(name: string): string[] {
    const { frontends } = this.#sources;
    return this.#keysOf([...frontends.byIndex(Index.class, name), ...frontends.byIndex(Index.class, '')]);
  }

  keysForNamespace(name: string): string[] {
    return this.#keysOf(this.#sources.frontends.byIndex(Index.namespace, name).filter(isMember));
  }

  keysForBundle(bundle: BundleProjection): string[] {
    const members = this.#sources.frontends.byIndex(Index.namespace, bundle.namespace).filter(isMember);
    const scopes = members
      .map((frontend) => this.scopeOf(frontend))
      .filter((scope) => bundleName(scope) === bundle.name);
    return [...new Set([...scopes, ...(bundle.scope === undefined ? [] : [bundle.scope])].map(scopeKey))];
  }

  keysForCompanion({ namespace, scope }: CompanionProjection): string[] {
    const members = this.#sources.frontends.byIndex(Index.namespace, namespace).filter(isMember);
    const scopes = members.map((frontend) => this.scopeOf(frontend));
    return [...new Set([...scopes, ...(scope === undefined ? [] : [scope])].map(scopeKey))];
  }

  #keysOf(frontends: readonly Frontend[]): string[] {
    return [...new Set(frontends.flatMap((frontend) => this.keysForFrontend(frontend)))];
  }

  #controllerOf({ kind, className }: Frontend): string {
    // Whoever has its kind in the cluster has its controller; its classes are names that no object describes.
    return kind === 'HTTPProxy' ? CONTOUR : (this.#classOf({ kind, className })?.controller ?? '');
  }

  #classOf({ kind, className }: Pick<Frontend, 'kind' | 'className'>): ClassProjection | undefined {
    const { ingressClasses, gatewayClasses } = this.#sources;
    if (kind === 'HTTPProxy') return undefined;
    if (kind === 'Gateway') return gatewayClasses?.get(undefined, className ?? '');
    return className === undefined ? defaultClass(ingressClasses.list()) : ingressClasses.get(undefined, className);
  }

  /** What the platform says that it configures by hand goes before what a driver would do. */
  #driverFor(controller: string): TerminatorDriver | undefined {
    return this.#sources.manualControllers?.has(controller) === true ? manual : driverFor(controller);
  }

  #grants(server: AuthorizationServer, frontend: Ref): boolean {
    if (isListed(server, frontend)) return true;
    const { namespace: name } = frontend;
    const namespace = this.#sources.namespaces.get(undefined, name) ?? { name, labels: {} };
    return namespaceGranted(server.spec.resourceServers?.namespaces, namespace);
  }

  #trustOf(server: AuthorizationServer): Trust {
    const { name } = server.metadata;
    const trust = this.#trust.get(name) ?? trustOf(server, (issuer) => this.#sources.issuers.get(undefined, issuer));
    this.#trust.set(name, trust);
    return trust;
  }

  #serverOf(frontend: Frontend): AuthorizationServer | undefined {
    const { optIn } = frontend;
    const server = optIn.server === undefined ? undefined : this.#sources.servers.get(undefined, optIn.server);
    return server !== undefined && this.#grants(server, frontend) ? server : undefined;
  }

  #member(frontend: Frontend, scope: Scope, now: number): Member {
    const { frontends, bundles, companions, drivers } = this.#sources;
    const known = this.#driverFor(scope.controller);
    const driver = known?.frontend === frontend.kind ? known : undefined;
    const server = this.#serverOf(frontend);
    const alike = frontend.hosts.map((host) => ({
      host,
      others: frontends.byIndex(Index.host, host).filter((other) => this.#controllerOf(other) === scope.controller),
    }));
    const neighbours = new Map(
      alike
        .flatMap(({ others }) => others)
        .filter((other) => other.uid !== frontend.uid && !other.deleting)
        .map((other) => [other.uid, other]),
    );
    return {
      frontend,
      optedIn: isOptedIn(frontend),
      driver: driver !== undefined && drivers.has(driver.name) ? driver : undefined,
      switchedOff: driver === undefined || drivers.has(driver.name) ? undefined : driver.name,
      classAnnotations: this.#classOf(frontend)?.annotations ?? {},
      proved:
        frontend.hosts.length > 0 &&
        frontend.hosts.every((host) => stateOf(this.#memory.proofs.of(scope.controller, host)) === 'proved'),
      server,
      listed: server !== undefined && isListed(server, frontend),
      trust: server === undefined ? undefined : this.#trustOf(server),
      plainHosts: alike
        .filter(({ host, others }) => !others.some(({ tlsHosts }) => tlsHosts.some((tls) => covers(tls, host))))
        .map(({ host }) => host),
      neighbours: [...neighbours.values()].map((other) => this.#neighbour(other)),
      exposures: this.#exposures(frontend, scope.controller),
      bundle: bundles.get(driver?.bundleKind ?? 'Secret', frontend.namespace, bundleName(scope)),
      companions: companions.byIndex(Index.namespace, frontend.namespace),
      losses: this.#memory.losses(frontend.uid, now),
    };
  }

  #neighbour(frontend: Frontend): Neighbour {
    const { kind, namespace, name, optIn } = frontend;
    const server = isOptedIn(frontend) && optIn.invalid === undefined ? this.#serverOf(frontend) : undefined;
    return {
      kind,
      namespace,
      name,
      optIn:
        server === undefined
          ? undefined
          : { server: server.metadata.name, clientCertificates: optIn.clientCertificates },
      listed: server !== undefined && isListed(server, frontend),
      leadHost: this.scopeOf(frontend).host,
      settings: frontend.settings,
    };
  }

  #exposures(frontend: Frontend, controller: string): Exposure[] {
    const { frontends } = this.#sources;
    const services = new Set(frontend.backends.map(({ service }) => service));
    return [...services].flatMap((service) =>
      frontends.byIndex(Index.service, `${frontend.namespace}/${service}`).flatMap((other) => {
        const own = this.#controllerOf(other) === controller;
        return other.backends
          .filter((backend) => backend.service === service && !(own && frontend.hosts.includes(backend.host)))
          .filter(({ host }) => other.uid !== frontend.uid && !this.#overwrites(this.#controllerOf(other), host))
          .map(({ host }) => ({ service, host, frontend: `${other.kind} ${other.name}` }));
      }),
    );
  }

  /** Whether a client's own certificate headers are overwritten on a host; one frontend decides for all of it. */
  #overwrites(controller: string, host: string): boolean {
    const driver = this.#driverFor(controller);
    if (driver?.capabilities.strips === 'always') return true;
    return this.#sources.frontends
      .byIndex(Index.host, host)
      .some(
        (frontend) =>
          this.#controllerOf(frontend) === controller && driver?.overwritesHeaders(frontend.settings) === true,
      );
  }

  #view(ref: Ref, server: AuthorizationServer, listed: boolean, now: number): TerminatorView {
    const frontend = this.#sources.frontends.get(ref.kind, ref.namespace, ref.name);
    const view = {
      ref: frontendName(ref),
      listed,
      inEffect: false,
      caHashes: [],
      changedAt: undefined,
      trustChangedAt: undefined,
    };
    if (frontend === undefined || frontend.deleting) {
      return { ...view, problem: { reason: 'TerminatorMissing', message: `There is no such ${ref.kind}: create it.` } };
    }
    if (!isOptedIn(frontend) || frontend.optIn.server !== server.metadata.name) {
      const message = `It has not opted in: annotate it with certbound.dev/authorization-server: ${server.metadata.name}.`;
      return { ...view, problem: { reason: 'TerminatorNotOptedIn', message } };
    }
    const observed = this.observe(this.scopeOf(frontend), now);
    const scopeView = { observed, desired: desired(observed), now };
    const member = observed.members.find((candidate) => candidate.frontend.uid === frontend.uid);
    if (member === undefined) return { ...view, problem: undefined };
    const problem = judge(member, scopeView).find(
      ({ rule, bundle, holdsUp }) => bundle !== undefined || holdsUp === true || rule === 'ReportOnly',
    );
    return {
      ...view,
      problem: problem === undefined ? undefined : { reason: problem.reason, message: problem.message },
      inEffect: inEffect(member, scopeView),
      proving: frontend.hosts.some((host) => this.#memory.proofs.awaited(observed.scope.controller, host, view.ref)),
      caHashes: member.bundle?.hashes ?? [],
      changedAt: this.#changedAt(member),
      trustChangedAt:
        member.bundle === undefined
          ? undefined
          : this.#memory.trustChangedAt(objectTarget(member.bundle.kind, frontend.namespace, member.bundle.name)),
    };
  }

  #changedAt({ frontend, bundle, companions }: Member): number | undefined {
    const writtenAt = (kind: string, name: string): number | undefined =>
      this.#memory.writtenAt(objectTarget(kind, frontend.namespace, name));
    const known = [
      // Another process may have written them, a moment before this one was started.
      frontend.appliedAt,
      bundle?.writtenAt,
      this.#memory.writtenAt(frontendTarget(frontend.uid)),
      bundle === undefined ? undefined : writtenAt(bundle.kind, bundle.name),
      ...companions.map(({ resource, name }) => writtenAt(resource.kind, name)),
    ];
    const times = known.filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.max(...times);
  }
}

function isListed(server: AuthorizationServer, { kind, namespace, name }: Ref): boolean {
  return (server.spec.terminators ?? []).some(
    (ref) => ref.kind === kind && ref.namespace === namespace && ref.name === name,
  );
}

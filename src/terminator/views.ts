import type { AuthorizationServer } from '../api/authorization-server.ts';
import { propagationMs, verifyIntervalMs } from '../api/intervals.ts';
import { AffectedScopes } from './affected-scopes.ts';
import { bundleName } from './bundle.ts';
import { Classes } from './classes.ts';
import type { CompanionProjection } from './companion.ts';
import { desired } from './desired.ts';
import type { TerminatorView } from './distribution.ts';
import { type Frontend, type FrontendRef, frontendName, isMember, isOptedIn } from './frontends/frontend.ts';
import { Grants, isListed } from './grants.ts';
import { Members } from './members.ts';
import { frontendTarget, objectTarget, type TerminatorMemory } from './memory.ts';
import type { Made, Member, Observed } from './observed.ts';
import { terminatorNotProved } from './rules/product-rules.ts';
import type { ProofSubject } from './proof/proofs.ts';
import { inEffect, isConfigured, judge } from './rules/rules.ts';
import { isNews } from './routes/route.ts';
import { type Scope, scopeKey } from './scope.ts';
import { addIndexes, Index, laxHostOf, laxKey, type TerminatorSources } from './sources.ts';

/** The caches seen as scopes, for the terminator kind and for what an OAuthClient's rotation waits on. */
export class TerminatorViews {
  readonly #sources: TerminatorSources;
  readonly #memory: TerminatorMemory;
  readonly #classes: Classes;
  readonly #grants: Grants;
  readonly #members: Members;
  /** What has to be looked at when something has changed. */
  readonly affected: AffectedScopes;
  readonly #views = new Map<string, { version: number; views: readonly TerminatorView[] }>();
  #version = 0;

  /** Before the informers start. */
  constructor(sources: TerminatorSources, memory: TerminatorMemory) {
    this.#sources = sources;
    this.#memory = memory;
    const { frontends, routes, ingressClasses, gatewayClasses, bundles, companions, servers, issuers, namespaces } =
      sources;
    addIndexes(sources);
    const changed = (): void => void (this.#version += 1);
    for (const source of [frontends, bundles, companions]) source.onChange(changed);
    for (const source of [ingressClasses, servers, issuers, namespaces]) source.onChange(changed);
    gatewayClasses?.onChange(changed);
    routes.onChange((change) => {
      if (isNews(change)) changed();
    });
    this.#classes = new Classes(sources);
    this.#grants = new Grants(sources);
    this.#members = new Members(sources, memory, { classes: this.#classes, grants: this.#grants });
    this.affected = new AffectedScopes(sources, this.#classes);
  }

  observe(scope: Scope, now: number): Observed {
    const { frontends, bundles } = this.#sources;
    const key = scopeKey(scope);
    const members = frontends
      .byIndex(Index.host, scope.host)
      .filter((frontend) => isMember(frontend) && scopeKey(this.#classes.scopeOf(frontend)) === key)
      .toSorted((a, b) => frontendName(a).localeCompare(frontendName(b)));
    const judged = members.map((frontend) => this.#members.of(frontend, scope, now));
    const kept = ({ namespace }: { namespace: string }): boolean =>
      members.some((frontend) => frontend.namespace === namespace && isOptedIn(frontend)) ||
      frontends.byIndex(Index.bundle, `${namespace}/${bundleName(scope)}`).length > 0 ||
      // Whose class is gone or unknown may still be served as before: not every product is told by settings what to read.
      frontends
        .byIndex(Index.host, scope.host)
        .some(
          (frontend) =>
            frontend.namespace === namespace &&
            isOptedIn(frontend) &&
            this.#classes.driverOf(this.#classes.controllerOf(frontend)) === undefined,
        );
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
    const loadMs = this.#classes.driverOf(scope.controller)?.companionsLoadMs;
    return made.map((object) => {
      const withdrawnAt = this.#memory.withdrawnAt(object.namespace);
      const beside = members.filter(({ frontend, optedIn }) => optedIn && frontend.namespace === object.namespace);
      const undecided = beside.some(({ frontend }) => !wanted.has(frontend.uid));
      const asked = beside.some(({ frontend }) =>
        wanted
          .get(frontend.uid)
          ?.companions.some(({ resource, name }) => resource.kind === object.resource.kind && name === object.name),
      );
      return {
        object,
        needed: asked || undecided || (beside.length === 0 && kept(object)),
        ...(loadMs === undefined || withdrawnAt === undefined ? {} : { keptUntil: withdrawnAt + loadMs }),
      };
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
    const { server, trust } = first;
    const mode = first.frontend.optIn.clientCertificates;
    const changedAt = Math.max(0, ...members.flatMap((member) => this.#changedAt(member) ?? []));
    return {
      controller: scope.controller,
      frontends: members.map(({ frontend }) => frontendName(frontend)),
      hosts: [...new Set(members.flatMap(({ frontend }) => frontend.proofHosts))].toSorted(),
      mode,
      server: server.metadata.name,
      issuers: (server.spec.clients?.issuers ?? []).flatMap((name) => {
        const issuer = this.#sources.issuers.get(undefined, name);
        return issuer?.spec.ca === undefined || (issuer.status?.caCertificate ?? '') === '' ? [] : [issuer];
      }),
      bundlePem: trust.bundle?.pem,
      laxHost: this.#laxHost(first.frontend),
      basis: [mode, server.metadata.uid, ...(trust.bundle?.hashes ?? []), changedAt].join(' '),
      settledAt: changedAt + propagationMs(server),
      intervalMs: verifyIntervalMs(server),
    };
  }

  /** One that the controller serves over TLS and asks for no certificates on. */
  #laxHost(frontend: Frontend): string | undefined {
    const [lax] = this.#classes
      .likeOf(frontend)
      .flatMap((classed) => this.#sources.frontends.byIndex(Index.lax, laxKey(classed)).slice(0, 1));
    return lax === undefined ? undefined : laxHostOf(lax);
  }

  /** Every terminator of a server: those it lists, there or not, and all other frontends that are opted in and granted. */
  of(server: AuthorizationServer, now: number): readonly TerminatorView[] {
    const version = this.#version + this.#memory.version;
    const known = this.#views.get(server.metadata.name);
    if (known?.version === version) return known.views;
    const listed: readonly FrontendRef[] = server.spec.terminators ?? [];
    const optedIn = this.#sources.frontends
      .byIndex(Index.server, server.metadata.name)
      .filter((frontend) => isOptedIn(frontend) && !frontend.deleting && this.#grants.admits(server, frontend));
    const refs = new Map([...listed, ...optedIn].map((ref) => [frontendName(ref), ref]));
    const views = [...refs]
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([, ref]) => this.#view(ref, server, isListed(server, ref), now));
    this.#views.set(server.metadata.name, { version, views });
    return views;
  }

  #view(ref: FrontendRef, server: AuthorizationServer, listed: boolean, now: number): TerminatorView {
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
    const observed = this.observe(this.#classes.scopeOf(frontend), now);
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
      ...(frontend.unobserved === true ? { unobserved: true } : {}),
      proving: frontend.proofHosts.some((host) =>
        this.#memory.proofs.awaited(observed.scope.controller, host, view.ref),
      ),
      caHashes: member.bundle?.hashes ?? [],
      changedAt: this.#changedAt(member),
      trustChangedAt:
        member.bundle === undefined
          ? undefined
          : this.#memory.trustChangedAt(objectTarget(member.bundle.kind, frontend.namespace, member.bundle.name)),
    };
  }

  #changedAt({ frontend, bundle, companions }: Member): number | undefined {
    const scope = scopeKey(this.#classes.scopeOf(frontend));
    const writtenAt = (kind: string, name: string): number | undefined =>
      this.#memory.writtenAt(objectTarget(kind, frontend.namespace, name));
    const known = [
      // Another process may have written them, a moment before this one was started.
      frontend.appliedAt,
      bundle?.writtenAt,
      this.#memory.writtenAt(frontendTarget(frontend.uid)),
      bundle === undefined ? undefined : writtenAt(bundle.kind, bundle.name),
      ...companions
        .filter((companion) => companion.scope !== undefined && scopeKey(companion.scope) === scope)
        .flatMap((companion) => [companion.writtenAt, writtenAt(companion.resource.kind, companion.name)]),
    ];
    const times = known.filter((time) => time !== undefined);
    return times.length === 0 ? undefined : Math.max(...times);
  }
}

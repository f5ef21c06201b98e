import { type BundleProjection, bundleName } from './bundle.ts';
import type { Classes } from './classes.ts';
import type { CompanionProjection } from './companion.ts';
import { type Frontend, isMember } from './frontend.ts';
import { parseScopeKey, scopeKey } from './scope.ts';
import { hostsOf, Index, type TerminatorSources } from './sources.ts';

/** Keys of the scopes that have to be looked at when something has changed. */
export class AffectedScopes {
  readonly #sources: TerminatorSources;
  readonly #classes: Classes;

  constructor(sources: TerminatorSources, classes: Classes) {
    this.#sources = sources;
    this.#classes = classes;
  }

  byFrontend(frontend: Frontend): string[] {
    const { frontends, bundles, companions } = this.#sources;
    const related = [
      frontend,
      ...hostsOf(frontend).flatMap((host) => frontends.byIndex(Index.host, host)),
      ...frontend.backends.flatMap(({ service }) =>
        frontends.byIndex(Index.service, `${frontend.namespace}/${service}`),
      ),
    ];
    const keys = related.filter(isMember).map((member) => scopeKey(this.#classes.scopeOf(member)));
    // What it named may be needed no more, also of a scope that it has left.
    const left = [bundles, companions].flatMap((made) =>
      made.byIndex(Index.namespace, frontend.namespace).flatMap(({ scope }) => scope ?? []),
    );
    return [...new Set([...keys, ...left.map(scopeKey)])];
  }

  byServer(name: string): string[] {
    return this.#keysOf(this.#sources.frontends.byIndex(Index.server, name));
  }

  byIssuer(name: string): string[] {
    const trusting = [...this.#sources.servers.list()].filter(
      ({ spec }) => spec.clients?.issuers?.includes(name) === true,
    );
    return [...new Set(trusting.flatMap(({ metadata }) => this.byServer(metadata.name)))];
  }

  /** Names of the servers whose clients hang on what is judged in these scopes, also by what is around it. */
  serversOf(keys: readonly string[]): string[] {
    const scopes = keys.map(parseScopeKey);
    const members = scopes.flatMap(({ host }) => this.#sources.frontends.byIndex(Index.host, host)).filter(isMember);
    return [...new Set(members.flatMap(({ optIn }) => optIn.server ?? []))];
  }

  /** Of an IngressClass or a GatewayClass. */
  byClass(name: string): string[] {
    const { frontends } = this.#sources;
    return this.#keysOf([...frontends.byIndex(Index.class, name), ...frontends.byIndex(Index.class, '')]);
  }

  byNamespace(name: string): string[] {
    return this.#keysOf(this.#sources.frontends.byIndex(Index.namespace, name).filter(isMember));
  }

  byBundle(bundle: BundleProjection): string[] {
    const members = this.#sources.frontends.byIndex(Index.namespace, bundle.namespace).filter(isMember);
    const scopes = members
      .map((frontend) => this.#classes.scopeOf(frontend))
      .filter((scope) => bundleName(scope) === bundle.name);
    return [...new Set([...scopes, ...(bundle.scope === undefined ? [] : [bundle.scope])].map(scopeKey))];
  }

  byCompanion({ namespace, scope }: CompanionProjection): string[] {
    const members = this.#sources.frontends.byIndex(Index.namespace, namespace).filter(isMember);
    const scopes = members.map((frontend) => this.#classes.scopeOf(frontend));
    return [...new Set([...scopes, ...(scope === undefined ? [] : [scope])].map(scopeKey))];
  }

  #keysOf(frontends: readonly Frontend[]): string[] {
    return [...new Set(frontends.flatMap((frontend) => this.byFrontend(frontend)))];
  }
}

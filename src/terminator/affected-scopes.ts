import { type BundleProjection, bundleName } from './bundle.ts';
import type { Classes } from './classes.ts';
import type { CompanionProjection } from './companion.ts';
import { type Frontend, isMember } from './frontends/frontend.ts';
import type { Route } from './routes/route.ts';
import { scopeKey } from './scope.ts';
import { gatewayOf, hostsOf, Index, ownServicesOf, type TerminatorSources } from './sources.ts';

/** Keys of the scopes that have to be looked at when something has changed. */
export class AffectedScopes {
  readonly #sources: TerminatorSources;
  readonly #classes: Classes;

  constructor(sources: TerminatorSources, classes: Classes) {
    this.#sources = sources;
    this.#classes = classes;
  }

  byFrontend(frontend: Frontend): string[] {
    const { bundles, companions } = this.#sources;
    const keys = this.#around(frontend).map((member) => scopeKey(this.#classes.scopeOf(member)));
    // What it named may be needed no more, also of a scope that it has left.
    const left = [bundles, companions].flatMap((made) =>
      made.byIndex(Index.namespace, frontend.namespace).flatMap(({ scope }) => scope ?? []),
    );
    return [...new Set([...keys, ...left.map(scopeKey)])];
  }

  /** Names of the servers whose clients hang on it: it may be a stranger that came to a host or a Service of theirs. */
  serversOf(frontend: Frontend): string[] {
    const named = [frontend, ...this.#around(frontend)].flatMap(({ optIn }) => optIn.server ?? []);
    return [...new Set(named)];
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

  /** Of an IngressClass or a GatewayClass. */
  byClass(name: string): string[] {
    return this.#keysOf(this.#ofClass(name));
  }

  serversOfClass(name: string): string[] {
    return [...new Set(this.#ofClass(name).flatMap((frontend) => this.serversOf(frontend)))];
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

  byRoute(route: Route): string[] {
    return this.#keysOf(this.#beside(route));
  }

  serversOfRoute(route: Route): string[] {
    return [...new Set(this.#beside(route).flatMap((frontend) => this.serversOf(frontend)))];
  }

  /** Members that share a host or a Service with it, itself among them where it is one. */
  #around(frontend: Frontend): Frontend[] {
    const { frontends, routes } = this.#sources;
    const { kind, namespace, name } = frontend;
    const attached = kind === 'Gateway' ? routes.byIndex(Index.gateway, `${namespace}/${name}`) : [];
    const services = [...ownServicesOf(frontend), ...attached.flatMap((route) => route.services)];
    const related = [
      frontend,
      ...hostsOf(frontend).flatMap((host) => frontends.byIndex(Index.host, host)),
      ...this.#reaching(services),
    ];
    return [...new Set(related)].filter(isMember);
  }

  /** Members that it leads around, or that it hangs on. */
  #beside({ parents, services }: Route): Frontend[] {
    return [...new Set([...this.#gatewaysOf(parents), ...this.#reaching(services)])].filter(isMember);
  }

  #reaching(services: readonly string[]): Frontend[] {
    const { frontends, routes } = this.#sources;
    return [...new Set(services)].flatMap((service) => [
      ...frontends.byIndex(Index.service, service),
      ...routes.byIndex(Index.service, service).flatMap(({ parents }) => this.#gatewaysOf(parents)),
    ]);
  }

  #gatewaysOf(parents: Route['parents']): Frontend[] {
    return parents.flatMap((parent) => gatewayOf(this.#sources, parent) ?? []);
  }

  /** Of the class, or of one that is not known: the default's, or that of what serves a route and is not looked at. */
  #ofClass(name: string): Frontend[] {
    const { frontends, routes } = this.#sources;
    const unclassed = [...routes.list()].filter(({ parents }) => this.#gatewaysOf(parents).length < parents.length);
    return [
      ...frontends.byIndex(Index.class, name),
      ...frontends.byIndex(Index.class, ''),
      ...unclassed.flatMap((route) => this.#beside(route)),
    ];
  }

  #keysOf(frontends: readonly Frontend[]): string[] {
    return [...new Set(frontends.flatMap((frontend) => this.byFrontend(frontend)))];
  }
}

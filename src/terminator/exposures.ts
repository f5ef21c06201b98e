import { CLIENT_HEADERS_REMOVED } from '../api/annotations.ts';
import type { Classes } from './classes.ts';
import { TRAEFIK } from './drivers/traefik.ts';
import type { ClassProjection } from './frontends/class.ts';
import { type Frontend, isOptedIn } from './frontends/frontend.ts';
import type { Exposure } from './observed.ts';
import type { RouteParent } from './routes/route.ts';
import { gatewayOf, Index, servicesOf, type TerminatorSources } from './sources.ts';

type Sources = Pick<TerminatorSources, 'frontends' | 'routes' | 'ingressClasses' | 'gatewayClasses'>;

/** What serves a Service besides: whose it is, and whether its platform says that it removes clients' own headers. */
interface Server {
  controller: string;
  removes: boolean;
}

/** Ways around client authentication: what else reaches the Services behind a frontend and lets a client's own header pass. */
export class Exposures {
  readonly #sources: Sources;
  readonly #classes: Classes;

  constructor(sources: Sources, classes: Classes) {
    this.#sources = sources;
    this.#classes = classes;
  }

  /** @param header by which the frontend's own terminator passes certificates on; '' where it passes none on */
  of(frontend: Frontend, header: string | undefined): Exposure[] {
    return servicesOf(this.#sources, frontend).flatMap((service) => [
      ...this.#byFrontends(service, frontend, header),
      ...this.#byRoutes(service, frontend, header),
    ]);
  }

  #byFrontends(service: string, frontend: Frontend, header: string | undefined): Exposure[] {
    const controller = this.#classes.controllerOf(frontend);
    const others = this.#sources.frontends.byIndex(Index.service, service).filter(({ uid }) => uid !== frontend.uid);
    return others.flatMap((other) => {
      const { kind, namespace, name } = other;
      const server = { controller: this.#classes.controllerOf(other), removes: removes(this.#classes.classOf(other)) };
      const own = server.controller === controller;
      return other.backends
        .filter((backend) => `${namespace}/${backend.service}` === service)
        .filter(({ host }) => !(own && frontend.hosts.includes(host)))
        .filter(({ host }) => !this.#replaces(header, server, host))
        .map(({ host }) => ({ service, kind, namespace, name, at: host === '' ? 'the default host' : host }));
    });
  }

  #byRoutes(service: string, frontend: Frontend, header: string | undefined): Exposure[] {
    const own = frontend.kind === 'Gateway' ? frontend.hosts : [];
    return this.#sources.routes.byIndex(Index.service, service).flatMap((route) => {
      const { kind, namespace, name } = route;
      return route.parents
        .filter((parent) => !(parent.kind === 'Gateway' && own.includes(parent.gateway)))
        .filter((parent) => !this.#parentReplaces(header, parent))
        .map((parent) => ({ service, kind, namespace, name, at: parentName(parent) }));
    });
  }

  #parentReplaces(header: string | undefined, parent: RouteParent): boolean {
    if (parent.kind === 'IngressClass') {
      const classes = this.#ingressClassesOf(parent.className);
      return this.#replaces(header, { controller: TRAEFIK, removes: classes.length > 0 && classes.every(removes) }, '');
    }
    const host = parent.kind === 'Gateway' ? parent.gateway : '';
    const servers = this.#classesOf(parent).map((each) => ({ controller: each.controller, removes: removes(each) }));
    return servers.length > 0 && servers.every((server) => this.#replaces(header, server, host));
  }

  /** Traefik serves what names no class of another's, too. */
  #ingressClassesOf(className: string | undefined): ClassProjection[] {
    return [...this.#sources.ingressClasses.list()].filter(({ name, controller }) =>
      className === undefined ? controller === TRAEFIK : name === className,
    );
  }

  /** What is not looked at (its kind, or the Gateway's namespace) may be of any. */
  #classesOf(parent: Exclude<RouteParent, { kind: 'IngressClass' }>): ClassProjection[] {
    const gateway = gatewayOf(this.#sources, parent);
    if (gateway === undefined) return [...(this.#sources.gatewayClasses?.list() ?? [])];
    const its = this.#classes.classOf(gateway);
    return its === undefined ? [] : [its];
  }

  /**
   * Whether a client's own copy of the header is replaced on a host; one frontend decides for all of it. What a product does
   * with its own header says nothing of another product's.
   */
  #replaces(header: string | undefined, { controller, removes: removed }: Server, host: string): boolean {
    if (removed) return true;
    const driver = this.#classes.driverOf(controller);
    if (driver === undefined || driver.capabilities.header !== header) return false;
    if (driver.capabilities.strips === 'always') return true;
    return this.#sources.frontends.byIndex(Index.host, host).some((frontend) => {
      if (this.#classes.controllerOf(frontend) !== controller) return false;
      // What is configured by hand is shown by the live proof, or does not count at all.
      return driver.inEffectBy === 'proof' ? isOptedIn(frontend) : driver.overwritesHeaders(frontend.settings);
    });
  }
}

const removes = (known: ClassProjection | undefined): boolean => known?.annotations[CLIENT_HEADERS_REMOVED] === 'true';

function parentName(parent: RouteParent): string {
  if (parent.kind === 'Gateway') return `Gateway ${parent.gateway}`;
  return parent.kind === 'Unknown' ? parent.name : 'Traefik';
}

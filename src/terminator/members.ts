import { CLIENT_HEADERS_REMOVED } from '../api/annotations.ts';
import { bundleName } from './bundle.ts';
import type { Classes } from './classes.ts';
import { type Frontend, isOptedIn } from './frontends/frontend.ts';
import { type Grants, isListed } from './grants.ts';
import type { TerminatorMemory } from './memory.ts';
import type { Exposure, Member, Neighbour } from './observed.ts';
import { stateOf } from './proof/verdict.ts';
import type { Scope } from './scope.ts';
import { covers, Index, type TerminatorSources } from './sources.ts';

/** Frontends, with all around each that decides about it. */
export class Members {
  readonly #sources: TerminatorSources;
  readonly #memory: TerminatorMemory;
  readonly #classes: Classes;
  readonly #grants: Grants;

  constructor(sources: TerminatorSources, memory: TerminatorMemory, by: { classes: Classes; grants: Grants }) {
    this.#sources = sources;
    this.#memory = memory;
    this.#classes = by.classes;
    this.#grants = by.grants;
  }

  of(frontend: Frontend, scope: Scope, now: number): Member {
    const { frontends, bundles, companions, drivers } = this.#sources;
    const known = this.#classes.driverOf(scope.controller);
    const driver = known?.frontend === frontend.kind ? known : undefined;
    const server = this.#grants.serverOf(frontend);
    const ofClass = this.#classes.classOf(frontend);
    const alike = frontend.hosts.map((host) => ({
      host,
      others: frontends
        .byIndex(Index.host, host)
        .filter((other) => this.#classes.controllerOf(other) === scope.controller),
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
      classAnnotations: ofClass?.annotations ?? {},
      version: ofClass?.version,
      proved:
        frontend.proofHosts.length > 0 &&
        frontend.proofHosts.every((host) => stateOf(this.#memory.proofs.of(scope.controller, host)) === 'proved'),
      server,
      listed: server !== undefined && isListed(server, frontend),
      trust: server === undefined ? undefined : this.#grants.trustOf(server),
      plainHosts: alike
        .filter(({ host, others }) => !others.some(({ tlsHosts }) => tlsHosts.some((tls) => covers(tls, host))))
        .map(({ host }) => host),
      neighbours: [...neighbours.values()].map((other) => this.#neighbour(other)),
      exposures: this.#exposures(frontend, scope.controller, driver?.capabilities.header),
      bundle: bundles.get(driver?.bundleKind ?? 'Secret', frontend.namespace, bundleName(scope)),
      companions: companions.byIndex(Index.namespace, frontend.namespace),
      losses: this.#memory.losses(frontend.uid, now),
    };
  }

  #neighbour(frontend: Frontend): Neighbour {
    const { kind, namespace, name, optIn } = frontend;
    const server = isOptedIn(frontend) && optIn.invalid === undefined ? this.#grants.serverOf(frontend) : undefined;
    return {
      kind,
      namespace,
      name,
      optIn:
        server === undefined
          ? undefined
          : { server: server.metadata.name, clientCertificates: optIn.clientCertificates },
      listed: server !== undefined && isListed(server, frontend),
      leadHost: this.#classes.scopeOf(frontend).host,
      settings: frontend.settings,
    };
  }

  /** @param header by which the frontend's own terminator passes certificates on */
  #exposures(frontend: Frontend, controller: string, header: string | undefined): Exposure[] {
    const { frontends } = this.#sources;
    const services = new Set(frontend.backends.map(({ service }) => service));
    return [...services].flatMap((service) =>
      frontends.byIndex(Index.service, `${frontend.namespace}/${service}`).flatMap((other) => {
        const own = this.#classes.controllerOf(other) === controller;
        return other.backends
          .filter((backend) => backend.service === service && !(own && frontend.hosts.includes(backend.host)))
          .filter(({ host }) => other.uid !== frontend.uid && !this.#replaces(header, other, host))
          .map(({ host }) => ({ service, host, frontend: `${other.kind} ${other.name}` }));
      }),
    );
  }

  /**
   * Whether a client's own copy of the header is replaced on a host of another frontend; one frontend decides for all of
   * it. What a product does with its own header says nothing of another product's.
   */
  #replaces(header: string | undefined, other: Frontend, host: string): boolean {
    if (this.#classes.classOf(other)?.annotations[CLIENT_HEADERS_REMOVED] === 'true') return true;
    const controller = this.#classes.controllerOf(other);
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

import { bundleName } from './bundle.ts';
import type { Classes } from './classes.ts';
import { Exposures } from './exposures.ts';
import { type Frontend, isOptedIn } from './frontends/frontend.ts';
import { type Grants, isListed } from './grants.ts';
import type { TerminatorMemory } from './memory.ts';
import type { Member, Neighbour } from './observed.ts';
import { stateOf } from './proof/verdict.ts';
import { servedPlain } from './routes/listener.ts';
import type { Scope } from './scope.ts';
import { covers, Index, type TerminatorSources } from './sources.ts';

/** Frontends, with all around each that decides about it. */
export class Members {
  readonly #sources: TerminatorSources;
  readonly #memory: TerminatorMemory;
  readonly #classes: Classes;
  readonly #grants: Grants;
  readonly #exposures: Exposures;

  constructor(sources: TerminatorSources, memory: TerminatorMemory, by: { classes: Classes; grants: Grants }) {
    this.#sources = sources;
    this.#memory = memory;
    this.#classes = by.classes;
    this.#grants = by.grants;
    this.#exposures = new Exposures(sources, by.classes);
  }

  of(frontend: Frontend, scope: Scope, now: number): Member {
    const { frontends, routes, bundles, companions, drivers } = this.#sources;
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
      exposures: this.#exposures.of(frontend, driver?.capabilities.header),
      plain: servedPlain(frontend, routes.byIndex(Index.gateway, `${frontend.namespace}/${frontend.name}`)),
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
}

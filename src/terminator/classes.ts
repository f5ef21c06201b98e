import { type ClassProjection, defaultClass } from './frontends/class.ts';
import { CONTOUR } from './drivers/contour.ts';
import type { TerminatorDriver } from './driver.ts';
import type { Frontend } from './frontends/frontend.ts';
import { manual } from './drivers/manual.ts';
import { driverFor } from './registry.ts';
import { leadScope, type Scope } from './scope.ts';
import type { TerminatorSources } from './sources.ts';

type Classed = Pick<Frontend, 'kind' | 'className'>;

/** Whose a frontend is: its class, the controller of that, the driver that knows the product. */
export class Classes {
  readonly #sources: Pick<TerminatorSources, 'ingressClasses' | 'gatewayClasses' | 'manualControllers'>;

  constructor(sources: Pick<TerminatorSources, 'ingressClasses' | 'gatewayClasses' | 'manualControllers'>) {
    this.#sources = sources;
  }

  scopeOf(frontend: Frontend): Scope {
    return leadScope(frontend, this.controllerOf(frontend));
  }

  controllerOf({ kind, className }: Classed): string {
    // Whoever has its kind in the cluster has its controller; its classes are names that no object describes.
    return kind === 'HTTPProxy' ? CONTOUR : (this.classOf({ kind, className })?.controller ?? '');
  }

  classOf({ kind, className }: Classed): ClassProjection | undefined {
    const { ingressClasses, gatewayClasses } = this.#sources;
    if (kind === 'HTTPProxy') return undefined;
    if (kind === 'Gateway') return gatewayClasses?.get(undefined, className ?? '');
    return className === undefined ? defaultClass(ingressClasses.list()) : ingressClasses.get(undefined, className);
  }

  /** Kinds and names of the classes that the same controller has, the one without a name too. */
  likeOf(frontend: Classed): Classed[] {
    if (frontend.kind === 'HTTPProxy') return [frontend];
    const controller = this.controllerOf(frontend);
    const { ingressClasses, gatewayClasses } = this.#sources;
    const of = (kind: Classed['kind'], classes: Iterable<ClassProjection>): Classed[] =>
      [...classes, undefined]
        .map((each) => ({ kind, className: each?.name }))
        .filter((classed) => this.controllerOf(classed) === controller);
    return frontend.kind === 'Gateway'
      ? of('Gateway', gatewayClasses?.list() ?? [])
      : of('Ingress', ingressClasses.list());
  }

  /** What the platform says that it configures by hand goes before what a driver would do. */
  driverOf(controller: string): TerminatorDriver | undefined {
    return this.#sources.manualControllers?.has(controller) === true ? manual : driverFor(controller);
  }
}

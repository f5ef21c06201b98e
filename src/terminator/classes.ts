import { type ClassProjection, defaultClass } from './class.ts';
import { CONTOUR } from './contour.ts';
import type { TerminatorDriver } from './driver.ts';
import type { Frontend } from './frontend.ts';
import { manual } from './manual.ts';
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

  /** What the platform says that it configures by hand goes before what a driver would do. */
  driverOf(controller: string): TerminatorDriver | undefined {
    return this.#sources.manualControllers?.has(controller) === true ? manual : driverFor(controller);
  }
}

import type { TerminatorDriver } from './driver.ts';
import { nginx } from './nginx.ts';
import { traefik } from './traefik.ts';

const drivers: readonly TerminatorDriver[] = [nginx, traefik];

/** The driver for an IngressClass's controller; undefined where none of ours knows the product. */
export function driverFor(controller: string): TerminatorDriver | undefined {
  return drivers.find((driver) => driver.detect(controller));
}

/** Annotation keys of any driver: what a projection keeps of an Ingress's annotations. */
export const driverKeys: ReadonlySet<string> = new Set(
  drivers.flatMap((driver) => [...driver.ownedKeys, ...driver.watchedKeys]),
);

/** namespace/name of every CA Secret that annotations name, in whatever product's words. */
export function bundlesNamedBy(annotations: Readonly<Record<string, string>>): string[] {
  return drivers.flatMap((driver) => {
    const named = driver.bundleOf(annotations);
    return named === undefined ? [] : [`${named.namespace}/${named.name}`];
  });
}

/**
 * A scope is a controller and a host: ingress controllers let one Ingress decide about client certificates for the whole
 * host. An Ingress of several hosts has one set of annotations all the same, so its first host leads: in that scope it is
 * acted on and reported, with what all its hosts have to say.
 */
import type { IngressProjection } from './ingress.ts';

export interface Scope {
  /** `spec.controller` of the IngressClass; '' where none is known. */
  controller: string;
  /** '' for an Ingress without a host. */
  host: string;
}

export function scopeKey({ controller, host }: Scope): string {
  return `${controller}|${host}`;
}

export function parseScopeKey(key: string): Scope {
  const separator = key.indexOf('|');
  return { controller: key.slice(0, Math.max(0, separator)), host: key.slice(separator + 1) };
}

export function leadScope(ingress: Pick<IngressProjection, 'hosts'>, controller: string): Scope {
  return { controller, host: ingress.hosts[0] ?? '' };
}

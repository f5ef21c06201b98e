/**
 * A scope is a controller and a host: ingress controllers let one Ingress decide about client certificates for the whole
 * host. A frontend of several hosts has one set of settings all the same, so its first host leads: in that scope it is
 * acted on and reported, with what all its hosts have to say.
 */
import { GROUP } from '../api/annotations.ts';
import type { Frontend } from './frontends/frontend.ts';

export interface Scope {
  /** `spec.controller` of the IngressClass or `spec.controllerName` of the GatewayClass; '' where none is known. */
  controller: string;
  /** '' for a frontend without a host. */
  host: string;
}

export function scopeKey({ controller, host }: Scope): string {
  return `${controller}|${host}`;
}

export function parseScopeKey(key: string): Scope {
  const separator = key.indexOf('|');
  return { controller: key.slice(0, Math.max(0, separator)), host: key.slice(separator + 1) };
}

export function leadScope(frontend: Pick<Frontend, 'hosts'>, controller: string): Scope {
  return { controller, host: frontend.hosts[0] ?? '' };
}

const HOST = `${GROUP}/host`;
const CONTROLLER = `${GROUP}/ingress-controller`;

/** On everything that is written for a scope: it says by itself what it is for. */
export function scopeAnnotations({ controller, host }: Scope): Record<string, string> {
  return { [HOST]: host, [CONTROLLER]: controller };
}

export function scopeOfAnnotations(annotations: Readonly<Record<string, string>>): Scope | undefined {
  const { [HOST]: host, [CONTROLLER]: controller } = annotations;
  return host === undefined || controller === undefined ? undefined : { controller, host };
}

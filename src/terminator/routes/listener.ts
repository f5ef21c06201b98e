/** Which listeners of a Gateway serve a route (Gateway API, `ParentReference`, `AllowedRoutes`, hostname intersection). */
import type { Frontend, Listener } from '../frontends/frontend.ts';
import type { Exposure } from '../observed.ts';
import { acceptedAt, type GatewayParent, type Route } from './route.ts';

type Gateway = Pick<Frontend, 'namespace' | 'name' | 'listeners'>;

interface Served {
  route: Route;
  listener: Listener;
}

/** Services that the Gateway serves over TLS, and over plain HTTP as well, where nobody is asked for a certificate. */
export function servedPlain(gateway: Gateway, routes: readonly Route[]): Exposure[] {
  const all = routes.flatMap((route) => servedBy(gateway, route));
  const secure = new Set(all.filter(({ listener }) => listener.tls).flatMap(({ route }) => route.services));
  return all
    .filter(({ listener }) => !listener.tls)
    .flatMap(({ route: { kind, namespace, name, services }, listener }) =>
      services
        .filter((service) => secure.has(service))
        .map((service) => ({ service, kind, namespace, name, at: `listener ${listener.name}` })),
    );
}

function servedBy(gateway: Gateway, route: Route): Served[] {
  const parents = acceptedAt(route, `${gateway.namespace}/${gateway.name}`);
  return (gateway.listeners ?? [])
    .filter((listener) => parents.some((parent) => serves(gateway, listener, route, parent)))
    .map((listener) => ({ route, listener }));
}

function serves(gateway: Gateway, listener: Listener, route: Route, { section, port }: GatewayParent): boolean {
  const { from, hostname } = listener;
  if (from === 'None' || (from === 'Same' && route.namespace !== gateway.namespace)) return false;
  if ((section ?? listener.name) !== listener.name || (port ?? listener.port) !== listener.port) return false;
  return hostname === '' || route.hostnames.length === 0 || route.hostnames.some((host) => intersect(host, hostname));
}

const intersect = (one: string, other: string): boolean => one === other || isBelow(one, other) || isBelow(other, one);

/** A wildcard stands for any number of labels here, unlike in a certificate. */
const isBelow = (name: string, wildcard: string): boolean =>
  wildcard.startsWith('*.') && name.endsWith(wildcard.slice(1));

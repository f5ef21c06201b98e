import { isDeepStrictEqual } from 'node:util';
import type { Change } from '../../kube/informer.ts';
import { grpcRoutes, httpRoutes, ingressRoutes, type Resource } from '../../kube/resource.ts';

/** Kinds by which requests reach Services, and in which nothing can be said of client certificates. */
export type RouteKind = 'HTTPRoute' | 'GRPCRoute' | 'IngressRoute';

/** What the cache keeps of an object that sends requests on: it may lead around the client authentication of a frontend. */
export interface Route {
  kind: RouteKind;
  namespace: string;
  name: string;
  /** What it hangs on: Gateways or what stands for them, or of an IngressRoute Traefik. */
  parents: readonly RouteParent[];
  /** That it is for; none: whatever its parents serve. */
  hostnames: readonly string[];
  /** `namespace/name` of each Service that it sends requests to; of another namespace only where it is known to be allowed. */
  services: readonly string[];
}

export type RouteParent =
  | GatewayParent
  /** Something else of the Gateway API, which is not looked at, e.g. `ListenerSet edge/public`. */
  | { kind: 'Unknown'; name: string }
  | { kind: 'IngressClass'; className: string | undefined };

export interface GatewayParent {
  kind: 'Gateway';
  /** `namespace/name`. */
  gateway: string;
  /** Of the Gateway's listeners this one alone. */
  section?: string | undefined;
  port?: number | undefined;
  /** The Gateway's controller has said that it serves the route there. */
  accepted: boolean;
}

export const routeResources: Readonly<Record<RouteKind, Resource>> = {
  HTTPRoute: httpRoutes,
  GRPCRoute: grpcRoutes,
  IngressRoute: ingressRoutes,
};

/** Where its controller serves it at a Gateway, by `namespace/name`. */
export const acceptedAt = ({ parents }: Route, gateway: string): GatewayParent[] =>
  parents.filter(
    (parent): parent is GatewayParent => parent.kind === 'Gateway' && parent.gateway === gateway && parent.accepted,
  );

/** Controllers write the status of routes again and again, and nothing of it that counts here. */
export const isNews = ({ previous, current }: Pick<Change<Route>, 'previous' | 'current'>): boolean =>
  !isDeepStrictEqual(previous, current);

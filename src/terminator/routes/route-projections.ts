import type { KubernetesObject } from '../../kube/resource.ts';
import { projectGatewayRoute } from './gateway-route.ts';
import { projectIngressRoute } from './ingress-route.ts';
import type { Route, RouteKind } from './route.ts';

/** What the cache keeps of each kind of route. */
export const routeProjections: Readonly<Record<RouteKind, (object: KubernetesObject) => Route>> = {
  HTTPRoute: projectGatewayRoute('HTTPRoute'),
  GRPCRoute: projectGatewayRoute('GRPCRoute'),
  IngressRoute: projectIngressRoute,
};

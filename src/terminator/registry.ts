import type { Resource } from '../kube/resource.ts';
import { contour } from './drivers/contour.ts';
import type { FrontendKind, Settings, TerminatorDriver } from './driver.ts';
import { awsAlb } from './drivers/aws-alb.ts';
import { envoyGateway } from './drivers/envoy-gateway.ts';
import { gatewayApi } from './drivers/gateway-api.ts';
import { haproxy } from './drivers/haproxy.ts';
import { manual } from './drivers/manual.ts';
import { nginx } from './drivers/nginx.ts';
import { traefik } from './drivers/traefik.ts';
import type { RouteKind } from './routes/route.ts';

/** A new terminator is one file, one line here, and one run of the contract suite. */
export const drivers: readonly TerminatorDriver[] = [
  nginx,
  traefik,
  haproxy,
  awsAlb,
  contour,
  gatewayApi,
  envoyGateway,
  manual,
];

/** The driver for a controller; undefined where none of ours knows the product. */
export function driverFor(controller: string): TerminatorDriver | undefined {
  return drivers.find((driver) => driver.detect(controller));
}

const keysOf = (kind: FrontendKind): ReadonlySet<string> =>
  new Set(
    drivers
      .filter(({ frontend }) => frontend === kind)
      .flatMap(({ ownedKeys, watchedKeys }) => [...ownedKeys, ...watchedKeys]),
  );
const keysByKind: Readonly<Record<FrontendKind, ReadonlySet<string>>> = {
  Ingress: keysOf('Ingress'),
  HTTPProxy: keysOf('HTTPProxy'),
  Gateway: keysOf('Gateway'),
};

/** Settings of any driver: what a projection keeps of a frontend's. */
export function driverKeys(kind: FrontendKind): ReadonlySet<string> {
  return keysByKind[kind];
}

/** namespace/name of every object with CAs that settings name, in whatever product's words. */
export function bundlesNamedBy(settings: Settings): string[] {
  return drivers.flatMap((driver) => {
    const named = driver.bundleOf(settings);
    return named === undefined ? [] : [`${named.namespace}/${named.name}`];
  });
}

/** What the caches have to hold for some drivers, by their names. */
export function kindsOf(enabled: ReadonlySet<string>): {
  frontends: readonly FrontendKind[];
  routes: readonly RouteKind[];
  bundles: ReadonlySet<TerminatorDriver['bundleKind']>;
  companions: readonly Resource[];
} {
  const used = drivers.filter(({ name }) => enabled.has(name));
  const looks = used.length > 0;
  return {
    // Whatever asks for certificates, anything else may lead around it.
    frontends: looks ? ['Ingress', 'HTTPProxy', 'Gateway'] : [],
    routes: looks ? ['HTTPRoute', 'GRPCRoute', 'IngressRoute'] : [],
    bundles: new Set(used.map(({ bundleKind }) => bundleKind)),
    companions: used.flatMap(({ companionKinds }) => companionKinds),
  };
}

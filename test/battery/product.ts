/** What the battery asks of a real terminator, so that one table of attacks is run against all. */
import type { ClientCertificates, TerminatorDriver } from '../../src/terminator/driver.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';

/** A host that the product is to serve, by the objects that its driver renders. All lead to the same backend. */
export interface ServedHost {
  /** May begin with `*.` */
  name: string;
  /** Undefined: nobody is asked for a certificate. */
  clientAuthentication?: { mode: ClientCertificates; ca: string; depth: number };
}

export interface ProductWorld {
  hosts: readonly ServedHost[];
  /** For all hosts. */
  pair: KeyPairPem;
  /** On 127.0.0.1. */
  backendPort: number;
}

export interface RunningProduct {
  /** As the document has it, e.g. `1.22.1`. */
  readonly version: string;
  /** On 127.0.0.1: where a host is served. Products that decide for a whole port serve hosts on several. */
  httpsPort(host: string): number | undefined;
  /** Undefined: there is none. */
  httpPort(host: string): number | undefined;
  /** Serves these hosts instead, from some moment on. */
  serve(hosts: readonly ServedHost[]): Promise<void>;
  stop(): Promise<void>;
}

export interface Product {
  readonly name: ProductName;
  /** What it is configured by; its capabilities say whose header the API reads. */
  readonly driver: TerminatorDriver;
  start(world: ProductWorld): Promise<RunningProduct>;
}

/** Columns of the battery. */
export const products = {
  nginx: 'nginx 1.22, as ingress-nginx',
  haproxy: 'HAProxy 2.6, as haproxy-ingress',
  'traefik-nginx': 'Traefik 3.7 (`nginx`)',
  traefik: 'Traefik 3.7 (`traefik`)',
  contour: 'Contour 1.33',
  'envoy-gateway': 'Envoy Gateway 1.9',
} as const;
export type ProductName = keyof typeof products;

import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { BundleProjection } from './bundle-secret.ts';
import type { ClientCertificates, TerminatorDriver } from './driver.ts';
import type { IngressProjection } from './ingress.ts';
import type { TerminatorMemory } from './memory.ts';
import type { Scope } from './scope.ts';
import type { Trust } from './trust.ts';

/** Another Ingress that the same controller serves a host of ours from. */
export interface Neighbour {
  namespace: string;
  name: string;
  /** Undefined: it has not opted in, or not in a way that counts (not granted, unreadable). */
  optIn: { server: string; clientCertificates: ClientCertificates } | undefined;
  /** In the spec.terminators of its server. */
  listed: boolean;
}

/** A way around client authentication: another host, without it, in front of the same Service. */
export interface Exposure {
  service: string;
  /** '' for the default server. */
  host: string;
  /** Name of the Ingress, in the same namespace. */
  ingress: string;
}

/** An Ingress that has opted in, or still carries annotations of ours. */
export interface Member {
  ingress: IngressProjection;
  optedIn: boolean;
  driver: TerminatorDriver | undefined;
  /** Undefined also where it exists and has not granted anything: the two are told apart nowhere. */
  server: AuthorizationServer | undefined;
  listed: boolean;
  trust: Trust | undefined;
  /** Its hosts that no Ingress on them gives a TLS certificate. */
  plainHosts: readonly string[];
  neighbours: readonly Neighbour[];
  exposures: readonly Exposure[];
  /** What is at the bundle's name in the Ingress's namespace, if it is labelled as one. */
  bundle: BundleProjection | undefined;
  /** When annotations of ours were lost, in the last ten minutes; epoch milliseconds. */
  losses: readonly number[];
}

export interface ObservedBundle {
  bundle: BundleProjection;
  /** Some Ingress names it, or its owner is opted in: an absent Secret would turn away every request of the host. */
  needed: boolean;
}

/** Everything that decides about one scope. */
export interface Observed {
  scope: Scope;
  members: readonly Member[];
  /** Bundles of ours that were made for this scope. */
  bundles: readonly ObservedBundle[];
  memory: Pick<TerminatorMemory, 'refusal' | 'rewritten'>;
}

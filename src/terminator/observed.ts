import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { BundleProjection } from './bundle.ts';
import type { CompanionProjection } from './companion.ts';
import type { ClientCertificates, FrontendKind, Settings, TerminatorDriver } from './driver.ts';
import type { Frontend } from './frontends/frontend.ts';
import type { TerminatorMemory } from './memory.ts';
import type { RouteKind } from './routes/route.ts';
import type { Scope } from './scope.ts';
import type { Trust } from '../x509/trust.ts';

/** Another frontend that the same controller serves a host of ours from. */
export interface Neighbour extends Pick<Frontend, 'kind' | 'namespace' | 'name'> {
  /** Undefined: it has not opted in, or not in a way that counts (not granted, unreadable). */
  optIn: { server: string; clientCertificates: ClientCertificates } | undefined;
  /** In the spec.terminators of its server. */
  listed: boolean;
  /** The host by which its settings are made. */
  leadHost: string;
  settings: Settings;
}

/** A way around client authentication: something else that reaches the same Service, by an object of that kind and name. */
export interface Exposure {
  /** `namespace/name`. */
  service: string;
  kind: FrontendKind | RouteKind;
  namespace: string;
  name: string;
  /** Where requests come in: a host, a Gateway. */
  at: string;
}

/** A frontend that has opted in, or still carries settings of ours. */
export interface Member {
  frontend: Frontend;
  optedIn: boolean;
  /** Undefined: no driver knows the product, or it is not switched on here. */
  driver: TerminatorDriver | undefined;
  /** The driver that knows the product, where the platform has not switched it on. */
  switchedOff: string | undefined;
  /** Of its class, what the platform says there. */
  classAnnotations: Readonly<Record<string, string>>;
  /** Of its product, as its class has it. */
  version: string | undefined;
  /** A live connection to it has shown that it verifies; asked of drivers that say `inEffectBy: 'proof'` alone. */
  proved: boolean;
  /** Undefined also where it exists and has not granted anything: the two are told apart nowhere. */
  server: AuthorizationServer | undefined;
  listed: boolean;
  trust: Trust | undefined;
  /** Its hosts that no frontend on them gives a TLS certificate. */
  plainHosts: readonly string[];
  neighbours: readonly Neighbour[];
  exposures: readonly Exposure[];
  /** Services behind it that it serves over plain HTTP as well, by routes. */
  plain: readonly Exposure[];
  /** What is at the bundle's name in the frontend's namespace, if it is labelled as one. */
  bundle: BundleProjection | undefined;
  /** What is labelled as companion in the frontend's namespace, of any scope. */
  companions: readonly CompanionProjection[];
  /** When settings of ours were lost, in the last ten minutes; epoch milliseconds. */
  losses: readonly number[];
}

/** An object that was made for a scope, and whether it has to stay. */
export interface Made<T> {
  object: T;
  /** Some frontend names it, or its owner is opted in: an absent one would turn away every request of the host. */
  needed: boolean;
  /** It may be named still by what the terminator knows, until then; epoch milliseconds. */
  keptUntil?: number;
}

/** Everything that decides about one scope. */
export interface Observed {
  scope: Scope;
  members: readonly Member[];
  /** Bundles of ours that were made for this scope. */
  bundles: readonly Made<BundleProjection>[];
  /** Companions of ours that were made for this scope. */
  companions: readonly Made<CompanionProjection>[];
  memory: Pick<TerminatorMemory, 'refusal' | 'rewritten' | 'proofs' | 'writtenAt'>;
}

import type { Finding, View } from '../runtime/pass.ts';
import { Condition as InUse, type FinalizerStep } from '../runtime/in-use.ts';
import type { Desired } from './desired.ts';
import type { Observed } from './observed.ts';
import type { TrustStep } from './trust-bundle/steps.ts';

export type ServerStep = FinalizerStep | TrustStep | { readonly name: 'discover' } | { readonly name: 'authorize' };

export type ServerView = View<Observed, Desired>;
export type ServerFinding = Finding<ServerStep>;

export const Condition = {
  /** Clients can be registered. */
  ready: InUse.ready,
  /** Its metadata was read and fits. */
  discovered: 'Discovered',
  /** Only while it can't be found out whether it lets the operator manage clients; that it does not is told by Ready. */
  authorized: 'Authorized',
  deletable: InUse.deletable,
  /** Only where there is a spec.trustBundle, or one is being withdrawn. */
  trustBundle: 'TrustBundlePublished',
  /** Only while one of its origins does not answer: apart from Ready, for what is published goes on working. */
  reachable: 'Reachable',
} as const;

import type { Finding, View } from '../runtime/pass.ts';
import { Condition as InUse, type FinalizerStep } from '../runtime/in-use.ts';
import type { Desired } from './desired.ts';
import type { Observed } from './observed.ts';

export type IssuerStep = FinalizerStep | { readonly name: 'createAuthority' | 'deleteAuthority' };

export type IssuerView = View<Observed, Desired>;
export type IssuerFinding = Finding<IssuerStep>;

export const Condition = {
  /** It can sign. */
  ready: InUse.ready,
  deletable: InUse.deletable,
} as const;

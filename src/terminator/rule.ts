/** What a rule about an Ingress is. */
import type { View } from '../runtime/pass.ts';
import type { Desired } from './desired.ts';
import type { Member, Neighbour, Observed } from './observed.ts';

export interface Problem {
  rule: string;
  /** Stable CamelCase word: event reason, log field. */
  reason: string;
  message: string;
  /**
   * Set where the annotations are left as they are, whatever they are: never verify less. Then for the trust bundle:
   * `keep` it as it is, `maintain` it where there is one, or `write` it all the same.
   */
  bundle?: 'keep' | 'maintain' | 'write';
  /** When to look again although nothing changes; epoch milliseconds. */
  at?: number;
}

export type Said = Omit<Problem, 'rule' | 'reason'> & { reason?: string };
export type ScopeView = View<Observed, Desired>;

export interface Rule {
  readonly name: string;
  find(member: Member, view: ScopeView): Said | undefined;
}

/** What an Ingress's owner may know of another: of one in a foreign namespace, that it exists. */
export function nameOf(neighbour: Neighbour, namespace: string): string {
  return neighbour.namespace === namespace ? `Ingress ${neighbour.name}` : 'an Ingress in another namespace';
}

/** What a rule about a frontend is. */
import type { View } from '../../runtime/pass.ts';
import type { Desired } from '../desired.ts';
import type { Exposure, Member, Neighbour, Observed } from '../observed.ts';

export interface Problem {
  rule: string;
  /** Stable CamelCase word: event reason, log field. */
  reason: string;
  message: string;
  /**
   * Set where the settings are left as they are, whatever they are: never verify less. Then for the trust bundle:
   * `keep` it as it is, `maintain` it where there is one, or `write` it all the same.
   */
  bundle?: 'keep' | 'maintain' | 'write';
  /** It is configured, and no new certificate is to be published through it all the same. */
  holdsUp?: true;
  /** With `bundle`: the settings are written all the same, for without them less would be verified. */
  configure?: true;
  /** When to look again although nothing changes; epoch milliseconds. */
  at?: number;
}

export type Said = Omit<Problem, 'rule' | 'reason'> & { reason?: string };
export type ScopeView = View<Observed, Desired>;

export interface Rule {
  readonly name: string;
  find(member: Member, view: ScopeView): Said | undefined;
}

/** What a frontend's owner may know of another: of one in a foreign namespace, that it exists. */
export function nameOf(other: Pick<Neighbour | Exposure, 'kind' | 'namespace' | 'name'>, namespace: string): string {
  const { kind, name } = other;
  if (other.namespace === namespace) return `${kind} ${name}`;
  return `${kind.startsWith('G') ? 'a' : 'an'} ${kind} in another namespace`;
}

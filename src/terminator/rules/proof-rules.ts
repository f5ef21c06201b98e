/** What live connections have shown to be other than it is configured. */
import { problemsOf, Reason } from '../proof/verdict.ts';
import type { Rule } from './rule.ts';

function disproved(reason: Reason): Rule {
  return {
    name: reason,
    find({ frontend }, { observed: { scope, memory } }) {
      const said = frontend.proofHosts
        .flatMap((host) => problemsOf(host, memory.proofs.of(scope.controller, host)))
        .filter((problem) => problem.reason === reason);
      if (said.length === 0) return undefined;
      const message = said.map((problem) => problem.message).join(' ');
      return { message, ...(said.some(({ holdsUp }) => holdsUp) ? { holdsUp: true } : {}) };
    },
  };
}

/** Another way each in which it is other than it should be. */
export const proofRules: readonly Rule[] = Object.values(Reason).map(disproved);

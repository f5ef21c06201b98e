import type { FaultCase } from './fault-case.ts';

/** What all others are compared with. */
export const undisturbed: FaultCase = {
  name: 'nothing',
  area: 'Undisturbed',
  fault: 'nothing is wrong',
  outcome: 'what every other row ends with',
  begin: () => Promise.resolve(() => Promise.resolve()),
};

import type { Attack } from './attack.ts';
import { certificateAttacks } from './certificates.ts';
import { headerAttacks } from './headers.ts';
import { sessionAttacks } from './sessions.ts';
import { wayAttacks } from './ways.ts';

/** Rows of the document, in their order, which is that of a run. */
export const attacks: Readonly<Record<string, Attack>> = {
  ...headerAttacks,
  ...wayAttacks,
  ...certificateAttacks,
  ...sessionAttacks,
};

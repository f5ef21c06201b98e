import type { Field } from '../field.ts';
import { isHarmless, isRefused, Outcome } from '../outcome.ts';

export interface Attack {
  /** Row of the document. */
  readonly title: string;
  /** Whether an outcome needs nothing else to be done. */
  readonly safe: (outcome: string) => boolean;
  /** What is done where a product lets it by: by settings of the platform, or elsewhere. Without it, none may. */
  readonly remedy?: { by: 'settings' | 'elsewhere'; text: string };
  /** Outcomes of all its variants; none where the product has nothing that could be attacked so. */
  run(field: Field): Promise<readonly (string | undefined)[]>;
}

/** Whoever is let in is nobody, or who it is. */
export const harmless = isHarmless;
/** Nobody is to be let in. */
export const refused = isRefused;
/** An honest client's request, whatever else it carries, arrives as its own. */
export const itself = (outcome: string): boolean => outcome === Outcome.itself;
/** Also in a header that nobody reads, its own certificate's being right. */
export const harmlessOrUnread = (outcome: string): boolean => isHarmless(outcome) || outcome === Outcome.unread;

export async function each<T>(
  variants: readonly T[],
  run: (variant: T) => Promise<string | undefined>,
): Promise<(string | undefined)[]> {
  const outcomes: (string | undefined)[] = [];
  for (const variant of variants) outcomes.push(await run(variant));
  return outcomes;
}

/** Why one that is to be of type Opaque can't be written where it is, and what to do; undefined where it can. */
export function unwritableOpaque(
  object: string,
  { type, deleting }: { type: string; deleting: boolean },
): string | undefined {
  if (deleting) return `${object} is being deleted and something keeps it from going: remove its finalizers.`;
  if (type === 'Opaque') return undefined;
  return `${object} has type ${type}, which cannot be changed: delete it, and the operator writes it.`;
}

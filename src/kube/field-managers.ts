/** Who wrote what, by `metadata.managedFields`. */

/** Of every write of the operator but those to Ingresses. */
export const OPERATOR_FIELD_MANAGER = 'certbound';

interface Entry {
  readonly manager?: string | undefined;
  /** RFC 3339. */
  readonly time?: string | undefined;
  readonly subresource?: string | undefined;
}

/** When ours wrote last, epoch milliseconds: by the API server's clock, in whole seconds. It outlives this process. */
export function lastOwnWrite<E extends Entry>(
  managedFields: readonly E[],
  isOurs: (entry: E) => boolean,
): number | undefined {
  const times = managedFields
    .filter((entry) => (entry.subresource ?? '') === '' && isOurs(entry))
    .map((entry) => Date.parse(entry.time ?? ''))
    .filter(Number.isFinite);
  return times.length === 0 ? undefined : Math.max(...times);
}

/** The field manager that wrote last, of those that are not ours; undefined where there is none. */
export function lastOtherWriter<E extends Entry>(
  managedFields: readonly E[],
  isOurs: (entry: E) => boolean,
): string | undefined {
  const others = managedFields.filter((entry) => (entry.subresource ?? '') === '' && !isOurs(entry));
  return others.toSorted((a, b) => (a.time ?? '').localeCompare(b.time ?? '')).at(-1)?.manager;
}

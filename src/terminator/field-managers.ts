/** Who owns which setting of a frontend, by `metadata.managedFields` (fieldsV1 of server-side apply). */
import { z } from 'zod';
import { lastOtherWriter, lastOwnWrite } from '../kube/field-managers.ts';
import { isSpec } from './frontends/settings.ts';

/** Our manager on frontends: their settings, and nothing else. */
export const FIELD_MANAGER = 'certbound-terminator';

const fields: z.ZodType<Fields> = z.lazy(() => z.record(z.string(), fields));
interface Fields {
  [key: string]: Fields;
}

const entrySchema = z.object({
  manager: z.string().default(''),
  operation: z.string().default(''),
  time: z.string().default(''),
  subresource: z.string().default(''),
  fieldsV1: fields.default({}),
});
type Entry = z.infer<typeof entrySchema>;

export interface SettingOwners {
  /** Settings of which our apply owns anything. */
  own: string[];
  /** Other managers by setting. */
  others: Record<string, string[]>;
}

const isOurs = ({ manager, operation }: Entry): boolean => manager === FIELD_MANAGER && operation === 'Apply';

function entriesOf(managedFields: readonly unknown[]): Entry[] {
  return managedFields.flatMap((entry) => {
    const { data } = entrySchema.safeParse(entry);
    return data === undefined || data.subresource !== '' ? [] : [data];
  });
}

/**
 * @param keys those of the drivers of its kind. Of others' fields only these count, of ours also annotations that no driver
 *   knows any more.
 */
export function settingOwners(managedFields: readonly unknown[], keys: ReadonlySet<string>): SettingOwners {
  const own = new Set<string>();
  const others: Record<string, string[]> = {};
  for (const entry of entriesOf(managedFields)) {
    for (const key of settingsIn(entry.fieldsV1, keys)) {
      if (isOurs(entry)) own.add(key);
      else if (keys.has(key)) others[key] = [...(others[key] ?? []), entry.manager];
    }
  }
  return { own: [...own].toSorted(), others };
}

function settingsIn(owned: Fields, keys: ReadonlySet<string>): string[] {
  const annotations = Object.keys(owned['f:metadata']?.['f:annotations'] ?? {});
  return [
    ...annotations.flatMap((field) => (field.startsWith('f:') && !isSpec(field.slice(2)) ? [field.slice(2)] : [])),
    ...[...keys].filter((key) => isSpec(key) && within(owned, key)),
  ];
}

/** Whether a path, or anything below it, is among the fields. */
function within(owned: Fields, path: string): boolean {
  let at: Fields | undefined = owned;
  for (const segment of path.split('.')) at = at?.[`f:${segment}`];
  return at !== undefined;
}

/** When our apply changed it last, epoch milliseconds. */
export function appliedAt(managedFields: readonly unknown[]): number | undefined {
  return lastOwnWrite(entriesOf(managedFields), isOurs);
}

export function lastWriter(managedFields: readonly unknown[]): string | undefined {
  return lastOtherWriter(entriesOf(managedFields), isOurs);
}

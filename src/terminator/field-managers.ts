/** Who owns which annotation, by `metadata.managedFields` (fieldsV1 of server-side apply). */
import { z } from 'zod';
import { lastOtherWriter, lastOwnWrite } from '../kube/field-managers.ts';

/** Our manager on Ingresses: annotations, and nothing else. */
export const FIELD_MANAGER = 'certbound-terminator';

const entrySchema = z.object({
  manager: z.string().default(''),
  operation: z.string().default(''),
  time: z.string().default(''),
  subresource: z.string().default(''),
  fieldsV1: z
    .object({ 'f:metadata': z.object({ 'f:annotations': z.record(z.string(), z.unknown()).default({}) }).prefault({}) })
    .prefault({}),
});
type Entry = z.infer<typeof entrySchema>;

export interface AnnotationOwners {
  /** Keys that our apply owns. */
  own: string[];
  /** Other managers by key. */
  others: Map<string, string[]>;
}

const isOurs = ({ manager, operation }: Entry): boolean => manager === FIELD_MANAGER && operation === 'Apply';

function entriesOf(managedFields: readonly unknown[]): Entry[] {
  return managedFields.flatMap((entry) => {
    const { data } = entrySchema.safeParse(entry);
    return data === undefined || data.subresource !== '' ? [] : [data];
  });
}

export function annotationOwners(managedFields: readonly unknown[]): AnnotationOwners {
  const own: string[] = [];
  const others = new Map<string, string[]>();
  for (const entry of entriesOf(managedFields)) {
    for (const field of Object.keys(entry.fieldsV1['f:metadata']['f:annotations'])) {
      if (!field.startsWith('f:')) continue;
      const key = field.slice(2);
      if (isOurs(entry)) own.push(key);
      else others.set(key, [...(others.get(key) ?? []), entry.manager]);
    }
  }
  return { own: own.toSorted(), others };
}

/** When our apply changed it last, epoch milliseconds. */
export function appliedAt(managedFields: readonly unknown[]): number | undefined {
  return lastOwnWrite(entriesOf(managedFields), isOurs);
}

export function lastWriter(managedFields: readonly unknown[]): string | undefined {
  return lastOtherWriter(entriesOf(managedFields), isOurs);
}

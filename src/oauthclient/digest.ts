import { createHash } from 'node:crypto';

/** Several checks of a pass ask for the same object's. */
const known = new WeakMap<object, string>();

/** SHA-256 (hex) of a JSON value, the same whatever the order of its members. Of an object that does not change. */
export function digestOf(value: unknown): string {
  if (typeof value !== 'object' || value === null) return compute(value);
  const digest = known.get(value) ?? compute(value);
  known.set(value, digest);
  return digest;
}

function compute(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value, sorted)).digest('hex');
}

function sorted(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

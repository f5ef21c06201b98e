/** Settings as fields of an object: how they are read from one, and written into one. */
import type { Settings } from '../driver.ts';

/** A field of the spec. An annotation may have such a name too: it is no setting. */
export const isSpec = (key: string): boolean => key.startsWith('spec.');

/** The values of those keys that an object has. */
export function settingsOf(
  object: { metadata: { annotations?: Readonly<Record<string, string>> }; spec?: unknown },
  keys: ReadonlySet<string>,
): Settings {
  const annotations = Object.entries(object.metadata.annotations ?? {}).filter(
    ([key]) => keys.has(key) && !isSpec(key),
  );
  const fields = [...keys].filter(isSpec).flatMap((key) => {
    const value = at(object, key.split('.'));
    return value === undefined ? [] : [[key, canonicalJson(value)] as const];
  });
  return Object.fromEntries([...annotations, ...fields]);
}

function at(value: unknown, path: readonly string[]): unknown {
  const [first, ...rest] = path;
  if (first === undefined) return value;
  if (typeof value !== 'object' || value === null) return undefined;
  return at(new Map<string, unknown>(Object.entries(value)).get(first), rest);
}

/** What server-side apply is given: our settings, and nothing else. */
export function applied(settings: Settings): { annotations?: Record<string, string>; spec?: Record<string, unknown> } {
  const entries = Object.entries(settings);
  const annotations = Object.fromEntries(entries.filter(([key]) => !isSpec(key)));
  const tree: Record<string, unknown> = {};
  for (const [key, value] of entries) if (isSpec(key)) put(tree, key.split('.').slice(1), JSON.parse(value));
  return {
    ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
    ...(Object.keys(tree).length === 0 ? {} : { spec: tree }),
  };
}

function put(tree: Record<string, unknown>, [first = '', ...rest]: readonly string[], value: unknown): void {
  if (rest.length === 0) {
    tree[first] = value;
    return;
  }
  const below: Record<string, unknown> = {};
  const there = tree[first];
  if (typeof there === 'object' && there !== null) Object.assign(below, there);
  tree[first] = below;
  put(below, rest, value);
}

/** Object keys sorted at every depth, so that equal values are equal text. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : each,
  );
}

/** `namespace/name`, as products name a Secret; undefined for anything else. */
export function namespacedName(value: string): { namespace: string; name: string } | undefined {
  const [, namespace, name] = /^([^/]+)\/([^/]+)$/.exec(value) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

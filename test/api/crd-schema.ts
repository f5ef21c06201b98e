/** The schemas of generated CRDs, as a tree to walk. */
import { z } from 'zod';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { documents } from '../support/cluster-objects.ts';

export interface SchemaNode {
  type?: string | undefined;
  description?: string | undefined;
  format?: string | undefined;
  enum?: unknown[] | undefined;
  maxLength?: number | undefined;
  maxItems?: number | undefined;
  maxProperties?: number | undefined;
  properties?: Record<string, SchemaNode> | undefined;
  items?: SchemaNode | undefined;
  additionalProperties?: SchemaNode | undefined;
}

const node: z.ZodType<SchemaNode> = z.lazy(() =>
  z.object({
    type: z.string().optional(),
    description: z.string().optional(),
    format: z.string().optional(),
    enum: z.array(z.unknown()).optional(),
    maxLength: z.number().optional(),
    maxItems: z.number().optional(),
    maxProperties: z.number().optional(),
    properties: z.record(z.string(), node).optional(),
    items: node.optional(),
    additionalProperties: node.optional(),
  }),
);

const definition = z.object({
  spec: z.object({
    names: z.object({ kind: z.string() }),
    versions: z.array(z.object({ schema: z.object({ openAPIV3Schema: node }) })).length(1),
  }),
});

/** A property: its path, with `[]` behind the name of a list whose entries it belongs to. */
export interface Field {
  path: string;
  node: SchemaNode;
}

/** Every property below a schema, those of the entries of lists too. */
export function fieldsOf(schema: SchemaNode, prefix = ''): Field[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, child]): Field[] => {
    const path = `${prefix}${name}`;
    const below = child.items === undefined ? fieldsOf(child, `${path}.`) : fieldsOf(child.items, `${path}[].`);
    return [{ path, node: child }, ...below];
  });
}

export async function definitionsOf(directory: string): Promise<{ kind: string; schema: SchemaNode }[]> {
  const files = (await readdir(directory)).filter((name) => name.endsWith('.yaml'));
  const objects = await Promise.all(files.map((name) => documents(join(directory, name))));
  return objects.flat().map((object) => {
    const { names, versions } = definition.parse(object).spec;
    const [version] = versions;
    if (version === undefined) throw new Error(`${names.kind} has no version`);
    return { kind: names.kind, schema: version.schema.openAPIV3Schema };
  });
}

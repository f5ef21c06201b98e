/** JSON schemas for kubeconform from what an API server publishes of itself, so that none is downloaded. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { ControlPlane } from './control-plane.ts';

type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

const document = z.object({ components: z.object({ schemas: z.record(z.string(), z.json()) }) });
const kindsOf = z.object({
  'x-kubernetes-group-version-kind': z.array(z.object({ group: z.string(), version: z.string(), kind: z.string() })),
});

/** References point into the file itself, and what a schema does not name is an error, as kubeconform's -strict has it. */
function strict(node: Json): Json {
  if (Array.isArray(node)) return node.map(strict);
  if (node === null || typeof node !== 'object') return node;
  const entries = Object.entries(node).map(([key, value]): [string, Json] =>
    key === '$ref' && typeof value === 'string'
      ? [key, value.replace('#/components/schemas/', '#/definitions/')]
      : [key, strict(value)],
  );
  const closed =
    'properties' in node && !('additionalProperties' in node) && !node['x-kubernetes-preserve-unknown-fields'];
  return { ...Object.fromEntries(entries), ...(closed ? { additionalProperties: false } : {}) };
}

/**
 * Writes a file for each kind of these API versions (`v1`, `apps/v1`).
 * @returns kubeconform's `-schema-location`
 */
export async function writeSchemas(
  plane: ControlPlane,
  apiVersions: Iterable<string>,
  directory: string,
): Promise<string> {
  await mkdir(directory, { recursive: true });
  for (const apiVersion of apiVersions) {
    const path = apiVersion.includes('/') ? `apis/${apiVersion}` : `api/${apiVersion}`;
    const { code, stdout, stderr } = await plane.kubectl('get', '--raw', `/openapi/v3/${path}`);
    if (code !== 0) throw new Error(`/openapi/v3/${path}: ${stderr}`);
    const { schemas } = document.parse(JSON.parse(stdout)).components;
    const definitions = strict(schemas);
    for (const [name, schema] of Object.entries(schemas)) {
      for (const { group, version, kind } of kindsOf.safeParse(schema).data?.['x-kubernetes-group-version-kind'] ??
        []) {
        if ((group === '' ? version : `${group}/${version}`) !== apiVersion) continue;
        const text = JSON.stringify({ $ref: `#/definitions/${name}`, definitions });
        // As kubeconform composes them: kind, first part of the group, version.
        const parts = [kind, ...(group === '' ? [] : [group.split('.')[0]]), version];
        await writeFile(join(directory, `${parts.join('-').toLowerCase()}.json`), text);
      }
    }
  }
  return join(directory, '{{ .ResourceKind }}{{ .KindSuffix }}.json');
}

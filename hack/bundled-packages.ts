/** The npm packages whose code is in the bundle, by esbuild's own account: a tree of dependencies holds many more. */
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { z } from 'zod';

export const root = resolve(import.meta.dirname, '..');

const metafile = z.object({
  outputs: z.record(z.string(), z.object({ inputs: z.record(z.string(), z.object({ bytesInOutput: z.number() })) })),
});
const packageJson = z.object({ name: z.string(), version: z.string(), license: z.string() });

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX. */
  readonly license: string;
  readonly folder: string;
}

/** `node_modules/a/node_modules/@b/c/lib/d.js` is of the package in `node_modules/a/node_modules/@b/c`. */
function folderOf(input: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
}

/**
 * Sorted by name and version.
 *
 * @param path of esbuild's metafile, which `npm run build` writes beside the bundle
 */
export async function bundledPackages(path: string): Promise<BundledPackage[]> {
  const { outputs } = metafile.parse(JSON.parse(await readFile(path, 'utf8')));
  const inputs = Object.values(outputs).flatMap((output) => Object.entries(output.inputs));
  const folders = inputs.flatMap(([input, { bytesInOutput }]) => (bytesInOutput > 0 ? (folderOf(input) ?? []) : []));
  const packages = await Promise.all(
    [...new Set(folders)].map(async (relative) => {
      const folder = resolve(root, relative);
      const text = await readFile(resolve(folder, 'package.json'), 'utf8');
      return { ...packageJson.parse(JSON.parse(text)), folder };
    }),
  );
  return packages.toSorted((a, b) => (referenceOf(a) < referenceOf(b) ? -1 : 1));
}

/** As npm's SBOM names it. */
export function referenceOf({ name, version }: Pick<BundledPackage, 'name' | 'version'>): string {
  return `${name}@${version}`;
}

// `npm run sbom`: what the bundle is made of, and the Node that runs it, as CycloneDX. `npm sbom` knows the packages;
// esbuild knows which of them are in.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { bundledPackages, referenceOf, root } from './bundled-packages.ts';

const folder = resolve(process.argv[2] ?? resolve(root, 'dist'));
const { name } = z
  .object({ name: z.string() })
  .parse(JSON.parse(await readFile(resolve(root, 'package.json'), 'utf8')));

const component = z.looseObject({
  'bom-ref': z.string(),
  name: z.string(),
  version: z.string(),
  licenses: z.array(z.unknown()).default([]),
  externalReferences: z.array(z.looseObject({ type: z.string() })).default([]),
});
const bom = z.looseObject({
  metadata: z.looseObject({ component, timestamp: z.string().optional() }),
  components: z.array(component),
  dependencies: z.array(z.object({ ref: z.string(), dependsOn: z.array(z.string()) })),
});

// All of the tree: with --omit=dev npm leaves out what development needs too, such as zod.
const arguments_ = ['sbom', '--sbom-format=cyclonedx', '--sbom-type=application'];
const { stdout } = await promisify(execFile)('npm', arguments_, { cwd: root, maxBuffer: 64 * 1024 * 1024 });
const tree = bom.parse(JSON.parse(stdout));

const packages = (await bundledPackages(resolve(folder, 'certbound.mjs.meta.json'))).map(referenceOf);
const node = tree.components.find((each) => each.name === `node-linux-${process.arch}`);
const shipped = new Set([...packages, ...(node === undefined ? [] : [node['bom-ref']])]);
const components = tree.components.filter((each) => shipped.has(each['bom-ref'])).map(described);
const missing = packages.filter((reference) => !components.some((each) => each['bom-ref'] === reference));
if (missing.length > 0) throw new Error(`npm sbom does not name ${missing.join(', ')}: run npm ci and try again`);
const own = tree.metadata.component['bom-ref'];

const { timestamp: _now, ...metadata } = tree.metadata;
const { serialNumber: _random, ...rest } = tree;
const content = {
  ...rest,
  // npm calls it as the folder is called.
  metadata: { ...metadata, component: { ...tree.metadata.component, name } },
  components: components.toSorted((a, b) => (a['bom-ref'] < b['bom-ref'] ? -1 : 1)),
  dependencies: tree.dependencies
    .filter(({ ref }) => ref === own || shipped.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((each) => shipped.has(each)) })),
};
const output = resolve(folder, 'sbom.cdx.json');
await writeFile(output, `${JSON.stringify({ serialNumber: serialOf(content), ...content }, undefined, 2)}\n`);
console.log(output);

function described(each: z.infer<typeof component>): z.infer<typeof component> {
  // Where this machine's npm fetched it from concerns nobody.
  const externalReferences = each.externalReferences.filter(({ type }) => type !== 'distribution');
  if (each !== node) return { ...each, externalReferences };
  // Vulnerabilities of Node are published under this name, not under that of the package that brings it.
  return {
    ...each,
    externalReferences,
    type: 'platform',
    cpe: `cpe:2.3:a:nodejs:node.js:${each.version}:*:*:*:*:*:*:*`,
  };
}

/** The standard wants it unique for each content: so it follows from the content (RFC 9562, version 8). */
function serialOf(value: unknown): string {
  const hash = createHash('sha256').update(JSON.stringify(value)).digest('hex');
  const fields = [
    hash.slice(0, 8),
    hash.slice(8, 12),
    `8${hash.slice(13, 16)}`,
    `8${hash.slice(17, 20)}`,
    hash.slice(20, 32),
  ];
  return `urn:uuid:${fields.join('-')}`;
}

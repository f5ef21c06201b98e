/** What `npm run sbom` says is in the bundle, against the bundle itself. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { promisify } from 'node:util';
import { z } from 'zod';

const root = resolve(import.meta.dirname, '..');
const run = promisify(execFile);
const hack = (script: string, argument: string) => run(process.execPath, [join(root, 'hack', script), argument]);

const bom = z.object({
  bomFormat: z.literal('CycloneDX'),
  serialNumber: z.string().regex(/^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/),
  metadata: z.object({ component: z.object({ name: z.string(), type: z.string() }) }),
  components: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      purl: z.string(),
      cpe: z.string().optional(),
      hashes: z.array(z.object({ alg: z.literal('SHA-512'), content: z.string() })).min(1),
      licenses: z.array(z.record(z.string(), z.unknown())).min(1),
      externalReferences: z.array(z.object({ type: z.string() })),
    }),
  ),
  dependencies: z.array(z.object({ ref: z.string(), dependsOn: z.array(z.string()) })),
});
const metafile = z.object({ outputs: z.record(z.string(), z.object({ inputs: z.record(z.string(), z.unknown()) })) });

describe('the SBOM', () => {
  let folder: string;
  let text: string;
  let sbom: z.infer<typeof bom>;
  let bundled: ReadonlySet<string>;

  const file = (name: string) => readFile(join(folder, name), 'utf8');

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'certbound-sbom-'));
    await hack('bundle.ts', join(folder, 'certbound.mjs'));
    await hack('sbom.ts', folder);
    await hack('notices.ts', folder);
    text = await file('sbom.cdx.json');
    sbom = bom.parse(JSON.parse(text));
    const { outputs } = metafile.parse(JSON.parse(await file('certbound.mjs.meta.json')));
    const inputs = Object.values(outputs).flatMap((output) => Object.keys(output.inputs));
    bundled = new Set(
      inputs.flatMap((input) => {
        const inside = input.split('node_modules/').at(-1)?.split('/') ?? [];
        return input.includes('node_modules/') ? [inside.slice(0, inside[0]?.startsWith('@') ? 2 : 1).join('/')] : [];
      }),
    );
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it('names every package whose code is in the bundle, the Node that runs it, and no other', () => {
    const node = process.platform === 'linux' ? [`node-linux-${process.arch}`] : [];
    const names = new Set(sbom.components.map(({ name }) => name));
    assert.ok(bundled.has('undici') && bundled.has('@kubernetes/client-node'), 'the bundle is read rightly');
    assert.deepEqual([...names].toSorted(), [...bundled, ...node].toSorted());
  });

  it('says of each which version, under which licence and with which hash', async () => {
    for (const { name, version, purl } of sbom.components) {
      assert.equal(decodeURIComponent(purl), `pkg:npm/${name}@${version}`);
    }
    if (process.platform !== 'linux') return;
    // Vulnerability databases know Node by this name.
    const [node] = sbom.components.filter(({ cpe }) => cpe !== undefined);
    const { stdout } = await run(join(root, 'node_modules', `node-linux-${process.arch}`, 'bin/node'), ['--version']);
    assert.equal(node?.cpe, `cpe:2.3:a:nodejs:node.js:${stdout.trim().slice(1)}:*:*:*:*:*:*:*`);
  });

  it('is of this project, whatever the folder is called, and tells nothing of the machine', () => {
    assert.deepEqual(sbom.metadata.component, { name: 'certbound', type: 'application' });
    const types = new Set(sbom.components.flatMap((each) => each.externalReferences.map(({ type }) => type)));
    assert.ok(!types.has('distribution'), [...types].join());
    assert.ok(!text.includes(root));
  });

  it('is the same when it is written again', async () => {
    await hack('sbom.ts', folder);
    assert.equal(await file('sbom.cdx.json'), text);
  });

  it('goes with the licences of all of them', async () => {
    const notices = await file('THIRD-PARTY-NOTICES.txt');
    for (const { name, version } of sbom.components.filter((each) => each.cpe === undefined)) {
      assert.ok(`\n${notices}`.includes(`\n${name}@${version} (`), name);
    }
    assert.match(notices, /Permission is hereby granted/);
  });
});

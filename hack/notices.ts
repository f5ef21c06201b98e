// `npm run sbom`, last part: the licences of what is in the bundle, as they want to be passed on.
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { bundledPackages, referenceOf, root, type BundledPackage } from './bundled-packages.ts';

const folder = resolve(process.argv[2] ?? resolve(root, 'dist'));

async function notice(bundled: BundledPackage): Promise<string> {
  const files = (await readdir(bundled.folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).toSorted();
  const texts = await Promise.all(files.map((file) => readFile(resolve(bundled.folder, file), 'utf8')));
  const heading = `${referenceOf(bundled)} (${bundled.license})`;
  return [heading, '='.repeat(heading.length), ...texts.map((text) => text.trim())].join('\n\n');
}

const notices = await Promise.all((await bundledPackages(resolve(folder, 'certbound.mjs.meta.json'))).map(notice));
const output = resolve(folder, 'THIRD-PARTY-NOTICES.txt');
await writeFile(output, `${notices.join('\n\n\n')}\n`);
console.log(output);

// `npm run build`: the operator as one file, an ES module that needs Node alone, for the image and for measurements.
import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { build } from 'esbuild';

const root = resolve(import.meta.dirname, '..');
const outfile = resolve(process.argv[2] ?? resolve(root, 'dist/certbound.mjs'));

const { metafile } = await build({
  absWorkingDir: root,
  entryPoints: ['src/main.ts'],
  outfile,
  bundle: true,
  platform: 'node',
  target: 'node22.19',
  format: 'esm',
  // Names stay, for the stack traces of a night on call; the rest is memory that nobody reads.
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'linked',
  sourcesContent: false,
  legalComments: 'linked',
  metafile: true,
  logLevel: 'warning',
  // CommonJS packages ask for Node's own modules by require().
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});
// What is in it, for the SBOM.
await writeFile(`${outfile}.meta.json`, JSON.stringify(metafile));
console.log(outfile);

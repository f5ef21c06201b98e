// Writes test/support/operator-rights/*.yaml from charts/certbound; builds helm where it is missing (some minutes, once).
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { renderedRights } from '../test/support/chart.ts';
import { rightsFile } from '../test/support/operator-rights.ts';

for (const mode of ['cluster', 'scoped'] as const) {
  const path = rightsFile(mode);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, await renderedRights(mode));
}

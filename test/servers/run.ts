/**
 * `npm run test:servers`: the slow real servers and terminators. What they showed must be what the tables of docs/ say; with
 * `--write` the tests on oidc-provider are run too, and the tables are written. A word runs the files whose path has it.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { readCells, SUPPORT_FILE, tables } from './support.ts';
import { contradictions, writeTable } from './tables.ts';

const root = resolve(import.meta.dirname, '../..');

/** Those whose cells are of oidc-provider; `npm test` runs them. */
const ofOidcProvider = [
  'test/e2e/lifecycle-tls-client-auth.test.ts',
  'test/e2e/lifecycle-self-signed.test.ts',
  'test/e2e/key-sets.test.ts',
  'test/e2e/authorization-code.test.ts',
  'test/e2e/rfc8705.test.ts',
];

const writes = process.argv.includes('--write');
const words = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const directory = await mkdtemp(join(tmpdir(), 'certbound-servers-'));
try {
  const file = join(directory, 'cells.jsonl');
  await writeFile(file, '');
  const files = [
    ...globSync(['test/servers/**/*.test.ts', 'test/battery/*.test.ts'], { cwd: root }).toSorted(),
    ...(writes ? ofOidcProvider : []),
  ].filter((path) => words.length === 0 || words.some((word) => path.includes(word)));
  const args = ['--test', '--test-reporter=spec', '--test-concurrency=2', ...files];
  const env = { ...process.env, [SUPPORT_FILE]: file };
  const [code] = await once(spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' }), 'exit');
  const cells = await readCells(file);
  process.exitCode = typeof code === 'number' ? code : 1;
  const wrong: string[] = [];
  for (const name of ['table', 'terminators', 'battery'] as const) {
    if (code === 0 && writes) await writeTable(name, tables[name], cells[name]);
    wrong.push(...(await contradictions(name, tables[name], cells[name])));
  }
  if (wrong.length > 0) {
    console.error(`docs/ says otherwise; npm run test:servers -- --write:\n${wrong.join('\n')}`);
    process.exitCode ||= 1;
  }
} finally {
  await rm(directory, { recursive: true });
}

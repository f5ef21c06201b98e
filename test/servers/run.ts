/**
 * `npm run test:servers`: the slow real servers and terminators. What they showed must be what the tables of docs/ say; with
 * `--write` the tests on oidc-provider are run too, and the tables are written. A word runs the files whose path has it.
 */
import { globSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';
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

/** They wait for minutes, for what a server keeps in its cache or for when it is asked again: the others are over meanwhile. */
const longest = ['spring.test.ts', 'keycloak-bad-input.test.ts', 'adoption.test.ts', 'keycloak-trust-bundle.test.ts'];
const isShort = (path: string): boolean => !longest.some((name) => path.endsWith(name));
/** They wait more than they work, on two cores as well. */
const CONCURRENCY = 3;

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
  process.env[SUPPORT_FILE] = file;
  const tests = run({
    files: [...files.filter((path) => !isShort(path)), ...files.filter(isShort)],
    cwd: root,
    concurrency: CONCURRENCY,
  });
  let passed = files.length > 0;
  tests.on('test:fail', () => (passed = false));
  await pipeline(tests, new spec(), process.stdout, { end: false });
  process.exitCode = passed ? 0 : 1;
  const cells = await readCells(file);
  const wrong: string[] = [];
  for (const name of ['table', 'terminators', 'battery'] as const) {
    if (passed && writes) await writeTable(name, tables[name], cells[name]);
    wrong.push(...(await contradictions(name, tables[name], cells[name])));
  }
  if (wrong.length > 0) {
    console.error(`docs/ says otherwise; npm run test:servers -- --write:\n${wrong.join('\n')}`);
    process.exitCode ||= 1;
  }
} finally {
  await rm(directory, { recursive: true });
}

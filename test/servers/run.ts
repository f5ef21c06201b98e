/**
 * `npm run test:servers`: the slow real servers. What they showed must be what docs/authorization-servers.md says; with `--write`
 * the tests on oidc-provider are run too, and the table is written.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { type Cell, features, readCells, servers, SUPPORT_FILE } from './support.ts';

const root = resolve(import.meta.dirname, '../..');
const document = resolve(root, 'docs/authorization-servers.md');
const BEGIN = '<!-- table: npm run test:servers -- --write -->';
const END = '<!-- end of table -->';

/** Those whose cells are of oidc-provider; `npm test` runs them. */
const ofOidcProvider = [
  'test/e2e/lifecycle-tls-client-auth.test.ts',
  'test/e2e/lifecycle-self-signed.test.ts',
  'test/e2e/key-sets.test.ts',
  'test/e2e/authorization-code.test.ts',
  'test/e2e/rfc8705.test.ts',
];

function table(cells: readonly Cell[]): string {
  const cellOf = (feature: string, server: string) => {
    const said = new Set(cells.filter((c) => c.feature === feature && c.server === server).map(({ cell }) => cell));
    if (said.size === 0) throw new Error(`no test shows "${feature}" of ${server}`);
    return [...said].join('; ');
  };
  const columns = Object.keys(servers);
  const rows = Object.entries(features).map(
    ([feature, title]) => `| ${title} | ${columns.map((server) => cellOf(feature, server)).join(' | ')} |`,
  );
  const head = `| | ${Object.values(servers).join(' | ')} |\n|${'---|'.repeat(columns.length + 1)}`;
  return `${head}\n${rows.join('\n')}`;
}

async function write(cells: readonly Cell[]): Promise<void> {
  const text = await readFile(document, 'utf8');
  const [before, after] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (before === -1 || after === -1) throw new Error(`${document} has no place for the table`);
  const whole = `${text.slice(0, before)}${BEGIN}\n\n${table(cells)}\n\n${text.slice(after)}`;
  await writeFile(document, await format(whole, { ...(await resolveConfig(document)), filepath: document }));
}

/** What the document says otherwise than the run. */
async function contradictions(cells: readonly Cell[]): Promise<string[]> {
  const lines = (await readFile(document, 'utf8')).split('\n');
  return cells.flatMap(({ server, feature, cell }) => {
    const line = lines.find((each) => each.startsWith(`| ${features[feature]} `));
    const said = line?.split(' | ')[Object.keys(servers).indexOf(server) + 1];
    return said?.includes(cell) === true ? [] : [`${feature} of ${server}: ${cell}`];
  });
}

const writes = process.argv.includes('--write');
const directory = await mkdtemp(join(tmpdir(), 'certbound-servers-'));
try {
  const file = join(directory, 'cells.jsonl');
  await writeFile(file, '');
  const files = [...globSync('test/servers/**/*.test.ts', { cwd: root }).toSorted(), ...(writes ? ofOidcProvider : [])];
  const args = ['--test', '--test-reporter=spec', '--test-concurrency=2', ...files];
  const env = { ...process.env, [SUPPORT_FILE]: file };
  const [code] = await once(spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' }), 'exit');
  const cells = await readCells(file);
  process.exitCode = typeof code === 'number' ? code : 1;
  if (code === 0 && writes) await write(cells);
  const wrong = await contradictions(cells);
  if (wrong.length > 0) {
    console.error(
      `docs/authorization-servers.md says otherwise; npm run test:servers -- --write:\n${wrong.join('\n')}`,
    );
    process.exitCode ||= 1;
  }
} finally {
  await rm(directory, { recursive: true });
}

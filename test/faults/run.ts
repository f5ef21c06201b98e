/** `npm run test:faults`: every case, its outcome with counts, and the table of docs/reliability.md. */
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { globSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { once } from 'node:events';
import { format, resolveConfig } from 'prettier';
import { readRows, ROWS_FILE, type Row } from './report.ts';

const root = resolve(import.meta.dirname, '../..');
const document = resolve(root, 'docs/reliability.md');
const BEGIN = '<!-- rows: npm run test:faults -->';
const END = '<!-- end of rows -->';

const seconds = (milliseconds: number) => (milliseconds / 1000).toFixed(1);

function tableOf(rows: readonly Row[]): string {
  const areas = [...new Set(rows.map(({ area }) => area))];
  const head = '| What was wrong | What the operator does | Recovered after | Requests |\n|---|---|--:|--:|';
  const line = ({ fault, outcome, recoveredMs, requests }: Row) =>
    `| ${fault} | ${outcome} | ${seconds(recoveredMs)} s | ${requests} |`;
  return areas
    .map(
      (area) =>
        `## ${area}\n\n${head}\n${rows
          .filter((row) => row.area === area)
          .map(line)
          .join('\n')}\n`,
    )
    .join('\n');
}

async function writeTable(rows: readonly Row[]): Promise<void> {
  const text = await readFile(document, 'utf8');
  const [before, after] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (before === -1 || after === -1) throw new Error(`${document} has no place for the rows`);
  const whole = `${text.slice(0, before)}${BEGIN}\n\n${tableOf(rows)}\n${text.slice(after)}`;
  const options = await resolveConfig(document);
  await writeFile(document, await format(whole, { ...options, filepath: document }));
}

/** @param pattern of names; only a whole run writes the table */
async function run(pattern: string | undefined): Promise<number> {
  const dir = await mkdtemp(join(tmpdir(), 'certbound-faults-'));
  try {
    const rowsFile = join(dir, 'rows.jsonl');
    await writeFile(rowsFile, '');
    const files = globSync('*.cases.ts', { cwd: import.meta.dirname }).map((file) => join(import.meta.dirname, file));
    const only = pattern === undefined ? [] : [`--test-name-pattern=${pattern}`];
    const args = ['--test', '--test-reporter=spec', '--test-concurrency=2', ...only, ...files.toSorted()];
    const env = { ...process.env, [ROWS_FILE]: rowsFile };
    const [code] = await once(spawn(process.execPath, args, { cwd: root, env, stdio: 'inherit' }), 'exit');
    const rows = await readRows(rowsFile);
    for (const { area, fault, recoveredMs, requests } of rows) {
      console.log(`${area}: ${fault}: recovered after ${seconds(recoveredMs)} s, ${requests} requests`);
    }
    console.log(`${rows.length} cases with the end state of an undisturbed run`);
    if (rows.length === 0 && code === 0) {
      console.error(`No case is named like ${pattern ?? 'any'}: the names are those of the tests.`);
      return 1;
    }
    if (code === 0 && pattern === undefined) await writeTable(rows);
    return typeof code === 'number' ? code : 1;
  } finally {
    await rm(dir, { recursive: true });
  }
}

process.exitCode = await run(process.argv[2]);

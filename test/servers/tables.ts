/** Tables of docs/ that hold what tests have seen of real products: written from a run, and compared with every other. */
import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { format, resolveConfig } from 'prettier';

const root = resolve(import.meta.dirname, '../..');

export interface Table {
  /** Relative to the repository. */
  document: string;
  /** Title by key, in their order. */
  columns: Readonly<Record<string, string>>;
  rows: Readonly<Record<string, string>>;
  /** A last column that nobody measures: its title, and what it has for a row. */
  remarks?: { title: string; of: (row: string) => string };
}

/** What was seen, once; several of one place are joined. */
export interface Cell {
  column: string;
  row: string;
  cell: string;
}

const beginOf = (name: string): string => `<!-- ${name}: npm run test:servers -- --write -->`;
const endOf = (name: string): string => `<!-- end of ${name} -->`;

function rendered({ columns, rows, remarks }: Table, cells: readonly Cell[]): string {
  const cellOf = (row: string, column: string) => {
    const said = new Set(cells.filter((c) => c.row === row && c.column === column).map(({ cell }) => cell));
    if (said.size === 0) throw new Error(`no test shows "${row}" of ${column}`);
    return [...said].join('; ');
  };
  const lines = Object.entries(rows).map(([row, title]) => [
    title,
    ...Object.keys(columns).map((column) => cellOf(row, column)),
    ...(remarks === undefined ? [] : [remarks.of(row)]),
  ]);
  const head = ['', ...Object.values(columns), ...(remarks === undefined ? [] : [remarks.title])];
  return [head, head.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
}

/** @throws where the document has no place for it, or cells are missing */
export async function writeTable(name: string, table: Table, cells: readonly Cell[]): Promise<void> {
  const path = resolve(root, table.document);
  const text = await readFile(path, 'utf8');
  const [before, after] = [text.indexOf(beginOf(name)), text.indexOf(endOf(name))];
  if (before === -1 || after === -1) throw new Error(`${table.document} has no place for the table ${name}`);
  const whole = `${text.slice(0, before)}${beginOf(name)}\n\n${rendered(table, cells)}\n\n${text.slice(after)}`;
  await writeFile(path, await format(whole, { ...(await resolveConfig(path)), filepath: path }));
}

/** What the document says otherwise than a run. */
export async function contradictions(name: string, table: Table, cells: readonly Cell[]): Promise<string[]> {
  const text = await readFile(resolve(root, table.document), 'utf8');
  const lines = text.slice(text.indexOf(beginOf(name)), text.indexOf(endOf(name))).split('\n');
  return cells.flatMap(({ column, row, cell }) => {
    const line = lines.find((each) => each.startsWith(`| ${table.rows[row]} `));
    const said = line?.split(' | ')[Object.keys(table.columns).indexOf(column) + 1];
    return said?.includes(cell) === true ? [] : [`${table.document}: ${row} of ${column}: ${cell}`];
  });
}

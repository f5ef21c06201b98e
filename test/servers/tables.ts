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

const SEPARATOR = '; ';
const beginOf = (name: string): string => `<!-- ${name}: npm run test:servers -- --write -->`;
const endOf = (name: string): string => `<!-- end of ${name} -->`;

const cellsOfLine = (line: string): string[] =>
  line
    .slice(1, -1)
    .split(' | ')
    .map((cell) => cell.trim());

/** Where a table begins and ends in its document, and what stands there, by the titles of row and column. */
async function read(name: string, { document }: Table) {
  const text = await readFile(resolve(root, document), 'utf8');
  const [begin, end] = [text.indexOf(beginOf(name)), text.indexOf(endOf(name))];
  if (begin === -1 || end === -1) throw new Error(`${document} has no place for the table ${name}`);
  const lines = text
    .slice(begin, end)
    .split('\n')
    .filter((line) => line.startsWith('|'));
  const [titles = [], , ...rows] = lines.map(cellsOfLine);
  const said = new Map<string, string>(
    rows.flatMap(([row = '', ...cells]) => cells.map((cell, n) => [`${row}|${titles[n + 1] ?? ''}`, cell] as const)),
  );
  return { before: text.slice(0, begin), after: text.slice(end), said };
}

/** Places of a table with what was seen there. */
function places(table: Table, cells: readonly Cell[]) {
  return Object.entries(table.rows).flatMap(([row, title]) =>
    Object.entries(table.columns).map(([column, columnTitle]) => ({
      key: `${title}|${columnTitle}`,
      seen: [...new Set(cells.filter((c) => c.row === row && c.column === column).map(({ cell }) => cell))],
    })),
  );
}

/**
 * What no test of this run has shown stays as it is.
 * @throws where the document has no place for the table, or a cell was never shown
 */
export async function writeTable(name: string, table: Table, cells: readonly Cell[]): Promise<void> {
  const path = resolve(root, table.document);
  const { before, after, said } = await read(name, table);
  const texts = new Map(
    places(table, cells).map(({ key, seen }) => [key, seen.length > 0 ? seen.join(SEPARATOR) : said.get(key)]),
  );
  const lines = Object.entries(table.rows).map(([row, title]) => [
    title,
    ...Object.values(table.columns).map((column) => {
      const text = texts.get(`${title}|${column}`);
      if (text === undefined) throw new Error(`no test shows "${title}" of ${column}`);
      return text;
    }),
    ...(table.remarks === undefined ? [] : [table.remarks.of(row)]),
  ]);
  const head = ['', ...Object.values(table.columns), ...(table.remarks === undefined ? [] : [table.remarks.title])];
  const rendered = [head, head.map(() => '---'), ...lines].map((line) => `| ${line.join(' | ')} |`).join('\n');
  const whole = `${before}${beginOf(name)}\n\n${rendered}\n\n${after}`;
  await writeFile(path, await format(whole, { ...(await resolveConfig(path)), filepath: path }));
}

/** What the document says otherwise than a run, of what the run has shown. */
export async function contradictions(name: string, table: Table, cells: readonly Cell[]): Promise<string[]> {
  const { said } = await read(name, table);
  return places(table, cells)
    .filter(({ key, seen }) => {
      const text = said.get(key) ?? '';
      return (
        seen.some((cell) => !text.includes(cell)) || (seen.length > 0 && seen.join(SEPARATOR).length !== text.length)
      );
    })
    .map(({ key, seen }) => `${table.document}: ${key.replace('|', ' of ')}: ${seen.join(SEPARATOR)}`);
}

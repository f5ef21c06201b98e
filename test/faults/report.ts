/** Rows of docs/reliability.md: each case tells its own, and who started the run collects them. */
import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

const rowSchema = z.object({
  area: z.string(),
  /** What was done. */
  fault: z.string(),
  /** What the operator does. */
  outcome: z.string(),
  /** From the end of the fault until everything is as if it had never been, milliseconds. */
  recoveredMs: z.number(),
  /** To the API server, from the beginning of the fault until silence. */
  requests: z.number(),
});
export type Row = z.infer<typeof rowSchema>;

/** Names the file that gathers the rows of a run; without it they are told to nobody. */
export const ROWS_FILE = 'CERTBOUND_RELIABILITY_ROWS';

export function report(row: Row): void {
  const file = process.env[ROWS_FILE];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(row)}\n`);
}

export async function readRows(file: string): Promise<Row[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => rowSchema.parse(JSON.parse(line)));
}

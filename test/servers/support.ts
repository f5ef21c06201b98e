/** What a test has seen of a real product, told when it has: cells of the tables in docs/. */
import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { attacks } from '../battery/attacks/all.ts';
import { type ProductName, products } from '../battery/product.ts';
import type { Cell, Table } from './tables.ts';

/** Columns, with the versions that the tests run. */
const servers = {
  'oidc-provider': 'oidc-provider 9',
  keycloak: 'Keycloak 26.7',
  spring: 'Spring Authorization Server 7',
} as const;
type Server = keyof typeof servers;

/** Rows, in their order. */
const features = {
  driver: 'Registered by',
  token: 'A token with the published Secret alone; its `cnf` is the certificate’s thumbprint',
  introspection: 'Introspection tells the same `cnf`',
  others: 'Another client’s certificate, none, or one of another CA',
  tlsClientAuth: '`tls_client_auth`: the server knows the client by',
  selfSigned: '`self_signed_tls_client_auth`',
  rotation: 'Calls that are refused while certificates rotate',
  update: 'A change of the metadata',
  deletion: 'Deletion',
  refreshTokens: 'Users’ refresh tokens through a rotation',
} as const;
type Feature = keyof typeof features;

const titles = (of: Readonly<Record<string, { title: string }>>): Record<string, string> =>
  Object.fromEntries(Object.entries(of).map(([key, { title }]) => [key, title]));

export const tables = {
  table: { document: 'docs/authorization-servers.md', columns: servers, rows: features },
  battery: {
    document: 'docs/terminators.md',
    columns: products,
    rows: titles(attacks),
    remarks: { title: 'Where it is let by', of: (row) => attacks[row]?.remedy?.text ?? '' },
  },
} as const satisfies Record<string, Table>;
export type TableName = keyof typeof tables;

const isTable = (name: unknown): name is TableName => typeof name === 'string' && Object.hasOwn(tables, name);

const cellSchema = z
  .object({ table: z.custom<TableName>(isTable), column: z.string(), row: z.string(), cell: z.string().min(1) })
  .refine(({ table, column, row }) => column in tables[table].columns && row in tables[table].rows);

/** Names the file that gathers the cells of a run; without it they are told to nobody. */
export const SUPPORT_FILE = 'CERTBOUND_SERVER_SUPPORT';

function tell(table: TableName, column: string, row: string, cell: string): void {
  const file = process.env[SUPPORT_FILE];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ table, column, row, cell })}\n`);
}

/** To be called where a test has asserted it. */
export function shows(server: Server, feature: Feature, cell: string): void {
  tell('table', server, feature, cell);
}

/** The same for an attack on a terminator. */
export function showsOutcome(product: ProductName, attack: string, outcome: string): void {
  tell('battery', product, attack, outcome);
}

export async function readCells(file: string): Promise<Record<TableName, Cell[]>> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  const cells = lines.map((line) => cellSchema.parse(JSON.parse(line)));
  const of = (name: TableName) => cells.filter(({ table }) => table === name);
  return { table: of('table'), battery: of('battery') };
}

/** What a test has seen of a real product, told when it has: cells of the tables in docs/. */
import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { type Case, cases } from '../battery/cases.ts';
import { type ProductName, products } from '../battery/product.ts';
import { facts, terminators } from './terminator-facts.ts';
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
  drift: 'What others edit there of our members',
  deletion: 'Deletion',
  refreshTokens: 'Users’ refresh tokens through a rotation',
} as const;
type Feature = keyof typeof features;

export const PUT_BACK = 'put back, and told (`RegistrationRestored`); what they added stays';

const battery: Readonly<Record<string, Case>> = cases;

export const tables = {
  table: { document: 'docs/authorization-servers.md', columns: servers, rows: features },
  terminators: { document: 'docs/terminators.md', columns: facts, rows: terminators },
  battery: {
    document: 'docs/terminators.md',
    columns: products,
    rows: Object.fromEntries(Object.entries(battery).map(([name, { title }]) => [name, title])),
    remarks: { title: 'Where it is let by', of: (row) => battery[row]?.remedy?.text ?? '' },
  },
} as const satisfies Record<string, Table>;
export type TableName = keyof typeof tables;

const isTable = (name: unknown): name is TableName => typeof name === 'string' && Object.hasOwn(tables, name);

const cellSchema = z
  .object({ table: z.custom<TableName>(isTable), column: z.string(), row: z.string(), cell: z.string().min(1) })
  .refine(({ table, column, row }) => column in tables[table].columns && row in tables[table].rows);

/** Names the file that gathers the cells of a run; without it they are told to nobody. */
export const SUPPORT_FILE = 'CERTBOUND_SERVER_SUPPORT';

/** Whether cells of this run are gathered. */
export const GATHERED = process.env[SUPPORT_FILE] !== undefined;

function tell(table: TableName, column: string, row: string, cell: string): void {
  const file = process.env[SUPPORT_FILE];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ table, column, row, cell })}\n`);
}

/** To be called where a test has asserted it. */
export function shows(server: Server, feature: Feature, cell: string): void {
  tell('table', server, feature, cell);
}

/** The same for a case of the battery. */
export function showsOutcome(product: ProductName, row: string, outcome: string): void {
  tell('battery', product, row, outcome);
}

/** That a terminator of this version went through the battery. */
export function showsVersion(product: ProductName, version: string): void {
  tell('terminators', 'tested', product, version);
}

/** What is known of a terminator without one. */
export function showsFact({ column, row, cell }: Cell): void {
  tell('terminators', column, row, cell);
}

export async function readCells(file: string): Promise<Record<TableName, Cell[]>> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  const cells = lines.map((line) => cellSchema.parse(JSON.parse(line)));
  const of = (name: TableName) => cells.filter(({ table }) => table === name);
  return { table: of('table'), terminators: of('terminators'), battery: of('battery') };
}

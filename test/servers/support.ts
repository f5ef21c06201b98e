/** Cells of docs/authorization-servers.md: what a test has seen of a real server, told when it has. */
import { appendFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { z } from 'zod';

/** Columns, with the versions that the tests run. */
export const servers = {
  'oidc-provider': 'oidc-provider 9',
  keycloak: 'Keycloak 26.7',
  spring: 'Spring Authorization Server 7',
} as const;
export type Server = keyof typeof servers;

/** Rows, in their order. */
export const features = {
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
export type Feature = keyof typeof features;

export const PUT_BACK = 'put back, and told (`RegistrationRestored`); what they added stays';

const cellSchema = z.object({
  server: z.custom<Server>((name) => typeof name === 'string' && Object.hasOwn(servers, name)),
  feature: z.custom<Feature>((name) => typeof name === 'string' && Object.hasOwn(features, name)),
  cell: z.string().min(1),
});
export type Cell = z.infer<typeof cellSchema>;

/** Names the file that gathers the cells of a run; without it they are told to nobody. */
export const SUPPORT_FILE = 'CERTBOUND_SERVER_SUPPORT';

/** To be called where a test has asserted it. */
export function shows(server: Server, feature: Feature, cell: string): void {
  const file = process.env[SUPPORT_FILE];
  if (file !== undefined) appendFileSync(file, `${JSON.stringify({ server, feature, cell })}\n`);
}

export async function readCells(file: string): Promise<Cell[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  return lines.map((line) => cellSchema.parse(JSON.parse(line)));
}

/** Keycloak with a realm of its own, and a client there for the operator. */
import { randomUUID } from 'node:crypto';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { call, type Answer } from './https-call.ts';
import { serverFolder, startJavaServer } from './java-server.ts';
import {
  ADMIN,
  buildOptions,
  type CertificateLookup,
  javaArguments,
  keycloakDatabase,
  keycloakHome,
} from './keycloak-distribution.ts';
import type { KeyPairPem } from './throwaway-ca.ts';

export interface KeycloakOptions {
  /** What the operator and applications call it, on 127.0.0.1. */
  host: string;
  port: number;
  tls: KeyPairPem;
  /** Of `tls`. */
  caPem: string;
  /** The truststore: CAs of client certificates. */
  clientCaPem: string;
  /** A file with them that may change; read anew as often as Keycloak does it at most. */
  trustStoreFile?: string;
  /** Default: its own TLS asks for it. */
  lookup?: CertificateLookup;
  /** The public origin, where a terminator stands before it. Default: its own. */
  publicOrigin?: string;
  /** With `lookup`: on this port it takes plain HTTP of the terminator. */
  httpPort?: number;
}

const client = z.looseObject({
  id: z.string(),
  clientId: z.string(),
  name: z.string().optional(),
  enabled: z.boolean().optional(),
  attributes: z.record(z.string(), z.string()).default({}),
  optionalClientScopes: z.array(z.string()).default([]),
  defaultClientScopes: z.array(z.string()).default([]),
  redirectUris: z.array(z.string()).default([]),
});
export type KeycloakClient = z.infer<typeof client>;

/** It takes nothing below 30 s. */
export const RELOAD_SECONDS = 31;

/** The first requests of a kind are slow, and a realm is hundreds of objects. */
const ADMIN_DEADLINE_MS = 300_000;

/** Roles of realm-management that the operator's service account is given. */
export const LEAST_ROLES = ['manage-clients'];

type JsonBody = Readonly<Record<string, unknown>> | readonly unknown[];

export interface Realm {
  readonly name: string;
  readonly issuer: string;
  /** Makes a confidential client with a service account that has these roles of realm-management. */
  serviceAccount(
    clientId: string,
    roles: readonly string[],
    more?: Record<string, unknown>,
  ): Promise<{ secret: string }>;
  /** The same for a client that is there. */
  grant(clientId: string, roles?: readonly string[]): Promise<void>;
  /** Takes these roles from it. */
  revoke(clientId: string, roles?: readonly string[]): Promise<void>;
  /** A client scope; with it a token is for this API. */
  scope(name: string, audience?: string): Promise<void>;
  clients(): Promise<KeycloakClient[]>;
  client(clientId: string): Promise<KeycloakClient | undefined>;
  /** As an administrator changes or deletes one. */
  change(clientId: string, change: (client: KeycloakClient) => Record<string, unknown>): Promise<void>;
  delete(clientId: string): Promise<void>;
  /** Somebody who logs in, at any client, with this password. */
  user(username: string, password: string): Promise<void>;
  /** Any other request of the Admin REST API, as its administrator. */
  admin(method: string, path: string, body?: JsonBody): Promise<Answer>;
}

export interface Keycloak {
  readonly origin: string;
  readonly caPem: string;
  realm(name: string): Promise<Realm>;
  log(): Promise<string>;
  stop(): Promise<void>;
}

export async function startKeycloak(options: KeycloakOptions): Promise<Keycloak> {
  const { host, port, caPem, lookup = 'tls' } = options;
  const home = await keycloakHome(lookup);
  const own = await serverFolder('keycloak');
  const folder = own.path;
  for (const part of ['lib', 'providers', 'themes', 'bin']) await symlink(join(home, part), join(folder, part));
  for (const part of ['conf', 'data']) await mkdir(join(folder, part));
  await cp(await keycloakDatabase(home), join(folder, 'data/h2'), { recursive: true });
  const file = async (name: string, content: string) => {
    await writeFile(join(folder, 'conf', name), content, { mode: 0o600 });
    return join(folder, 'conf', name);
  };
  const [certificate, key, trusted] = [
    await file('tls.crt', options.tls.certPem),
    await file('tls.key', options.tls.keyPem),
    options.trustStoreFile ?? (await file('clients.pem', options.clientCaPem)),
  ];
  const origin = `https://${host}:${port}`;
  const publicOrigin = options.publicOrigin ?? origin;
  const arguments_ = [
    'start',
    '--optimized',
    '--cache=local',
    `--hostname=${publicOrigin}`,
    // Its own endpoints are reached under its own name too, and tell of the public one.
    '--hostname-backchannel-dynamic=false',
    `--https-port=${port}`,
    `--https-certificate-file=${certificate}`,
    `--https-certificate-key-file=${key}`,
    `--https-trust-store-file=${trusted}`,
    `--truststore-paths=${trusted}`,
    `--https-certificates-reload-period=${RELOAD_SECONDS}s`,
    ...(options.httpPort === undefined ? ['--http-enabled=false'] : behindTerminator(options.httpPort, lookup)),
    '--log-level=info,org.keycloak.services.x509:debug,org.keycloak.authentication.authenticators.client:debug',
  ];
  const { log, stop } = await startJavaServer({
    name: 'Keycloak',
    hint: `options of its build: ${buildOptions(lookup).join(' ')}`,
    folder: own,
    args: [...javaArguments(folder, join(folder, 'conf'), 512), ...arguments_],
    environment: {
      KC_HTTP_HOST: '127.0.0.1',
    },
    answers: async () => (await call({ url: `${origin}/realms/master`, ca: caPem })).status === 200,
  });
  const server = { origin, caPem };
  return {
    origin,
    caPem,
    realm: (name) => createRealm(server, publicOrigin, name),
    log,
    stop,
  };
}

/** As the terminator passes the certificate on; from this machine alone. */
function behindTerminator(httpPort: number, lookup: CertificateLookup): string[] {
  return [
    '--http-enabled=true',
    `--http-port=${httpPort}`,
    '--proxy-headers=xforwarded',
    '--proxy-trusted-addresses=127.0.0.1',
    ...(lookup === 'nginx' ? ['--spi-x509cert-lookup--nginx--ssl-client-cert=ssl-client-cert'] : []),
  ];
}

interface Server {
  origin: string;
  caPem: string;
}

const token = z.looseObject({ access_token: z.string() });

async function administrator({ origin, caPem }: Server): Promise<string> {
  const answer = await call({
    url: `${origin}/realms/master/protocol/openid-connect/token`,
    ca: caPem,
    body: new URLSearchParams({ grant_type: 'password', client_id: 'admin-cli', ...ADMIN }),
    deadlineMs: ADMIN_DEADLINE_MS,
  });
  return token.parse(answer.json).access_token;
}

function requests(server: Server) {
  return async (method: string, path: string, body?: JsonBody): Promise<Answer> => {
    const { origin, caPem } = server;
    const answer = await call({
      url: `${origin}/admin${path}`,
      ca: caPem,
      method,
      deadlineMs: ADMIN_DEADLINE_MS,
      headers: { authorization: `Bearer ${await administrator(server)}` },
      ...(body === undefined ? {} : { body }),
    });
    if (answer.status >= 400) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer;
  };
}

const list = <T>(schema: z.ZodType<T>, { text }: Answer): T[] => z.array(schema).parse(JSON.parse(text));
const named = z.looseObject({ id: z.string(), name: z.string() });
const user = z.looseObject({ id: z.string() });

function audienceMapper(clientId: string): Record<string, unknown> {
  return {
    name: 'audience',
    protocol: 'openid-connect',
    protocolMapper: 'oidc-audience-mapper',
    config: {
      'included.client.audience': clientId,
      'access.token.claim': 'true',
      'introspection.token.claim': 'true',
    },
  };
}

async function createRealm(server: Server, publicOrigin: string, name: string): Promise<Realm> {
  const request = requests(server);
  const admin = (method: string, path: string, body?: JsonBody) => request(method, `/realms/${name}${path}`, body);
  await request('POST', '/realms', { realm: name, enabled: true, sslRequired: 'all' });
  const find = async (clientId: string) =>
    list(client, await admin('GET', `/clients?clientId=${encodeURIComponent(clientId)}`))[0];
  const required = async (clientId: string) => {
    const found = await find(clientId);
    if (found === undefined) throw new Error(`no client ${clientId}`);
    return found;
  };
  const rolesOf = async (clientId: string, roles: readonly string[]) => {
    const { id } = await required(clientId);
    const account = user.parse((await admin('GET', `/clients/${id}/service-account-user`)).json);
    const management = await required('realm-management');
    const all = list(named, await admin('GET', `/clients/${management.id}/roles`));
    const chosen = all.filter((role) => roles.includes(role.name));
    return { management, chosen, path: `/users/${account.id}/role-mappings/clients/${management.id}` };
  };
  const grant = async (clientId: string, roles: readonly string[] = LEAST_ROLES) => {
    const { id, fullScopeAllowed } = await required(clientId);
    const { management, chosen, path } = await rolesOf(clientId, roles);
    await admin('POST', path, chosen);
    // Else they would not get into its tokens.
    if (fullScopeAllowed === false)
      await admin('POST', `/clients/${id}/scope-mappings/clients/${management.id}`, chosen);
  };
  return {
    name,
    issuer: `${publicOrigin}/realms/${name}`,
    admin,
    grant,
    async revoke(clientId, roles = LEAST_ROLES) {
      const { chosen, path } = await rolesOf(clientId, roles);
      await admin('DELETE', path, chosen);
    },
    client: find,
    clients: async () => list(client, await admin('GET', '/clients?max=1000')),
    async scope(scope, audience) {
      await admin('POST', '/client-scopes', {
        name: scope,
        protocol: 'openid-connect',
        attributes: { 'include.in.token.scope': 'true', 'display.on.consent.screen': 'false' },
        ...(audience === undefined ? {} : { protocolMappers: [audienceMapper(audience)] }),
      });
    },
    async user(username, password) {
      await admin('POST', '/users', {
        username,
        enabled: true,
        email: `${username}@example.com`,
        emailVerified: true,
        firstName: 'Example',
        lastName: 'User',
        credentials: [{ type: 'password', value: password, temporary: false }],
      });
    },
    async change(clientId, change) {
      const found = await required(clientId);
      await admin('PUT', `/clients/${found.id}`, { ...found, ...change(found) });
    },
    async delete(clientId) {
      await admin('DELETE', `/clients/${(await required(clientId)).id}`);
    },
    async serviceAccount(clientId, roles, more = {}) {
      const secret = randomUUID();
      await admin('POST', '/clients', {
        clientId,
        secret,
        serviceAccountsEnabled: true,
        standardFlowEnabled: false,
        ...more,
      });
      await grant(clientId, roles);
      return { secret };
    },
  };
}

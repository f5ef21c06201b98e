/** Connections to servers of a test, and one server that answers whatever a test wants. */
import { createServer, type ServerOptions } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AuthorizationServer, AuthorizationServerSpec } from '../../src/api/authorization-server.ts';
import {
  type ConnectionOptions,
  ServerConnection,
  type ServerEndpoints,
} from '../../src/authserver/connection/connection.ts';
import type { ServerCredentials } from '../../src/authserver/credentials.ts';
import type { ServerAccess } from '../../src/authserver/driver.ts';
import { listen } from '../support/listen.ts';
import { createThrowawayCa, type ThrowawayCa } from '../support/throwaway-ca.ts';

const GENEROUS_MS = 60_000;
export const lasting = () => AbortSignal.timeout(GENEROUS_MS);

/** A step's way to a server, with credentials that need no reading. */
export function access(
  connection: ServerConnection,
  credentials: ServerCredentials = {},
  signal: AbortSignal = lasting(),
): ServerAccess {
  return { connection, credentials: () => Promise.resolve(credentials), signal };
}

/** With `dynamicRegistration`, where the spec names no other driver. */
export function serverObject(
  spec: Omit<AuthorizationServerSpec, 'dynamicRegistration'>,
  endpoints?: ServerEndpoints,
): Pick<AuthorizationServer, 'metadata' | 'spec' | 'status'> {
  return {
    metadata: {
      name: 'corporate',
      uid: 'uid',
      resourceVersion: '1',
      generation: 1,
      labels: {},
      annotations: {},
      finalizers: [],
    },
    spec: spec.keycloak === undefined ? { ...spec, dynamicRegistration: {} } : spec,
    ...(endpoints === undefined ? {} : { status: { endpoints } }),
  };
}

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

export const HOST = 'as.example.test';

export interface ScriptedServer {
  readonly origin: string;
  readonly ca: ThrowawayCa;
  /** `GET /path` of every request so far. */
  readonly requests: string[];
  answer(handler: Handler): void;
  connection(endpoints?: Partial<ServerEndpoints>, options?: ConnectionOptions): ServerConnection;
  stop(): Promise<void>;
}

const unscripted: Handler = (_request, response) => response.writeHead(500).end();

/** HTTPS on a loopback port, as `as.example.test`. */
export async function startScriptedServer(tls: ServerOptions = {}): Promise<ScriptedServer> {
  const ca = await createThrowawayCa('Server CA');
  const pair = await ca.issue({ cn: HOST, dns: [HOST] });
  const requests: string[] = [];
  let handler: Handler = unscripted;
  const server = createServer({ cert: pair.certPem, key: pair.keyPem, ...tls }, (request, response) => {
    requests.push(`${request.method} ${request.url}`);
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => handler(request, response, Buffer.concat(chunks).toString()));
  });
  server.on('tlsClientError', () => undefined);
  const listening = await listen(server);
  const { port } = listening;
  const origin = `https://${HOST}:${port}`;
  const connections: ServerConnection[] = [];
  return {
    origin,
    ca,
    requests,
    answer(next) {
      handler = next;
      requests.length = 0;
    },
    connection(endpoints, options) {
      const spec = { issuer: origin, caBundle: ca.certPem, connectTo: [{ host: HOST, addresses: ['127.0.0.1'] }] };
      const found = { tokenEndpoint: `${origin}/token`, registrationEndpoint: `${origin}/reg`, ...endpoints };
      const connection = new ServerConnection(serverObject(spec, found), options);
      connections.push(connection);
      return connection;
    },
    async stop() {
      await Promise.all(connections.map((connection) => connection.close()));
      await listening.stop();
    },
  };
}

export const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Handler =>
  (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

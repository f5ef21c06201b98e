/** A TLS server that answers with whatever bytes a test wants, and knows no HTTP. */
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { ServerConnection } from '../../src/authserver/connection/connection.ts';
import { listen } from '../support/listen.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { HOST, serverObject } from './servers.ts';

export type Serve = (socket: TLSSocket) => void;

export interface RawServer {
  readonly origin: string;
  readonly ca: ThrowawayCa;
  /** Bytes that went out in all. */
  readonly written: number;
  /** Called for each connection that has asked something. */
  serve(how: Serve): void;
  /** A new one, of which nothing is known. */
  connection(): ServerConnection;
  stop(): Promise<void>;
}

export async function startRawServer(
  tls: TlsOptions = {},
  certify: (ca: ThrowawayCa) => Promise<KeyPairPem> = (ca) => ca.issue({ cn: HOST, dns: [HOST] }),
): Promise<RawServer> {
  const ca = await createThrowawayCa('Raw Server CA');
  const { certPem: cert, keyPem: key } = await certify(ca);
  let how: Serve = (socket) => socket.destroy();
  let written = 0;
  const sockets = new Set<TLSSocket>();
  const server = createServer({ cert, key, ...tls }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => {
      written += socket.bytesWritten;
      sockets.delete(socket);
    });
    socket.once('data', () => how(socket));
  });
  server.on('tlsClientError', () => undefined);
  const listening = await listen(server);
  const origin = `https://${HOST}:${listening.port}`;
  const connections: ServerConnection[] = [];
  return {
    origin,
    ca,
    get written() {
      return written + [...sockets].reduce((sum, socket) => sum + socket.bytesWritten, 0);
    },
    serve(next) {
      how = next;
    },
    connection() {
      const spec = { issuer: origin, caBundle: ca.certPem, connectTo: [{ host: HOST, addresses: ['127.0.0.1'] }] };
      const endpoints = { tokenEndpoint: `${origin}/token`, registrationEndpoint: `${origin}/reg` };
      const connection = new ServerConnection(serverObject(spec, endpoints));
      connections.push(connection);
      return connection;
    },
    async stop() {
      await Promise.all(connections.map((connection) => connection.close()));
      for (const socket of sockets) socket.destroy();
      await listening.stop();
    },
  };
}

/** Again and again, as fast as it is taken. */
export function flood(socket: TLSSocket, bytes: string, first = ''): void {
  socket.write(first);
  const chunk = bytes.repeat(Math.ceil(16_384 / bytes.length));
  const more = (): void => {
    while (!socket.destroyed && socket.write(chunk));
    if (!socket.destroyed) socket.once('drain', more);
  };
  more();
}

/** A little every few milliseconds, without end. */
export function drip(socket: TLSSocket, bytes: string, first = ''): void {
  socket.write(first);
  const timer = setInterval(() => {
    if (socket.destroyed) clearInterval(timer);
    else socket.write(bytes);
  }, 5);
}

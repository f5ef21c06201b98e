/** A CONNECT proxy (RFC 9110 §9.3.6), with or without TLS of its own and credentials, which can be told to do wrong. */
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { listen } from './listen.ts';
import type { KeyPairPem } from './throwaway-ca.ts';

export interface ConnectProxyOptions {
  /** Default: plain HTTP. */
  tls?: KeyPairPem;
  credentials?: { username: string; password: string };
  /** Where a host name leads. */
  resolve: (host: string) => string;
}

export interface ConnectProxy {
  readonly port: number;
  /** Targets asked for, `host:port`, and whether they were let through. */
  readonly asked: string[];
  /** What it does instead of its work: answers with these bytes. */
  misbehave(how: string | undefined): void;
  stop(): Promise<void>;
}

export async function startConnectProxy({ tls, credentials, resolve }: ConnectProxyOptions): Promise<ConnectProxy> {
  const asked: string[] = [];
  const sockets = new Set<Duplex>();
  let wrong: string | undefined;
  const wanted =
    credentials && `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
  const server = tls === undefined ? createServer() : createTlsServer({ cert: tls.certPem, key: tls.keyPem });
  server.on('tlsClientError', () => undefined);
  server.on('connect', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    sockets.add(socket.on('error', () => undefined));
    const target = request.url ?? '';
    if (wrong !== undefined) return void socket.end(wrong);
    if (wanted !== undefined && request.headers['proxy-authorization'] !== wanted) {
      asked.push(`${target} 407`);
      return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n');
    }
    asked.push(target);
    const { hostname, port } = new URL(`https://${target}`);
    const upstream: Socket = connect(Number(port || 443), resolve(hostname), () => {
      socket.write('HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n');
      upstream.write(head);
      upstream.pipe(socket).pipe(upstream);
    });
    sockets.add(upstream);
    upstream.on('error', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
    upstream.on('close', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
  });
  const listening = await listen(server);
  return {
    port: listening.port,
    asked,
    misbehave(how) {
      wrong = how;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await listening.stop();
    },
  };
}

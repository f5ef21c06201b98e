/** A server that is reached through a proxy: TLS is with the server, credentials go to the proxy alone. */
import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { TLSSocket } from 'node:tls';
import { after, before, describe, test } from 'node:test';
import type { AuthorizationServerSpec } from '../../src/api/authorization-server.ts';
import { callServer } from '../../src/authserver/connection/call.ts';
import { ServerConnection } from '../../src/authserver/connection/connection.ts';
import type { ProxyCredentials } from '../../src/authserver/connection/tunnel.ts';
import { OperatorError } from '../../src/errors.ts';
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.ts';
import { freePort } from '../support/free-port.ts';
import { listen } from '../support/listen.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { HOST, lasting, type ScriptedServer, serverObject, startScriptedServer } from './servers.ts';

const PROXY = 'proxy.example.test';
const credentials: ProxyCredentials = { username: 'operator', password: 'proxy-password-SECRET' };

describe('a server behind a proxy', () => {
  let server: ScriptedServer;
  let plain: ConnectProxy;
  let secured: ConnectProxy;
  const connections: ServerConnection[] = [];
  const heard: { certificate: string | undefined; headers: Record<string, unknown>; port: number | undefined }[] = [];

  before(async () => {
    const clientCa = await createThrowawayCa('Client CA');
    server = await startScriptedServer({ requestCert: true, rejectUnauthorized: false, ca: clientCa.certPem });
    const resolve = (host: string) => (host === HOST ? '127.0.0.1' : host);
    plain = await startConnectProxy({ resolve });
    const tls = await server.ca.issue({ cn: PROXY, dns: [PROXY] });
    secured = await startConnectProxy({ resolve, tls, credentials });
    server.answer((request, response) => {
      const { socket } = request;
      const shown = socket instanceof TLSSocket ? socket.getPeerX509Certificate()?.subject : undefined;
      heard.push({ certificate: shown, headers: request.headers, port: socket.remotePort });
      response.end('{"a":1}');
    });
  });
  after(async () => {
    await Promise.all(connections.map((connection) => connection.close()));
    for (const each of [plain, secured]) await each?.stop();
    await server?.stop();
  });

  function through(proxyURL: string, more: Partial<AuthorizationServerSpec> = {}, as?: ProxyCredentials | Error) {
    const connectTo = [{ host: PROXY, addresses: ['127.0.0.1'] }, ...(more.connectTo ?? [])];
    const spec = { issuer: server.origin, caBundle: server.ca.certPem, proxyURL, ...more, connectTo };
    const options = { proxyCredentials: () => (as instanceof Error ? Promise.reject(as) : Promise.resolve(as)) };
    const connection = new ServerConnection(serverObject(spec), options);
    connections.push(connection);
    return connection;
  }
  const ask = (connection: ServerConnection, method: 'GET' | 'POST' = 'POST') =>
    callServer(connection, { operation: 'read', action: 'try', method, url: `${server.origin}/x` }, lasting());
  const refused = async (connection: ServerConnection) => {
    const error: unknown = await ask(connection).catch((reason: unknown) => reason);
    assert.ok(error instanceof OperatorError, String(error));
    assert.equal(error.code, 'ServerUnavailable', 'nothing was carried out');
    assert.ok(!JSON.stringify([error.message, error.detail, String(error.cause)]).includes('SECRET'));
    return error.message;
  };
  const http = () => `http://127.0.0.1:${plain.port}`;
  const https = () => `https://${PROXY}:${secured.port}`;

  test('is asked by its name, which the proxy resolves', async () => {
    const connection = through(http());
    assert.deepEqual((await ask(connection)).json, { a: 1 });
    assert.deepEqual(plain.asked.splice(0), [new URL(server.origin).host]);
    assert.deepEqual(await connection.addressesOf(server.origin, lasting()), [HOST]);
  });

  test('is asked at each address that connectTo has', async () => {
    const connection = through(http(), { connectTo: [{ host: HOST, addresses: ['127.0.0.1', '127.0.0.2'] }] });
    assert.deepEqual(await connection.addressesOf(server.origin, lasting()), ['127.0.0.1', '127.0.0.2']);
    for (const address of ['127.0.0.1', '127.0.0.2']) {
      await connection
        .withFresh({ address }, (dispatcher) =>
          connection.send('read', { dispatcher, method: 'GET', url: server.origin }, lasting()),
        )
        .catch(() => undefined);
    }
    const { port } = new URL(server.origin);
    assert.deepEqual(plain.asked.splice(0), [`127.0.0.1:${port}`, `127.0.0.2:${port}`]);
  });

  test('sees the certificate that is presented, on a connection of its own for each', async () => {
    const connection = through(http());
    const ca = await createThrowawayCa('Another CA');
    heard.length = 0;
    for (const cn of ['first', 'second']) {
      const { certPem, keyPem } = await ca.issue({ cn, clientAuth: true });
      await connection.withFresh({ certificate: connection.clientTls(certPem, keyPem) }, (dispatcher) =>
        connection.send('token', { dispatcher, method: 'POST', url: server.origin }, lasting()),
      );
    }
    assert.deepEqual(
      heard.map(({ certificate }) => certificate),
      ['CN=first', 'CN=second'],
    );
    assert.equal(new Set(heard.map(({ port }) => port)).size, 2);
  });

  test('gives its proxy credentials over TLS, and the server hears nothing of them', async () => {
    heard.length = 0;
    assert.equal((await ask(through(https(), {}, credentials))).status, 200);
    assert.ok(!JSON.stringify(heard).includes('proxy-authorization'));
    assert.match(
      await refused(through(https())),
      /the proxy proxy\.example\.test:\d+ wants credentials, or others \(407\)/,
    );
    const unreadable = through(https(), {}, new Error('SECRET'));
    assert.match(
      await refused(unreadable),
      /the credentials of the proxy .* cannot be read: see proxyCredentialsSecretRef/,
    );
    const wrong = { username: 'operator', password: 'wrong-SECRET' };
    assert.match(await refused(through(https(), {}, wrong)), /see proxyCredentialsSecretRef/);
  });

  test('is authenticated itself, whatever the proxy is', async () => {
    const impostor = await startScriptedServer();
    const misleading = await startConnectProxy({ resolve: () => '127.0.0.1' });
    try {
      const connection = through(`http://127.0.0.1:${misleading.port}`);
      const url = `https://${HOST}:${new URL(impostor.origin).port}/x`;
      const call = { operation: 'read', action: 'try', method: 'POST', url } as const;
      await assert.rejects(
        callServer(connection, call, lasting()),
        /TLS certificate of as\.example\.test:\d+ is not trusted/,
      );
      assert.deepEqual(impostor.requests, []);
    } finally {
      await misleading.stop();
      await impostor.stop();
    }
  });

  test('is away where its proxy is not trusted, is gone, or does wrong', async () => {
    const other = await createThrowawayCa('Other CA');
    const untrusting = through(https(), { caBundle: other.certPem }, credentials);
    assert.match(await refused(untrusting), /certificate of the proxy .* is not trusted \(.*\): put the CA/);
    assert.match(await refused(through(`http://127.0.0.1:${await freePort()}`)), /proxy 127\.0\.0\.1:\d+ refused/);
    const wrongs: [string, RegExp][] = [
      ['HTTP/1.1 403 Forbidden\r\n\r\n', /does not let us through to as\.example\.test:\d+ \(403\)/],
      ['HTTP/1.1 502 Bad Gateway\r\n\r\n', /cannot reach as\.example\.test:\d+ \(502\)/],
      ['SSH-2.0-OpenSSH_9.2\r\n\r\n', /speaks no HTTP\/1\.1/],
      [`HTTP/1.1 200 ${'x'.repeat(100_000)}`, /speaks no HTTP\/1\.1/],
      ['HTTP/1.1 200', /broke the connection/],
      ['HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n{}', /ended the TLS handshake|broke before/],
    ];
    try {
      for (const [answer, says] of wrongs) {
        plain.misbehave(answer);
        assert.match(await refused(through(http())), says);
      }
    } finally {
      plain.misbehave(undefined);
    }
  });

  test('is not waited for without end where its proxy is silent', async () => {
    const silent = await listen(createServer((socket) => void socket.on('error', () => undefined)));
    try {
      const call = { operation: 'read', action: 'try', method: 'POST', url: server.origin, deadlineMs: 300 } as const;
      const connection = through(`http://127.0.0.1:${silent.port}`);
      await assert.rejects(callServer(connection, call, lasting()), /did not answer within 0\.3 s/);
    } finally {
      void silent.stop();
    }
  });
});

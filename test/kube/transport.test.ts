import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  connect as connectHttp2,
  createSecureServer,
  type Http2SecureServer,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';
import { KubeClient, KubeError } from '../../src/kube/client.ts';
import type { Credentials } from '../../src/kube/credentials.ts';
import { endWhenDead } from '../../src/kube/dead-connection.ts';
import { Informer } from '../../src/kube/informer.ts';
import { configMaps, secrets } from '../../src/kube/resource.ts';
import { Transport } from '../../src/kube/transport.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';

type Answer = (stream: ServerHttp2Stream, path: string) => void;

const json = (stream: ServerHttp2Stream, status: number, body: unknown, headers: Record<string, string> = {}): void => {
  stream.respond({ ':status': status, 'content-type': 'application/json', ...headers });
  stream.end(typeof body === 'string' ? body : JSON.stringify(body));
};

const map = (resourceVersion = '5') => ({ metadata: { name: 'a', namespace: 'n', uid: 'u', resourceVersion } });

async function failure(promise: Promise<unknown>): Promise<KubeError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof KubeError, `expected a KubeError, got ${String(error)}`);
  assert.ok(!JSON.stringify([error, error.message, error.stack, error.cause]).includes('very-secret-token'));
  return error;
}

const eventLine = (version: number): string =>
  JSON.stringify({ type: version === 11 ? 'ADDED' : 'MODIFIED', object: map(String(version)) });

/** Faults on the wire that no real API server makes on request. */
describe('transport, when the wire fails', () => {
  let server: Http2SecureServer;
  let proxy: ReturnType<typeof createServer>;
  let credentials: Credentials;
  let answer: Answer;
  let client: KubeClient;
  let connections = 0;
  let silent = false;
  const sockets = new Set<Socket>();

  before(async () => {
    const ca = await createThrowawayCa('Certbound test');
    const { certPem, keyPem } = await ca.issue({ cn: 'api', ips: ['127.0.0.1'] });
    server = createSecureServer({ cert: certPem, key: keyPem });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      answer(stream, headers[':path'] ?? '');
    });
    server.on('sessionError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = portOf(server.address());
    // Between client and server: a network that can swallow everything without closing anything.
    proxy = createServer((socket) => {
      connections += 1;
      const upstream = connect(port, '127.0.0.1');
      let dead = false;
      const relay = (from: Socket, to: Socket): void => {
        sockets.add(from);
        from.on('data', (data) => {
          dead ||= silent;
          if (!dead) to.write(data);
        });
        from.on('error', () => undefined);
        from.on('close', () => to.destroy());
      };
      relay(socket, upstream);
      relay(upstream, socket);
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    credentials = {
      server: `https://127.0.0.1:${portOf(proxy.address())}`,
      headers: { authorization: 'Bearer very-secret-token' },
      tls: { ca: ca.certPem },
      proxyUrl: undefined,
    };
  });

  beforeEach(() => {
    connections = 0;
    silent = false;
    const provider = { current: () => Promise.resolve(credentials), reload: () => false };
    client = new KubeClient(new Transport({ credentials: provider, userAgent: 'test' }), 'certbound');
  });

  afterEach(() => client.close());

  after(() => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
    server.close();
  });

  const get = (deadlineMs = 10_000): Promise<unknown> =>
    client.get(configMaps, { namespace: 'n', name: 'a' }, { deadlineMs });

  test('many calls share a connection', async () => {
    answer = (stream) => json(stream, 200, map());
    await Promise.all(Array.from({ length: 90 }, () => get()));
    assert.equal(connections, 1);
  });

  test('a connection that died without a word costs one deadline, not every call from then on', async () => {
    answer = (stream) => json(stream, 200, map());
    await get();
    silent = true;
    const error = await failure(get(300));
    assert.deepEqual([error.status, error.reason], [0, 'Timeout']);
    assert.match(error.message, /did not answer within 0.3 s/);
    silent = false;
    await get();
    assert.equal(connections, 2);
  });

  test('a connection whose peer is never heard any more is ended; one that answers PINGs is not', async () => {
    const open = async () => {
      const { hostname: host, port } = new URL(credentials.server);
      const socket = connectTls({ host, port: Number(port), ca: credentials.tls.ca, ALPNProtocols: ['h2'] });
      await once(socket, 'secureConnect');
      socket.on('error', () => undefined);
      endWhenDead(socket, 50);
      return socket;
    };
    const alive = await open();
    const session = connectHttp2(credentials.server, { createConnection: () => alive });
    session.on('error', () => undefined);
    const pings = setInterval(() => session.ping(() => undefined), 20);
    const dead = await open();
    await waitFor(() => dead.destroyed);
    clearInterval(pings);
    assert.ok(!alive.destroyed);
    await waitFor(() => alive.destroyed);
  });

  test('a server that answers only half is bounded by the deadline too', async () => {
    answer = (stream) => {
      stream.respond({ ':status': 200 });
      stream.write('{"metadata":');
    };
    assert.equal((await failure(get(300))).reason, 'Timeout');
  });

  test('Retry-After of 429 and 503 becomes the retry delay', async () => {
    answer = (stream) =>
      json(stream, 429, { kind: 'Status', reason: 'TooManyRequests', message: 'slow down' }, { 'retry-after': '7' });
    const busy = await failure(get());
    assert.deepEqual(busy.retry, { class: 'after', milliseconds: 7000 });
    answer = (stream) => json(stream, 503, { kind: 'Status', details: { retryAfterSeconds: 3 } });
    assert.equal((await failure(get())).retryAfterMs, 3000);
  });

  test('answers that are no Status contribute no text; long messages are cut', async () => {
    answer = (stream) => json(stream, 502, '<html>c2VjcmV0 Bad Gateway</html>');
    const gateway = await failure(get());
    assert.equal(gateway.status, 502);
    assert.ok(!gateway.message.includes('c2VjcmV0'));
    answer = (stream) => json(stream, 422, { kind: 'Status', reason: 'Invalid', message: 'x'.repeat(100_000) });
    assert.ok((await failure(get())).message.length < 1200);
    answer = (stream) => json(stream, 200, '<html>c2VjcmV0</html>');
    const login = await failure(get());
    assert.equal(login.reason, 'NotJSON');
    assert.ok(!login.message.includes('c2VjcmV0'));
  });

  test('a watch that falls silent ends with an error, on a connection that is not used again', async () => {
    answer = (stream) => {
      stream.respond({ ':status': 200 });
      stream.write(`${JSON.stringify({ type: 'ADDED', object: map() })}\n`);
    };
    const query = { resourceVersion: '1', timeoutSeconds: 60, allowWatchBookmarks: true } as const;
    const run = async (): Promise<number> => {
      let seen = 0;
      const options = { signal: new AbortController().signal, inactivityMs: 300 };
      const error = await failure(
        (async () => {
          for await (const event of client.watch(secrets, query, options)) seen += event.type === 'ADDED' ? 1 : 0;
        })(),
      );
      assert.equal(error.reason, 'Timeout');
      return seen;
    };
    assert.equal(await run(), 1);
    assert.equal(await run(), 1);
    assert.equal(connections, 2);
  });

  test('a watch cut in the middle of an event is resumed, and nothing is lost or doubled', async () => {
    const asked: string[] = [];
    answer = (stream, path) => {
      if (!path.includes('watch=true')) return json(stream, 200, { metadata: { resourceVersion: '10' }, items: [] });
      const from = new URL(path, 'https://x').searchParams.get('resourceVersion') ?? '';
      asked.push(from);
      stream.respond({ ':status': 200 });
      if (from === '10') {
        stream.write(`${eventLine(11)}\n${eventLine(12).slice(0, 40)}`);
        setTimeout(() => stream.close(2), 50);
      } else if (from === '11') {
        stream.write(`${eventLine(12)}\n`);
      }
    };
    const abort = new AbortController();
    const informer = new Informer<string>({
      client,
      resource: configMaps,
      project: ({ metadata }) => metadata.resourceVersion,
      backoffMs: 20,
    });
    const told: string[] = [];
    informer.onChange(({ type, current }) => told.push(`${type} ${current}`));
    informer.start(abort.signal);
    await waitFor(() => told.length === 2);
    assert.deepEqual(told, ['added 11', 'modified 12']);
    assert.deepEqual(asked, ['10', '11']);
    abort.abort();
  });

  test('a server that ends every watch at once is not asked in a tight loop', async () => {
    let watches = 0;
    answer = (stream, path) => {
      if (!path.includes('watch=true')) return json(stream, 200, { metadata: { resourceVersion: '10' }, items: null });
      watches += 1;
      stream.respond({ ':status': 200 });
      stream.end();
    };
    const abort = new AbortController();
    const informer = new Informer<string>({ client, resource: configMaps, project: ({ metadata }) => metadata.name });
    informer.start(abort.signal);
    await waitFor(() => watches >= 4);
    assert.equal(informer.hasSynced, true);
    await new Promise((resolve) => {
      setTimeout(resolve, 300);
    });
    // Delays double from 200 ms: the fifth comes after more than a second at the earliest half.
    assert.ok(watches <= 5, `${watches} watches`);
    abort.abort();
  });

  test('a continue token that expired between pages starts the list anew', async () => {
    const pages: string[] = [];
    answer = (stream, path) => {
      if (path.includes('watch=true')) return stream.respond({ ':status': 200 });
      const token = new URL(path, 'https://x').searchParams.get('continue') ?? 'first';
      pages.push(token);
      if (token === 'stale') return json(stream, 410, { kind: 'Status', reason: 'Expired', code: 410 });
      const next = pages.length === 1 ? { continue: 'stale' } : {};
      json(stream, 200, { metadata: { resourceVersion: String(10 + pages.length), ...next }, items: [map()] });
    };
    const abort = new AbortController();
    const informer = new Informer<string>({
      client,
      resource: configMaps,
      project: ({ metadata }) => metadata.name,
      backoffMs: 20,
    });
    informer.start(abort.signal);
    await informer.synced;
    assert.deepEqual(pages, ['first', 'stale', 'first']);
    abort.abort();
  });
});

function portOf(address: unknown): number {
  if (typeof address === 'object' && address !== null && 'port' in address && typeof address.port === 'number')
    return address.port;
  throw new TypeError('no port');
}

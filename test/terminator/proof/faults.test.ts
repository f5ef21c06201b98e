/** Addresses at which something else answers than a terminator should, or nothing. */
import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:https';
import { after, test } from 'node:test';
import { freePort } from '../../support/free-port.ts';
import { listen, type Listening } from '../../support/listen.ts';
import { createThrowawayCa } from '../../support/throwaway-ca.ts';
import { PROOF_PATH } from '../../../src/terminator/proof/call.ts';
import { liveCa, Prover } from './prover.ts';

const host = 'mtls.example.test';
const ca = await liveCa('CN=Client CA');
const pair = await (await createThrowawayCa('Server CA')).issue({ cn: 'server', dns: ['default.example.test'] });
const servers: Listening[] = [];
const sockets = new Set<Socket>();
after(async () => {
  for (const socket of sockets) socket.destroy();
  await Promise.all(servers.map((server) => server.stop()));
});

async function tcp(handler: (socket: Socket) => void): Promise<number> {
  const server = await listen(
    createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      handler(socket);
    }),
  );
  servers.push(server);
  return server.port;
}

async function https(handler: Parameters<typeof createTlsServer>[1]): Promise<number> {
  const server = await listen(createTlsServer({ cert: pair.certPem, key: pair.keyPem }, handler));
  servers.push(server);
  return server.port;
}

const proverAt = (...ports: number[]): Prover =>
  new Prover({ host, ca, addresses: ports.map((port) => ({ host: '127.0.0.1', port })) });

test('a default server that knows no such host, and answers', async () => {
  const asked: (string | undefined)[] = [];
  const prover = proverAt(
    await https((request, response) => {
      asked.push(`${request.method} ${request.headers.host} ${request.url}`);
      response.writeHead(404).end();
    }),
  );
  assert.equal(await prover.rounds(2), 'ClientAuthenticationNotEnforced');
  assert.deepEqual([...new Set(asked)], [`GET ${host} ${PROOF_PATH}`]);
});

test('a redirect is an answer, and is not followed', async () => {
  let followed = 0;
  const elsewhere = await https(() => (followed += 1));
  const location = `https://127.0.0.1:${elsewhere}/`;
  const prover = proverAt(await https((_request, response) => response.writeHead(302, { location }).end()));
  assert.equal(await prover.rounds(2), 'ClientAuthenticationNotEnforced');
  assert.equal(followed, 0);
});

test('an answer without end is not read to its end', async () => {
  let sent = 0;
  const prover = proverAt(
    await https((_request, response) => {
      response.writeHead(400);
      const more = (): void => {
        for (;;) {
          sent += 65_536;
          if (response.destroyed || !response.write('x'.repeat(65_536))) break;
        }
      };
      response.on('drain', more);
      more();
    }),
  );
  await prover.rounds(1);
  const { port } = servers.at(-1) ?? { port: 0 };
  assert.ok(port > 0 && sent > 0 && sent < 64 * 1024 * 1024, `${sent} bytes were sent`);
});

for (const [what, handler] of [
  ['resets', (socket: Socket) => void socket.resetAndDestroy()],
  ['hangs', () => undefined],
  ['speaks no TLS', (socket: Socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')],
] as const) {
  test(`one that ${what}: nothing is known of it, and it changes nothing`, async () => {
    const prover = proverAt(await tcp(handler));
    const before = performance.now();
    assert.equal(await prover.rounds(2), 'unproved');
    assert.ok(performance.now() - before < 45_000, 'bounded');
    assert.equal(prover.proof().silent, 2);
    assert.deepEqual(prover.changes, []);
  });
}

test('nobody listens, and a name that has no address', async () => {
  assert.equal(await proverAt(await freePort()).rounds(2), 'unproved');
  const nowhere = new Prover({ host, ca, addresses: [{ host: 'nowhere.invalid', port: 443 }] });
  assert.equal(await nowhere.rounds(2), 'unproved');
  assert.match(nowhere.proof().unclear ?? '', /no address/);
});

test('where nothing is configured nobody is asked, and what was known is forgotten', async () => {
  let asked = 0;
  const prover = proverAt(
    await https((_request, response) => {
      asked += 1;
      response.writeHead(404).end();
    }),
  );
  await prover.rounds(2);
  assert.equal(prover.state(), 'disproved');
  const before = asked;
  prover.subject = undefined;
  assert.equal(await prover.look(), undefined);
  assert.equal(prover.state(), 'unproved');
  assert.equal(asked, before);
});

test('a change is asked about once terminators have had their time', async () => {
  let asked = 0;
  const prover = proverAt(
    await https((_request, response) => {
      asked += 1;
      response.writeHead(404).end();
    }),
  );
  const { subject } = prover;
  assert.ok(subject !== undefined);
  prover.subject = { ...subject, settledAt: prover.clock.now() + 20_000 };
  assert.equal(await prover.look(), 20);
  assert.equal(asked, 0);
  prover.clock.advance(20_000);
  await prover.look();
  assert.ok(asked > 0);
});

test('a frontend with terminators of its own is asked there and nowhere else', async () => {
  let asked = 0;
  const port = await https((_request, response) => {
    asked += 1;
    response.writeHead(404).end();
  });
  const own = { 'Gateway identity/mtls': [{ host: '127.0.0.1', port }] };
  const prover = new Prover({ host, ca, addresses: [{ host: '127.0.0.1', port: await freePort() }], own });
  await prover.rounds(1);
  assert.equal(asked, 0);
  const { subject } = prover;
  assert.ok(subject !== undefined);
  prover.subject = { ...subject, frontends: ['Gateway identity/mtls'], basis: 'second' };
  assert.equal(await prover.rounds(2), 'ClientAuthenticationNotEnforced');
  assert.deepEqual([...new Set(prover.proof().doubts.map(({ address }) => address))], [`127.0.0.1:${port}`]);
});

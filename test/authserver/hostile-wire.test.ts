/** What a hostile server can put on the wire below and inside HTTP: a call ends, soon, with an error that says so. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { TlsOptions } from 'node:tls';
import { callServer } from '../../src/authserver/connection/call.ts';
import type { ServerConnection } from '../../src/authserver/connection/connection.ts';
import { OperatorError } from '../../src/errors.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { drip, flood, type RawServer, type Serve, startRawServer } from './raw-server.ts';
import { HOST, lasting } from './servers.ts';

const DEADLINE_MS = 400;
const OK = 'HTTP/1.1 200 OK\r\n';

function ask(connection: ServerConnection, origin: string, method: 'GET' | 'POST', deadlineMs = DEADLINE_MS) {
  const call = { operation: 'read', action: 'try', method, url: `${origin}/x`, deadlineMs } as const;
  return callServer(connection, call, lasting());
}

async function failure(promise: Promise<unknown>): Promise<OperatorError> {
  const error: unknown = await promise.then(
    (value) => `answered ${JSON.stringify(value)}`,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof OperatorError, `expected an OperatorError, got ${String(error)}`);
  return error;
}

describe('a server that misuses HTTP', () => {
  let server: RawServer;
  before(async () => {
    server = await startRawServer();
  });
  after(() => server?.stop());

  const send =
    (bytes: string): Serve =>
    (socket) =>
      socket.end(bytes);

  /** What comes of a read and of a write, each on a connection of its own. */
  const misuses: [string, Serve, RegExp, [string, string]][] = [
    ['drips its header', (s) => drip(s, 'x', `${OK}a: `), /within 0\.4 s/, ['ServerUnavailable', 'AnswerLost']],
    [
      'drips its status line',
      (s) => drip(s, ' ', 'HTTP/1.1 200'),
      /within 0\.4 s|broke/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    [
      'drips its body',
      (s) => drip(s, ' ', `${OK}content-length: 100000\r\n\r\n`),
      /within 0\.4 s/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    [
      'drips chunks',
      (s) => drip(s, '1\r\n \r\n', `${OK}transfer-encoding: chunked\r\n\r\n`),
      /within 0\.4 s/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    ['drips empty lines', (s) => drip(s, '\r\n'), /within 0\.4 s|broke/, ['ServerUnavailable', 'AnswerLost']],
    [
      'says that it goes on, without end',
      (s) => drip(s, 'HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n'),
      /within 0\.4 s/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    [
      'says that it goes on, as fast as it can',
      (s) => flood(s, 'HTTP/1.1 102 Processing\r\n\r\n'),
      /within 0\.4 s/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    ['has headers without end', (s) => flood(s, 'a: b\r\n', OK), /too large/, ['AnswerInvalid', 'AnswerLost']],
    ['has one header without end', (s) => flood(s, 'x', `${OK}a: `), /too large/, ['AnswerInvalid', 'AnswerLost']],
    ['has a body without end', (s) => flood(s, 'x', `${OK}\r\n`), /larger than 1 MiB/, ['AnswerInvalid', 'AnswerLost']],
    [
      'has chunks without end',
      (s) => flood(s, '4\r\nabcd\r\n', `${OK}transfer-encoding: chunked\r\n\r\n`),
      /larger than 1 MiB/,
      ['AnswerInvalid', 'AnswerLost'],
    ],
    [
      'has a chunk extension without end',
      (s) => flood(s, 'x', `${OK}transfer-encoding: chunked\r\n\r\n1;a=`),
      /within 0\.4 s/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    [
      'has trailers without end',
      (s) => flood(s, 'a: b\r\n', `${OK}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n`),
      /too large/,
      ['AnswerInvalid', 'AnswerLost'],
    ],
    [
      'ends before its body does',
      send(`${OK}content-length: 9\r\n\r\n{}`),
      /broke before/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    ['speaks HTTP/2', send('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), /broke before/, ['ServerUnavailable', 'AnswerLost']],
    [
      'speaks something else',
      send('220 mail.example.test ESMTP\r\n'),
      /broke before/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    [
      'switches protocols',
      send('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n{}'),
      /broke before/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    [
      'has two lengths',
      send(`${OK}content-length: 2\r\ncontent-length: 3\r\n\r\n{} `),
      /broke before/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    [
      'has a length and chunks',
      send(`${OK}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`),
      /broke before/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    [
      'has a length below zero',
      send(`${OK}content-length: -1\r\n\r\n{}`),
      /broke before/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    [
      'has a NUL in a header',
      send(`${OK}a: \0\r\ncontent-length: 2\r\n\r\n{}`),
      /broke before/,
      ['ServerUnavailable', 'AnswerLost'],
    ],
    ['says nothing at all', () => undefined, /within 0\.4 s/, ['ServerUnavailable', 'AnswerLost']],
  ];
  for (const [what, how, says, codes] of misuses) {
    test(what, async () => {
      server.serve(how);
      const earlier = server.written;
      // Where something else ends it than time, that has all the time it needs.
      const deadlineMs = says.source.includes('within') ? DEADLINE_MS : 60_000;
      for (const [i, method] of (['GET', 'POST'] as const).entries()) {
        const error = await failure(ask(server.connection(), server.origin, method, deadlineMs));
        assert.equal(error.code, codes[i], error.message);
        assert.match(error.message, says);
      }
      // What it could get rid of before we hung up. Of interim answers and chunk extensions nothing is kept.
      if (!/as fast|extension/.test(what))
        assert.ok(server.written - earlier < 32 * 1024 * 1024, `${server.written - earlier} bytes`);
    });
  }

  const fine: [string, string][] = [
    ['an interim answer first', `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${OK}content-length: 2\r\n\r\n{}`],
    ['a hundred of them', `${'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(100)}${OK}content-length: 2\r\n\r\n{}`],
    ['trailers', `${OK}transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nretry-after: 9\r\n\r\n`],
    ['no length', `${OK}\r\n{}`],
  ];
  for (const [what, bytes] of fine) {
    test(`is understood with ${what}`, async () => {
      server.serve(send(bytes));
      for (const method of ['GET', 'POST'] as const) {
        const answer = await ask(server.connection(), server.origin, method, 10_000);
        assert.deepEqual([answer.status, answer.json, answer.retryAfterMs], [200, {}, undefined]);
      }
    });
  }
});

describe('a server whose TLS is wrong', () => {
  const leaf =
    (request: Parameters<ThrowawayCa['issue']>[0]) =>
    (ca: ThrowawayCa): Promise<KeyPairPem> =>
      ca.issue(request);
  const right = { cn: HOST, dns: [HOST] };
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  const wrongs: [string, TlsOptions, (ca: ThrowawayCa) => Promise<KeyPairPem>, RegExp][] = [
    [
      'another host’s certificate',
      {},
      leaf({ cn: HOST, dns: ['other.example.test'] }),
      /not trusted \(ERR_TLS_CERT_ALTNAME_INVALID\)/,
    ],
    ['one that has expired', {}, leaf({ ...right, days: -1 }), /not trusted \(CERT_HAS_EXPIRED\)/],
    [
      'another CA’s',
      {},
      async () => (await createThrowawayCa('Other CA')).issue(right),
      /not trusted \([A-Z_]+\): put the CA/,
    ],
    ['a client’s', {}, leaf({ ...right, serverAuth: false, clientAuth: true }), /not trusted \(INVALID_PURPOSE\)/],
    ['TLS 1.1 and no later', old, leaf(right), /ended the TLS handshake/],
    ['HTTP/2 alone', { ALPNProtocols: ['h2'] }, leaf(right), /ended the TLS handshake/],
  ];
  for (const [what, options, certify, says] of wrongs) {
    test(`${what}: nothing is sent there`, async () => {
      const server = await startRawServer(options, certify);
      let heard = 0;
      server.serve((socket) => {
        heard += 1;
        socket.end(`${OK}content-length: 2\r\n\r\n{}`);
      });
      try {
        for (const method of ['GET', 'POST'] as const) {
          const error = await failure(ask(server.connection(), server.origin, method, 10_000));
          assert.equal(error.code, 'ServerUnavailable', 'nothing was carried out');
          assert.match(error.message, says);
        }
        assert.equal(heard, 0);
      } finally {
        await server.stop();
      }
    });
  }
});

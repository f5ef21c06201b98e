/** What a hostile server can say in well-formed HTTP: nothing of it is believed, kept or shown that must not be. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { clientMetadata, echoViolations } from '../../src/authserver/registration/client-metadata.ts';
import { discover } from '../../src/authserver/discovery.ts';
import type { ClientMetadata, RegistrationHandle } from '../../src/authserver/driver.ts';
import { dynamicRegistration } from '../../src/authserver/registration/dynamic-registration.ts';
import { quotable, WITHHELD } from '../../src/authserver/connection/server-text.ts';
import { parseDn } from '../../src/x509/dn.ts';
import { OperatorError } from '../../src/errors.ts';
import { access, type Handler, json, lasting, type ScriptedServer, startScriptedServer } from './servers.ts';

let server: ScriptedServer;
before(async () => {
  server = await startScriptedServer();
});
after(() => server?.stop());

const body =
  (status: number, text: string | Buffer, headers: Record<string, string> = {}): Handler =>
  (_request, response) =>
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);

const asked: ClientMetadata = { token_endpoint_auth_method: 'tls_client_auth', client_name: 'a/b/c' };
const answered = (more: Record<string, unknown> = {}) => ({
  client_id: 'c',
  registration_access_token: 'registration-token',
  registration_client_uri: `${server.origin}/reg/c`,
  ...asked,
  ...more,
});
const handle = (): RegistrationHandle => ({
  clientId: 'c',
  registrationClientUri: `${server.origin}/reg/c`,
  registrationAccessToken: 'stored-registration-token-SECRET',
  lastAnswer: {},
});
const create = () => dynamicRegistration.create(access(server.connection()), asked);
const read = () => dynamicRegistration.read(access(server.connection()), handle());

async function failure(promise: Promise<unknown>): Promise<OperatorError> {
  const error: unknown = await promise.then(
    (value) => `answered ${JSON.stringify(value).slice(0, 200)}`,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof OperatorError, `expected an OperatorError, got ${String(error)}`);
  return error;
}

describe('JSON that is made to break its reader', () => {
  const nested = (open: string, close: string, depth: number) => `${open.repeat(depth)}1${close.repeat(depth)}`;
  const bombs: [string, () => string | Buffer][] = [
    ['lists in lists', () => `{"client_id":"c","x":${nested('[', ']', 200_000)}}`],
    ['objects in objects', () => `{"client_id":"c","x":${nested('{"a":', '}', 100_000)}}`],
    ['lists without end', () => '['.repeat(1_000_000)],
    ['an ID of a megabyte', () => JSON.stringify({ client_id: 'c'.repeat(1_000_000) })],
    ['200 KB of members', () => JSON.stringify(answered({ x: 'y'.repeat(200_000) }))],
    [
      '50,000 members',
      () => JSON.stringify(answered(Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`m${i}`, i])))),
    ],
    [
      'text that is no UTF-8',
      () => Buffer.concat([Buffer.from('{"client_id":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]),
    ],
    ['a NUL', () => '{"client_id":"c\0"}'],
    ['two documents', () => `${JSON.stringify(answered())}${JSON.stringify(answered())}`],
    ['compressed, though nobody asked for it', () => gzipSync(JSON.stringify(answered()))],
    ['what becomes a gigabyte', () => gzipSync(Buffer.alloc(64 * 1024 * 1024, 'x'))],
  ];
  for (const [what, text] of bombs) {
    test(`${what}: AnswerInvalid`, async () => {
      const bytes = text();
      server.answer(body(201, bytes, Buffer.isBuffer(bytes) ? { 'content-encoding': 'gzip' } : {}));
      const error = await failure(create());
      assert.equal(error.code, 'AnswerInvalid', error.message);
      assert.ok(error.message.length < 1_000);
    });
  }

  test('is read to the depth that metadata has, brackets in strings not counted', async () => {
    const more = { jwks: { keys: [{ x5c: ['[[[{{{"\\'.repeat(50)] }] }, deep: JSON.parse(nested('[', ']', 60)) };
    server.answer(json(201, answered(more)));
    const { metadata } = await create();
    assert.deepEqual([metadata['jwks'], metadata['deep']], [more.jwks, more.deep]);
  });

  test('cannot say by a prototype what it does not say itself', async () => {
    const lie =
      '"__proto__":{"token_endpoint_auth_method":"tls_client_auth","polluted":true},"constructor":1,"toString":2';
    server.answer(body(201, `{"client_id":"c",${lie}}`));
    const { metadata } = await create();
    assert.deepEqual(
      echoViolations(asked, metadata).map(({ member }) => member),
      ['token_endpoint_auth_method'],
    );
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  });

  test('says of a member that it has twice what it says last, and that is compared', async () => {
    const twice = '"token_endpoint_auth_method":"tls_client_auth","token_endpoint_auth_method":"none"';
    server.answer(body(201, `{"client_id":"c",${twice}}`));
    const { metadata } = await create();
    assert.equal(echoViolations(asked, metadata)[0]?.answered, 'none');
  });

  for (const type of ['text/html', 'application/octet-stream', 'image/png; charset=x', '']) {
    test(`is JSON whatever it calls itself: ${type}`, async () => {
      server.answer(body(201, JSON.stringify(answered()), { 'content-type': type }));
      assert.equal((await create()).clientId, 'c');
    });
  }

  test('is no metadata where it is none', async () => {
    for (const bytes of [nested('[', ']', 200_000), 'null', '"x"', '[]', '{', `{"issuer":${nested('[', ']', 1000)}}`]) {
      server.answer(body(200, bytes));
      const error = await failure(discover(server.connection(), { issuer: server.origin }, lasting()));
      assert.equal(error.code, 'DiscoveryFailed');
      assert.ok(error.message.length < 1_000, error.message);
    }
  });
});

describe('a server that registers something else', () => {
  const identity = {
    parameter: 'tls_client_auth_subject_dn',
    value: 'CN=a,O=b',
    canonical: 'x',
    subject: { dn: parseDn('CN=a,O=b') },
  } as const;
  const wanted = (method: 'tls_client_auth' | 'self_signed_tls_client_auth', keySetUri?: string) =>
    clientMetadata({
      method,
      identity,
      keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', kid: 'mine', x5c: ['AAAA'], 'x5t#S256': 'mine' }],
      keySetUri,
      clientName: undefined,
      marker: 'a/b/c',
      grantTypes: ['client_credentials'],
      responseTypes: [],
      redirectURIs: [],
      scope: 'read',
    });
  /** Of each of our members all that a server might make of it. */
  const downgrades: Record<string, unknown[]> = {
    token_endpoint_auth_method: [
      'none',
      'client_secret_basic',
      'private_key_jwt',
      undefined,
      null,
      ['tls_client_auth'],
    ],
    tls_client_auth_subject_dn: ['CN=admin', 'CN=a', 'CN=a,O=b,O=c', '*', '', undefined, `CN=${'a,'.repeat(50_000)}`],
    tls_client_auth_san_dns: ['*.example.test'],
    tls_client_auth_san_uri: ['urn:a'],
    tls_client_auth_san_ip: ['0.0.0.0'],
    tls_client_auth_san_email: ['a@example.test'],
    tls_client_certificate_bound_access_tokens: [false, 'true', 1, null, undefined],
    grant_types: [['client_credentials', 'password'], [], undefined, 'client_credentials', [['client_credentials']]],
    response_types: [['token'], ['code']],
    redirect_uris: [['https://evil.example/']],
    scope: ['read write', 'READ', '', undefined, ['read']],
    jwks: [{ keys: [{ kty: 'EC', kid: 'theirs', x5c: ['BBBB'] }] }],
    jwks_uri: ['https://evil.example/keys'],
    client_name: ['another/cluster/client', 1],
  };
  for (const [member, values] of Object.entries(downgrades)) {
    test(`${member} is seen in the echo, whatever it became`, async () => {
      const request = wanted('tls_client_auth');
      for (const value of values) {
        server.answer(json(201, { client_id: 'c', ...request, [member]: value }));
        const { metadata } = await dynamicRegistration.create(access(server.connection()), request);
        const found = echoViolations(request, metadata).map((violation) => violation.member);
        assert.deepEqual(found, [member], JSON.stringify(value)?.slice(0, 100));
      }
    });
  }

  test('the keys of a self-signed client too', async () => {
    const { keys } = Object(wanted('self_signed_tls_client_auth')['jwks']);
    const others = [
      { keys: [] },
      { keys: [...keys, ...keys] },
      { keys: [{ ...keys[0], x5c: ['BBBB'] }] },
      undefined,
      [],
      'x',
    ];
    for (const jwks of others) {
      const request = wanted('self_signed_tls_client_auth');
      server.answer(json(201, { client_id: 'c', ...request, jwks }));
      const { metadata } = await dynamicRegistration.create(access(server.connection()), request);
      assert.deepEqual(
        echoViolations(request, metadata).map(({ member }) => member),
        ['jwks'],
      );
    }
    const byReference = wanted('self_signed_tls_client_auth', 'https://keys.example.test/a');
    for (const uri of ['https://evil.example/a', 'https://keys.example.test/b', undefined]) {
      assert.equal(echoViolations(byReference, { ...byReference, jwks_uri: uri })[0]?.member, 'jwks_uri');
    }
  });
});

describe('a server that rotates tokens on read', () => {
  test('gives the new one with the answer, and it is not lost for what else is wrong with it', async () => {
    server.answer(
      json(200, answered({ registration_access_token: 'rotated', registration_client_uri: 'https://evil.example' })),
    );
    const { registrationAccessToken, registrationClientUri } = await read();
    assert.deepEqual([registrationAccessToken, registrationClientUri], ['rotated', undefined]);
  });
});

describe('what a server says of errors', () => {
  const token = 'stored-registration-token-SECRET';
  const echoes: unknown[] = [
    { error: 'invalid_token', error_description: `no such token: ${token}` },
    { error: token },
    { error: 'x', error_description: encodeURIComponent(token) },
    { error: 'x', error_description: `Bearer ${token.slice(5, 25)}…` },
    { error: 'x', error_description: `${' '.repeat(1_900)}${token}` },
    { error: 'x', error_description: `${'\u200b'.repeat(50)}${token}` },
  ];
  const calls = {
    read,
    update: () => dynamicRegistration.update(access(server.connection()), handle(), asked),
    remove: () => dynamicRegistration.remove(access(server.connection()), handle()),
  };
  for (const [name, call] of Object.entries(calls)) {
    test(`is never shown with the token that was sent: ${name}`, async () => {
      for (const status of [400, 401, 403, 404, 409]) {
        for (const echo of echoes) {
          server.answer(json(status, echo));
          const { message, detail, cause } = await failure(call());
          assert.ok(!`${message}${detail}${String(cause)}`.includes('SECRET'), message);
          assert.ok(!/registration-token/.test(message), message);
        }
      }
    });
  }

  test('is one visible line of bounded length', async () => {
    const texts = [
      'a\r\nHost: evil\r\n\r\n',
      '\u202egnp.exe',
      '\u001b[2J\u001b[31m',
      'x'.repeat(900_000),
      '\ud800',
      '💥'.repeat(500),
    ];
    for (const text of texts) {
      server.answer(json(400, { error: 'invalid_client_metadata', error_description: text }));
      const { message } = await failure(create());
      assert.ok(message.length < 700, `${message.length}`);
      assert.doesNotMatch(message, /[\p{Cc}\p{Cf}]/u);
      assert.equal(message, message.toWellFormed());
    }
  });

  test('takes no longer to read than it has room to be shown, whatever it is made of', () => {
    const secret = randomBytes(8_000).toString('base64url');
    const texts = [
      '-eyJ'.repeat(250_000),
      'eyJaaaaaaaa.'.repeat(80_000),
      secret.repeat(90),
      ' '.repeat(1_000_000),
      '\u200b'.repeat(300_000),
    ];
    const started = process.cpuUsage();
    for (const text of texts) assert.ok(quotable(text, [secret]).length <= 300);
    const { user, system } = process.cpuUsage(started);
    // Of CPU, not of time; a search that grows with the square of a megabyte takes hours.
    assert.ok((user + system) / 1_000_000 < 20, `${(user + system) / 1_000_000} s`);
    assert.equal(quotable(`${'-eyJ'.repeat(100)}eyJhbGciOiJ9.eyJzdWIiOiJ4In0`), WITHHELD);
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OperatorError } from '../src/errors.ts';
import { createLogger, type Logger } from '../src/telemetry.ts';

function logged(write: (logger: Logger) => void): string {
  const lines: string[] = [];
  write(createLogger({ destination: { write: (line) => lines.push(line) } }));
  assert.equal(lines.length, 1);
  return lines[0] ?? '';
}

test('fields that hold keys and tokens are not printed, however deep', () => {
  const line = logged((logger) =>
    logger.info(
      {
        secret: { metadata: { name: 'x' }, data: { 'tls.key': 'KEY-1' } },
        registration_access_token: 'TOKEN-1',
        reply: { registration_access_token: 'TOKEN-2', client: { client_secret: 'TOKEN-3' } },
        request: { headers: { authorization: 'TOKEN-4' } },
        tls: { 'tls.key': 'KEY-2', 'tls-bundle.pem': 'KEY-3' },
        tried: [{ token: 'TOKEN-5' }, { items: [{ password: 'KEY-4' }] }],
        failure: Object.assign(new Error('no'), { body: 'TOKEN-6' }),
        data: { any: 'KEY-5' },
      },
      'seen',
    ),
  );
  assert.ok(!/KEY-|TOKEN-/.test(line), line);
  assert.match(line, /"name":"x"/);
  assert.ok(Array.isArray(JSON.parse(line).tried));
});

test('what is logged stays as it is', () => {
  const reply = { client: { token: 'TOKEN-1' }, at: new Date(0) };
  const line = logged((logger) => logger.info({ reply }, 'seen'));
  assert.equal(reply.client.token, 'TOKEN-1');
  assert.deepEqual(JSON.parse(line).reply, { client: { token: '[redacted]' }, at: '1970-01-01T00:00:00.000Z' });
});

test('a key or a token inside a longer text is taken out', () => {
  const key = '-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA\n-----END EC PRIVATE KEY-----';
  const jwt = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0abc.c2lnbmF0dXJl';
  const line = logged((logger) => logger.error({ text: `before ${key} after` }, `refused ${jwt}, sorry`));
  assert.ok(!line.includes('MHcCAQEEIA') && !line.includes(jwt), line);
  const { text, msg } = JSON.parse(line);
  assert.equal(text, 'before [private key] after');
  assert.equal(msg, 'refused [token], sorry');
  const cut = logged((logger) => logger.error({ text: key.slice(0, 45) }));
  assert.ok(!cut.includes('MHcCAQEEIA'));
});

test('errors print code, message, detail, stack and causes, never what a library hung on them', () => {
  const cause = Object.assign(new Error('socket hang up'), {
    code: 'ECONNRESET',
    config: { key: 'KEY-1' },
    response: 'KEY-2',
  });
  const error = new OperatorError('ServerUnavailable', 'The server is down.', { detail: 'status 502', cause });
  Object.assign(error, { request: 'KEY-3' });
  const line = logged((logger) => logger.warn({ err: error, key: 'payments/batch' }, 'reconcile failed'));
  assert.ok(!line.includes('KEY-'), line);
  const parsed = JSON.parse(line);
  assert.deepEqual(
    [parsed.level, parsed.key, parsed.err.code, parsed.err.message, parsed.err.detail, parsed.err.cause.code],
    ['warn', 'payments/batch', 'ServerUnavailable', 'The server is down.', 'status 502', 'ECONNRESET'],
  );
  assert.match(parsed.err.stack, /telemetry\.test\.ts/);
});

test('what is thrown and no Error does not end the log line', () => {
  for (const thrown of ['text', undefined, null, 7, Object.create(null), { secret: 'KEY-1' }]) {
    const line = logged((logger) => logger.error({ err: thrown }, 'odd'));
    assert.ok(!line.includes('KEY-1'));
  }
  const circular = new Error('round');
  circular.cause = circular;
  assert.match(
    logged((logger) => logger.error(circular)),
    /round/,
  );
});

/** Initial access tokens (RFC 7591 §1.2) and software statements (§2.3), at a server of which the test writes every answer. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { AuthorizationServer } from '../../src/api/authorization-server.ts';
import type { ServerConnection } from '../../src/authserver/connection/connection.ts';
import { readCredentials, type ServerCredentials } from '../../src/authserver/credentials.ts';
import { dynamicRegistration } from '../../src/authserver/registration/dynamic-registration.ts';
import { InitialAccessToken } from '../../src/authserver/registration/initial-access-token.ts';
import { OperatorError } from '../../src/errors.ts';
import {
  access,
  type Handler,
  json,
  lasting,
  type ScriptedServer,
  serverObject,
  startScriptedServer,
} from './servers.ts';

const metadata = { token_endpoint_auth_method: 'tls_client_auth' };
const STATEMENT = 'eyJhbGciOiJFUzI1NiJ9.eyJzb2Z0d2FyZV9pZCI6ImJhdGNoIn0.c2lnbmF0dXJl';

describe('an initial access token', () => {
  let server: ScriptedServer;
  let connection: ServerConnection;
  /** Those that the server takes, each once. */
  let good: Set<string>;

  const registering: Handler = (request, response, body) => {
    const token = request.headers.authorization?.replace('Bearer ', '') ?? '';
    const known = good.delete(token);
    json(known ? 201 : 401, known ? { client_id: token, ...metadata } : { error: 'invalid_token' })(
      request,
      response,
      body,
    );
  };
  const create = (initialAccessToken: string): Promise<string> =>
    dynamicRegistration.create(access(connection, { initialAccessToken }), metadata).then(
      ({ clientId }) => clientId,
      (error: unknown) => (error instanceof OperatorError ? error.code : String(error)),
    );

  before(async () => {
    server = await startScriptedServer();
  });
  after(() => server?.stop());
  beforeEach(() => {
    good = new Set(['first', 'second']);
    connection = server.connection();
    server.answer(registering);
  });

  test('that is good for one registration alone is told from one that is wrong', async () => {
    assert.equal(await create('wrong'), 'RegistrationUnauthorized');
    assert.equal(await create('first'), 'first');
    assert.equal(await create('first'), 'InitialAccessTokenSpent');
    assert.equal(await create('wrong'), 'RegistrationUnauthorized');
    assert.equal(await create('second'), 'second');
  });

  test('is not sent again for every client that waits for the next one', async () => {
    await create('first');
    await create('first');
    const asked = server.requests.length;
    for (let i = 0; i < 5; i++) assert.equal(await create('first'), 'InitialAccessTokenSpent');
    assert.equal(server.requests.length, asked);
    assert.equal(await create('second'), 'second');
  });

  test('is tried again after a minute: what the server had against it may be over', () => {
    const token = new InitialAccessToken(connection, 'static');
    token.used();
    assert.equal(token.refused(1_000)?.code, 'InitialAccessTokenSpent');
    assert.throws(() => token.assertUsable(60_999), { code: 'InitialAccessTokenSpent' });
    token.assertUsable(61_000);
    // A clock that was set back is no reason to wait for longer.
    token.assertUsable(0);
  });

  test('of which the answer was lost is spent', async () => {
    server.answer((request) => {
      good.delete(request.headers.authorization?.replace('Bearer ', '') ?? '');
      request.socket.destroy();
    });
    assert.equal(await create('first'), 'AnswerLost');
    server.answer(registering);
    assert.equal(await create('first'), 'InitialAccessTokenSpent');
  });

  test('that was spent is named with what to do, and never shown', async () => {
    const secret = 'initial-access-token-SECRET';
    good.add(secret);
    await create(secret);
    const credentials: ServerCredentials = { initialAccessToken: secret };
    await assert.rejects(dynamicRegistration.create(access(connection, credentials), metadata), (error) => {
      assert.ok(error instanceof OperatorError);
      assert.match(
        error.message,
        /AuthorizationServer "corporate" was used for a registration before.*put a new one into the Secret/s,
      );
      assert.ok(!JSON.stringify([error.message, error.detail]).includes('SECRET'));
      return true;
    });
  });

  test('none: what a server refuses then is no token', async () => {
    server.answer(json(401, {}));
    await assert.rejects(dynamicRegistration.create(access(connection), metadata), {
      code: 'RegistrationUnauthorized',
    });
  });

  test('beside it goes the software statement, which no message repeats', async () => {
    const bodies: unknown[] = [];
    server.answer((request, response, body) => {
      bodies.push(JSON.parse(body));
      const error = { error: 'unapproved_software_statement', error_description: `not ${STATEMENT}` };
      json(400, error)(request, response, body);
    });
    const credentials: ServerCredentials = { initialAccessToken: 'first', softwareStatement: STATEMENT };
    await assert.rejects(dynamicRegistration.create(access(connection, credentials), metadata), (error) => {
      assert.ok(error instanceof OperatorError);
      assert.equal(error.code, 'RegistrationRefused');
      assert.ok(!JSON.stringify([error.message, error.detail]).includes('c2lnbmF0dXJl'));
      return true;
    });
    assert.deepEqual(bodies, [{ ...metadata, software_statement: STATEMENT }]);
  });
});

describe('credentials of a server', () => {
  const spec = (dynamic: AuthorizationServer['spec']['dynamicRegistration']) => ({
    spec: { ...serverObject({ issuer: 'https://as.example' }).spec, dynamicRegistration: dynamic },
  });
  const read = (value: string | undefined, dynamic: AuthorizationServer['spec']['dynamicRegistration']) =>
    readCredentials(() => Promise.resolve(value), spec(dynamic), lasting());
  const softwareStatementSecretRef = { name: 'statement', key: 'jwt' };

  test('are read where they are referred to', async () => {
    assert.deepEqual(await read('x', {}), { initialAccessToken: undefined, softwareStatement: undefined });
    assert.equal((await read(STATEMENT, { softwareStatementSecretRef })).softwareStatement, STATEMENT);
  });

  for (const value of ['', 'not a JWT', 'a.b', `${STATEMENT}.more`, '{"software_id":"x"}']) {
    test(`${JSON.stringify(value)} is no software statement`, async () => {
      await assert.rejects(read(value, { softwareStatementSecretRef }), {
        code: 'CredentialInvalid',
        message:
          /Key "jwt" of Secret "statement" in the operator's namespace is no signed JWT .*put the software statement there/,
      });
    });
  }

  test('that are not there are asked for', async () => {
    await assert.rejects(read(undefined, { softwareStatementSecretRef }), {
      code: 'CredentialMissing',
      message:
        /There is no key "jwt" in Secret "statement" in the operator.s namespace: put the software statement there/,
    });
  });
});

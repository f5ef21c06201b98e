/** What a hostile or broken server can do to a call: nothing but an error that says so. */
import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { callServer } from '../../src/authserver/connection/call.ts';
import { ServerConnection } from '../../src/authserver/connection/connection.ts';
import { ServerConnections } from '../../src/authserver/connection/connections.ts';
import type { ServerCredentials } from '../../src/authserver/credentials.ts';
import { discover } from '../../src/authserver/discovery.ts';
import { dynamicRegistration } from '../../src/authserver/registration/dynamic-registration.ts';
import { echoViolations } from '../../src/authserver/registration/client-metadata.ts';
import type { RegistrationHandle } from '../../src/authserver/driver.ts';
import { OperatorError } from '../../src/errors.ts';
import { createMetrics } from '../../src/metrics.ts';
import { freePort } from '../support/free-port.ts';
import { listen } from '../support/listen.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import {
  type Handler,
  HOST,
  json,
  lasting,
  type ScriptedServer,
  serverObject,
  startScriptedServer,
  access,
} from './servers.ts';

let server: ScriptedServer;
let connection: ServerConnection;
before(async () => {
  server = await startScriptedServer();
  connection = server.connection();
});
after(() => server?.stop());

async function failure(promise: Promise<unknown>): Promise<OperatorError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof OperatorError, `expected an OperatorError, got ${String(error)}`);
  return error;
}

function ask(method: 'GET' | 'POST', deadlineMs?: number, of = connection) {
  return callServer(of, { operation: 'read', action: 'try', method, url: `${server.origin}/x`, deadlineMs }, lasting());
}
const codes = async (handler: Handler, deadlineMs?: number): Promise<string[]> => {
  server.answer(handler);
  // Each time a new one: after some failures in a row nothing would be sent.
  const outcome = async (method: 'GET' | 'POST') => (await failure(ask(method, deadlineMs, server.connection()))).code;
  return [await outcome('GET'), await outcome('POST')];
};

const giant: Handler = (_request, response) => {
  response.writeHead(200);
  const more = (): void => {
    while (!response.destroyed && response.write('x'.repeat(65_536)));
    if (!response.destroyed) response.once('drain', more);
  };
  more();
};
const slow: Handler = (_request, response) => {
  response.writeHead(200);
  const timer = setInterval(() => response.write(' '), 20);
  response.on('close', () => clearInterval(timer));
};
const cut: Handler = (request, response) => {
  response.writeHead(201, { 'content-length': '100' });
  response.write('{"client_id":', () => request.socket.destroy());
};

describe('a call to a server', () => {
  test('is answered', async () => {
    server.answer(json(200, { a: 1 }));
    assert.deepEqual((await ask('GET')).json, { a: 1 });
    assert.deepEqual((await ask('POST')).json, { a: 1 });
  });

  test('follows no redirect and shows no more of it than its origin', async () => {
    const location = 'https://evil.example/steal?token=SECRET';
    for (const status of [301, 302, 303, 307, 308]) {
      server.answer(json(status, {}, { location }));
      for (const method of ['GET', 'POST'] as const) {
        const error = await failure(ask(method));
        assert.equal(error.code, 'AnswerInvalid');
        assert.match(error.message, /https:\/\/evil\.example,/);
        assert.ok(!`${error.message}${error.detail}`.includes('SECRET'));
      }
      assert.equal(server.requests.length, 2);
    }
    server.answer(json(302, {}));
    assert.match((await failure(ask('GET'))).message, /nowhere/);
  });

  test('takes no giant body', async () => {
    assert.deepEqual(await codes(giant), ['AnswerInvalid', 'AnswerLost']);
  });

  test('takes no giant header', async () => {
    const [get] = await codes(json(200, {}, { giant: 'x'.repeat(100_000) }));
    assert.equal(get, 'AnswerInvalid');
  });

  test('waits for no slow body', async () => {
    assert.deepEqual(await codes(slow, 300), ['ServerUnavailable', 'AnswerLost']);
  });

  test('waits for no silent server', async () => {
    assert.deepEqual(await codes(() => undefined, 300), ['ServerUnavailable', 'AnswerLost']);
  });

  test('knows that a write may have been carried out when the connection breaks', async () => {
    assert.deepEqual(await codes((request) => request.socket.destroy()), ['ServerUnavailable', 'AnswerLost']);
    assert.deepEqual(await codes(cut), ['ServerUnavailable', 'AnswerLost']);
  });

  test('knows that an error may hide what was done, unless it says that nothing was', async () => {
    assert.deepEqual(await codes(json(502, {})), ['ServerUnavailable', 'AnswerLost']);
    assert.deepEqual(await codes(json(504, {})), ['ServerUnavailable', 'AnswerLost']);
    assert.deepEqual(await codes(json(503, {})), ['ServerUnavailable', 'ServerUnavailable']);
    assert.deepEqual(await codes(json(500, {})), ['ServerUnavailable', 'AnswerLost']);
    assert.deepEqual(await codes(json(429, {})), ['ServerUnavailable', 'ServerUnavailable']);
  });

  test('waits as long as it is told to, within reason', async () => {
    const retry = async () => (await failure(ask('POST', undefined, server.connection()))).retry;
    server.answer(json(429, {}, { 'retry-after': '7' }));
    assert.deepEqual(await retry(), { class: 'after', milliseconds: 7000 });
    server.answer(json(503, {}, { 'retry-after': '999999999' }));
    assert.deepEqual(await retry(), { class: 'after', milliseconds: 3_600_000 });
  });

  test('sends nothing to a server that it cannot authenticate', async () => {
    server.answer(json(200, {}));
    const other = await createThrowawayCa('Other CA');
    const hosts = [{ host: HOST, addresses: ['127.0.0.1'] }];
    const wrongCa = new ServerConnection(
      serverObject({ issuer: server.origin, caBundle: other.certPem, connectTo: hosts }),
    );
    const systemCa = new ServerConnection(serverObject({ issuer: server.origin, connectTo: hosts }));
    for (const untrusting of [wrongCa, systemCa]) {
      const error = await failure(ask('POST', undefined, untrusting));
      assert.equal(error.code, 'ServerUnavailable');
      assert.match(error.message, /caBundle/);
      await untrusting.close();
    }
    const wrongName = new ServerConnection(
      serverObject({
        issuer: server.origin,
        caBundle: server.ca.certPem,
        connectTo: [{ host: 'other.example.test', addresses: ['127.0.0.1'] }],
      }),
    );
    const { port } = new URL(server.origin);
    const url = `https://other.example.test:${port}/x`;
    const error = await failure(
      callServer(wrongName, { operation: 'read', action: 'try', method: 'POST', url }, lasting()),
    );
    assert.match(error.message, /ERR_TLS_CERT_ALTNAME_INVALID/);
    await wrongName.close();
    assert.deepEqual(server.requests, []);
  });

  test('that could not connect was not carried out', async () => {
    const url = `https://${HOST}:${await freePort()}/x`;
    const error = await failure(
      callServer(connection, { operation: 'read', action: 'try', method: 'POST', url }, lasting()),
    );
    assert.equal(error.code, 'ServerUnavailable');
    assert.match(error.message, /refused the connection/);
  });

  test('that nobody takes has a deadline, and was not carried out', async () => {
    const sockets: Socket[] = [];
    const silent = await listen(createServer((socket) => sockets.push(socket.on('error', () => undefined))));
    const { port } = silent;
    const url = `https://${HOST}:${port}/x`;
    const error = await failure(
      callServer(connection, { operation: 'read', action: 'try', method: 'POST', url, deadlineMs: 200 }, lasting()),
    );
    assert.equal(error.code, 'ServerUnavailable');
    assert.match(error.message, /within 0\.2 s/);
    for (const socket of sockets) socket.destroy();
    await silent.stop();
  });

  test('ends when it is cancelled', async () => {
    const stop = new AbortController();
    server.answer(() => stop.abort());
    const call = { operation: 'read', action: 'try', method: 'POST', url: `${server.origin}/x` } as const;
    assert.equal((await failure(callServer(connection, call, stop.signal))).code, 'Cancelled');
    assert.equal((await failure(callServer(connection, call, stop.signal))).code, 'Cancelled');
  });

  test('a write never goes out on a connection that was used before', async () => {
    const ports: (number | undefined)[] = [];
    server.answer((request, response) => {
      ports.push(request.socket.remotePort);
      response.end('{}');
    });
    for (let i = 0; i < 20; i++) await ask('GET');
    const reading = new Set(ports.splice(0));
    assert.ok(reading.size < 20, 'reads share connections');
    for (let i = 0; i < 4; i++) await ask('POST');
    assert.equal(new Set(ports).size, 4);
    assert.ok(ports.every((port) => !reading.has(port)));
  });
});

describe('every call is counted', () => {
  const metrics = createMetrics();
  let counted: ServerConnection;
  before(() => {
    counted = server.connection({}, { metrics: metrics.serverCalls });
  });

  const count = async (outcome: string) => {
    const found = (await metrics.registry.getSingleMetric('certbound_authorizationserver_requests_total')?.get())
      ?.values;
    const labels = { authorization_server: 'corporate', operation: 'read', outcome };
    return found?.find((one) => isDeepStrictEqual(one.labels, labels))?.value ?? 0;
  };
  /** Asks once, whatever comes of it. */
  const counts = async (outcome: string, work: () => Promise<unknown>) => {
    const earlier = await count(outcome);
    await work().catch(() => undefined);
    assert.equal(await count(outcome), earlier + 1, outcome);
  };

  const answers: [string, Handler][] = [
    ['2xx', json(200, {})],
    ['3xx', json(302, {}, { location: '/' })],
    ['4xx', json(404, {})],
    ['5xx', json(503, {})],
    ['other', json(799, {})],
    ['size', giant],
    ['broken', cut],
    ['deadline', () => undefined],
  ];
  for (const [outcome, handler] of answers) {
    test(`by its answer or the lack of one: ${outcome}`, async () => {
      server.answer(handler);
      for (const method of ['GET', 'POST'] as const) {
        await counts(outcome, () => ask(method, outcome === 'deadline' ? 200 : undefined, counted));
      }
    });
  }

  test('where nothing could be sent', async () => {
    const to = (url: string) => () =>
      callServer(counted, { operation: 'read', action: 'try', method: 'POST', url }, lasting());
    await counts('unconnected', to(`https://${HOST}:${await freePort()}/x`));
    await counts('unresolved', to('https://no-such-host.invalid/x'));
    await counts('untrusted', to(server.origin.replace(HOST, '127.0.0.1')));
  });

  test('where nobody waits for it any more', async () => {
    const stop = new AbortController();
    server.answer(() => stop.abort());
    const call = { operation: 'read', action: 'try', method: 'POST', url: `${server.origin}/x` } as const;
    await counts('cancelled', () => callServer(counted, call, stop.signal));
  });

  test('and not where it may not be sent', async () => {
    const refusing = server.connection({}, { metrics: metrics.serverCalls, fence: () => assert.fail('fenced') });
    const all = () => metrics.registry.getSingleMetricAsString('certbound_authorizationserver_requests_total');
    const earlier = await all();
    for (const method of ['GET', 'POST'] as const) await assert.rejects(ask(method, undefined, refusing), /fenced/);
    assert.equal(await all(), earlier);
  });

  test('under the operation that it is', async () => {
    const { registry, serverCalls } = createMetrics();
    const client = server.connection({}, { metrics: serverCalls });
    server.answer(json(400, {}));
    await discover(client, { issuer: server.origin }, lasting()).catch(() => undefined);
    await failure(dynamicRegistration.create(access(client), {}));
    await failure(dynamicRegistration.read(access(client), handle()));
    await failure(dynamicRegistration.update(access(client), handle(), {}));
    await failure(dynamicRegistration.remove(access(client), handle()));
    const labels = (operation: string) => `authorization_server="corporate",operation="${operation}"`;
    const lines = (await registry.metrics()).split('\n').filter((line) => line.includes('_requests_total{'));
    assert.deepEqual(
      lines,
      [
        ['discover', 2],
        ['register', 1],
        ['read', 1],
        ['update', 1],
        ['remove', 1],
      ].map(
        ([operation, times]) =>
          `certbound_authorizationserver_requests_total{${labels(String(operation))},outcome="4xx"} ${times}`,
      ),
    );
    const durations = await registry.getSingleMetricAsString('certbound_authorizationserver_request_duration_seconds');
    assert.match(durations, new RegExp(`duration_seconds_count{${labels('discover')}} 2`));
  });
});

describe('connections', () => {
  test('are shared until something changes', async () => {
    const connections = new ServerConnections();
    const object = serverObject({ issuer: server.origin });
    const first = connections.to(object);
    assert.equal(connections.to(serverObject({ issuer: server.origin })), first);
    assert.notEqual(connections.to(serverObject({ issuer: server.origin, caBundle: server.ca.certPem })), first);
    await connections.close();
  });
});

const serverMetadata = (issuer = server.origin) => ({ issuer, token_endpoint: `${server.origin}/token` });
const look = () => discover(connection, { issuer: server.origin }, lasting());

describe('discovery', () => {
  test('falls back to the document of OpenID Connect, whatever stands at the first place', async () => {
    for (const first of [json(404, {}), json(200, 'x'), json(500, {}), json(302, {}, { location: '/' })]) {
      server.answer((request, response, body) => {
        const openid = request.url === '/.well-known/openid-configuration';
        (openid ? json(200, serverMetadata()) : first)(request, response, body);
      });
      assert.equal((await look()).endpoints.tokenEndpoint, `${server.origin}/token`);
    }
  });

  const metadata = (more: Record<string, string> = {}) => ({
    issuer: server.origin,
    token_endpoint: `${server.origin}/token`,
    ...more,
  });
  const registration_endpoint = () => `${server.origin}/connect/register`;

  test('takes the registration endpoint from where it is named, and all else from the first document', async () => {
    server.answer((request, response, body) =>
      json(
        200,
        request.url?.includes('openid') === true
          ? metadata({ token_endpoint: `${server.origin}/other`, registration_endpoint: registration_endpoint() })
          : metadata(),
      )(request, response, body),
    );
    const { endpoints } = await discover(connection, { issuer: server.origin }, lasting());
    assert.deepEqual(endpoints, {
      tokenEndpoint: `${server.origin}/token`,
      registrationEndpoint: registration_endpoint(),
    });
    server.answer(json(200, metadata({ registration_endpoint: registration_endpoint() })));
    await discover(connection, { issuer: server.origin }, lasting());
    assert.equal(server.requests.length, 1, 'the first document said it all');
  });

  test('is content with the first document, whatever stands at the second place', async () => {
    for (const second of [
      json(404, {}),
      json(500, {}),
      json(200, metadata({ issuer: 'https://other.example' })),
      json(200, {}),
    ]) {
      server.answer((request, response, body) =>
        (request.url?.includes('openid') === true ? second : json(200, metadata()))(request, response, body),
      );
      const { endpoints } = await discover(connection, { issuer: server.origin }, lasting());
      assert.deepEqual(endpoints, { tokenEndpoint: `${server.origin}/token` });
    }
  });

  test('tells a fault from a wrong answer', async () => {
    server.answer(json(503, {}));
    assert.equal((await failure(look())).code, 'ServerUnavailable');
    server.answer((_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'));
    assert.equal((await failure(look())).code, 'DiscoveryFailed');
    server.answer(json(200, serverMetadata('https://other.example')));
    assert.equal((await failure(look())).code, 'IssuerMismatch');
  });
});

const handle = (changed: Partial<RegistrationHandle> = {}): RegistrationHandle => ({
  clientId: 'c',
  registrationClientUri: `${server.origin}/reg/c`,
  registrationAccessToken: 'rat',
  lastAnswer: {},
  ...changed,
});
const remove = () => dynamicRegistration.remove(access(connection), handle());
const attempt = (of: RegistrationHandle) => failure(dynamicRegistration.read(access(connection), of));

describe('registration at a hostile server', () => {
  const metadata = { token_endpoint_auth_method: 'tls_client_auth' };
  const answered = () => ({
    client_id: 'c',
    registration_access_token: 'rat',
    registration_client_uri: `${server.origin}/reg/c`,
    ...metadata,
  });
  const create = (credentials: ServerCredentials = {}) =>
    dynamicRegistration.create(access(connection, credentials), metadata);

  const unusable: [string, Handler][] = [
    ['HTML', (_request, response) => response.writeHead(201, { 'content-type': 'text/html' }).end('<html>')],
    ['truncated JSON', (_request, response) => response.writeHead(201).end('{"client_id":"c","regi')],
    ['no client_id', json(201, { ...metadata })],
    ['a client_id that is no string', json(201, { client_id: { a: 1 } })],
    ['a client_id with control characters', json(201, { client_id: 'c\r\nx: y' })],
    ['a token with a line break', json(201, { client_id: 'c', registration_access_token: 'a\r\nb' })],
    ['a list', json(201, [])],
    ['202', json(202, {})],
  ];
  for (const [name, handler] of unusable) {
    test(`${name}: AnswerInvalid`, async () => {
      server.answer(handler);
      assert.equal((await failure(create())).code, 'AnswerInvalid');
    });
  }

  test('a management URI elsewhere is an error, and gets no token', async () => {
    const thief = await startScriptedServer();
    thief.answer(json(200, answered()));
    const uris = [
      `${thief.origin}/reg/c`,
      server.origin.replace('https:', 'http:'),
      'javascript:1',
      'x',
      `https://u:p@${new URL(server.origin).host}/reg`,
    ];
    for (const uri of uris) {
      server.answer(json(201, { ...answered(), registration_client_uri: uri }));
      assert.equal((await failure(create())).code, 'AnswerInvalid');
      const stolen = handle({ registrationClientUri: uri });
      for (const misled of [
        dynamicRegistration.read(access(connection), stolen),
        dynamicRegistration.update(access(connection), stolen, metadata),
        dynamicRegistration.remove(access(connection), stolen),
      ]) {
        assert.equal((await failure(misled)).code, 'AnswerInvalid');
      }
    }
    assert.deepEqual(thief.requests, []);
    await thief.stop();
  });

  test('an update that names another management URI keeps the old one, and its new token is not lost', async () => {
    const answer = {
      ...answered(),
      registration_access_token: 'new',
      registration_client_uri: 'https://evil.example/c',
    };
    server.answer(json(200, answer));
    const updated = await dynamicRegistration.update(access(connection), handle(), metadata);
    assert.equal(updated.registrationAccessToken, 'new');
    assert.equal(updated.registrationClientUri, undefined);
  });

  test("another client's metadata is no answer", async () => {
    server.answer(json(200, { ...answered(), client_id: 'other' }));
    assert.equal((await failure(dynamicRegistration.read(access(connection), handle()))).code, 'AnswerInvalid');
  });

  test('a silent downgrade is seen in the echo', async () => {
    server.answer(json(201, { ...answered(), token_endpoint_auth_method: 'client_secret_basic', client_secret: 's' }));
    const registration = await create();
    assert.deepEqual(
      echoViolations(metadata, registration.metadata).map(({ member }) => member),
      ['token_endpoint_auth_method'],
    );
  });

  test('the server is quoted, but never with the token that we sent', async () => {
    const token = 'initial-access-token-SECRET';
    server.answer((request, response, body) => {
      assert.equal(request.headers.authorization, `Bearer ${token}`);
      json(401, { error: 'invalid_token', error_description: `bad ${token}` })(request, response, body);
    });
    const refused = await failure(create({ initialAccessToken: token }));
    assert.equal(refused.code, 'RegistrationUnauthorized');
    assert.ok(!JSON.stringify([refused.message, refused.detail]).includes('SECRET'));
    server.answer(json(400, { error: 'invalid_redirect_uri', error_description: 'not\u001b[31m ours' }));
    const error = await failure(create({ initialAccessToken: token }));
    assert.equal(error.code, 'RegistrationRefused');
    assert.match(error.message, /invalid_redirect_uri: not \[31m ours/);
  });

  test('a deletion is over when the server says so, and only then', async () => {
    for (const status of [204, 200]) {
      server.answer((_request, response) => response.writeHead(status).end());
      await remove();
    }
    server.answer(json(200, {}));
    await remove();
    server.answer((_request, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'));
    assert.equal((await failure(remove())).code, 'AnswerInvalid', 'the page of a gateway is no removal');
    const outcomes = {
      401: 'RegistrationUnauthorized',
      403: 'RegistrationUnauthorized',
      404: 'RegistrationUnauthorized',
      405: 'DeletionUnsupported',
      500: 'AnswerLost',
      202: 'AnswerInvalid',
    };
    for (const [status, expected] of Object.entries(outcomes)) {
      server.answer(json(Number(status), {}));
      assert.equal((await failure(remove())).code, expected, status);
    }
  });

  test('a deletion that is not found of a client that is there can’t be had', async () => {
    server.answer((request, response, body) =>
      json(request.method === 'DELETE' ? 404 : 200, answered())(request, response, body),
    );
    assert.equal((await failure(remove())).code, 'DeletionUnsupported');
    server.answer((request, response, body) =>
      json(request.method === 'DELETE' ? 404 : 503, {})(request, response, body),
    );
    assert.equal((await failure(remove())).code, 'ServerUnavailable', 'nobody knows');
  });

  test('without a management URI or a token there is nothing to send', async () => {
    server.answer(json(200, answered()));
    for (const missing of [{ registrationClientUri: undefined }, { registrationAccessToken: undefined }]) {
      const of = handle(missing);
      assert.equal((await attempt(of)).code, 'ReadUnsupported');
      const update = dynamicRegistration.update(access(connection), of, metadata);
      assert.equal((await failure(update)).code, 'UpdateUnsupported');
      assert.equal((await failure(dynamicRegistration.remove(access(connection), of))).code, 'DeletionUnsupported');
    }
    assert.deepEqual(server.requests, []);
  });

  test('a server that knows no such method says what it can’t do', async () => {
    server.answer(json(405, {}));
    assert.equal((await attempt(handle())).code, 'ReadUnsupported');
    const error = await failure(dynamicRegistration.update(access(connection), handle(), metadata));
    assert.equal(error.code, 'UpdateUnsupported');
    assert.match(error.message, /it answered 405\. Undo the change; or create a second OAuthClient/);
  });
});

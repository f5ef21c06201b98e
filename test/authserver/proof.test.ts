/** Proof calls against oidc-provider behind nginx, and against servers that answer anything else. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { ServerConnection, type ServerEndpoints } from '../../src/authserver/connection/connection.ts';
import { discover } from '../../src/authserver/discovery.ts';
import { dynamicRegistration } from '../../src/authserver/registration/dynamic-registration.ts';
import { proveCertificate, type ProofOutcome, type ProofRequest } from '../../src/authserver/proof/proof.ts';
import { createMetrics } from '../../src/metrics.ts';
import { certificateJwk } from '../../src/x509/certificate-jwk.ts';
import { x5tS256 } from '../../src/x509/thumbprint.ts';
import { type ClientCertificate, createClientCertificate } from '../support/client-certificate.ts';
import { freePort } from '../support/free-port.ts';
import { HOSTS, type OAuthDeployment, startOAuthDeployment } from '../support/oauth-deployment.ts';
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

type Asked = Partial<Omit<ProofRequest, 'connection'>>;

function prove(connection: ServerConnection, certificate: ClientCertificate, asked: Asked): Promise<ProofOutcome> {
  return proveCertificate(
    {
      connection,
      clientId: 'client',
      chainPem: certificate.certPem,
      privateKeyPem: certificate.keyPem,
      x5tS256: x5tS256(certificate.der),
      grantTypes: ['client_credentials'],
      ...asked,
    },
    lasting(),
  );
}

const messageOf = (outcome: ProofOutcome) => ('message' in outcome ? outcome.message : '');

describe('the proof call, against oidc-provider behind nginx', () => {
  let world: OAuthDeployment;
  let endpoints: ServerEndpoints;
  const connections: ServerConnection[] = [];
  const connect = (found?: ServerEndpoints, addresses = ['127.0.0.1']) => {
    const connection = new ServerConnection(
      serverObject(
        {
          issuer: world.origin('browser'),
          caBundle: world.serverCa.certPem,
          connectTo: Object.values(HOSTS).map((host) => ({ host, addresses })),
        },
        found,
      ),
    );
    connections.push(connection);
    return connection;
  };

  before(async () => {
    world = await startOAuthDeployment();
    ({ endpoints } = await discover(connect(), { issuer: world.origin('browser') }, lasting()));
  });
  after(async () => {
    await Promise.all(connections.map((connection) => connection.close()));
    await world?.stop();
  });

  const register = async (metadata: Record<string, unknown>): Promise<string> => {
    const { clientId } = await dynamicRegistration.create(access(connect(endpoints)), {
      tls_client_certificate_bound_access_tokens: true,
      ...metadata,
    });
    return clientId;
  };
  const tlsClient = (dn: string, metadata: Record<string, unknown> = {}) =>
    register({ token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: dn, ...metadata });
  const issued = (subject: string) => createClientCertificate({ subject, ca: world.clientCa });
  const tokenRequests = () => world.authorizationServer.requests().get('POST /token') ?? 0;

  test('tls_client_auth: three times, with a token that is bound and ends', async () => {
    const [clientId, certificate] = [await tlsClient('CN=proved'), await issued('CN=proved')];
    const outcome = await prove(connect(endpoints), certificate, { clientId, scope: 'accounts:read' });
    assert.deepEqual(outcome, { outcome: 'proved', expiresInSeconds: 300 });
    const serial = new X509Certificate(certificate.certPem).serialNumber;
    const calls = (await world.ingressController.accessLog()).filter(({ clientSerial }) => clientSerial === serial);
    assert.deepEqual(
      calls.map(({ uri, verify, sessionReused }) => [uri, verify, sessionReused]),
      // Its tokens are JWTs, which it does not revoke; it says so to whom it has authenticated.
      ['/token', '/token/revocation', '/token/revocation'].map((uri) => [uri, 'SUCCESS', '.']),
    );
  });

  test('tls_client_auth: another subject of the same CA is refused', async () => {
    const outcome = await prove(connect(endpoints), await issued('CN=somebody else'), {
      clientId: await tlsClient('CN=wanted'),
    });
    assert.equal(outcome.outcome, 'refused');
    assert.match(messageOf(outcome), /invalid_client/);
  });

  test('tls_client_auth: a certificate of a CA that the terminator does not trust is not accepted yet', async () => {
    const ca = await createThrowawayCa('Other CA');
    const outcome = await prove(connect(endpoints), await createClientCertificate({ subject: 'CN=early', ca }), {
      clientId: await tlsClient('CN=early'),
    });
    assert.equal(outcome.outcome, 'notYet');
  });

  test('self_signed_tls_client_auth: the registered certificate, and no other of the same name', async () => {
    const self = connect({ ...endpoints, tokenEndpoint: `${world.origin('selfSigned')}/token` });
    const [mine, other] = [
      await createClientCertificate({ subject: 'CN=self' }),
      await createClientCertificate({ subject: 'CN=self' }),
    ];
    const clientId = await register({
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: { keys: [await certificateJwk(mine.certPem)] },
    });
    assert.equal((await prove(self, mine, { clientId })).outcome, 'proved');
    assert.equal((await prove(self, other, { clientId })).outcome, 'refused');
  });

  test('an opaque token is looked at by introspection', async () => {
    const [clientId, certificate] = [await tlsClient('CN=opaque'), await issued('CN=opaque')];
    const opaqueToken = 'opaque-token';
    let bound = x5tS256(certificate.der);
    const earlier = world.authorizationServer.requests().get('POST /token/introspection') ?? 0;
    world.authorizationServer.setFault(({ route }) =>
      route === '/token'
        ? { kind: 'rewrite', body: (body) => ({ ...body, access_token: opaqueToken }) }
        : route === '/token/introspection'
          ? { kind: 'rewrite', body: () => ({ active: true, cnf: { 'x5t#S256': bound } }) }
          : undefined,
    );
    try {
      assert.equal((await prove(connect(endpoints), certificate, { clientId })).outcome, 'proved');
      assert.equal((world.authorizationServer.requests().get('POST /token/introspection') ?? 0) - earlier, 1);
      bound = 'another';
      assert.match(messageOf(await prove(connect(endpoints), certificate, { clientId })), /another certificate/);
    } finally {
      world.authorizationServer.setFault(undefined);
    }
  });

  const codeClient = (dn: string) =>
    tlsClient(dn, {
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: ['https://app.example.com/cb'],
    });
  const redirectUri = 'https://app.example.com/cb';

  test('a subject that is registered twice: the server lets one certificate in as both clients', async () => {
    const [one, other, certificate] = [
      await tlsClient('CN=twice'),
      await tlsClient('CN=twice'),
      await issued('CN=twice'),
    ];
    for (const clientId of [one, other]) {
      assert.equal((await prove(connect(endpoints), certificate, { clientId })).outcome, 'proved');
    }
  });

  test('tokens that are bound to nothing prove a client that asked for such, and no other', async () => {
    const dn = 'CN=unbound';
    const [clientId, certificate] = [
      await tlsClient(dn, { tls_client_certificate_bound_access_tokens: false }),
      await issued(dn),
    ];
    const proved = await prove(connect(endpoints), certificate, { clientId, boundTokens: false });
    assert.deepEqual(proved, { outcome: 'proved', expiresInSeconds: 300 });
    const wrong = await prove(connect(endpoints), await issued('CN=other'), { clientId, boundTokens: false });
    assert.equal(wrong.outcome, 'refused');
    const expected = await prove(connect(endpoints), certificate, { clientId });
    assert.match(messageOf(expected), /its access token is bound to none/);
  });

  test('authorization_code: a pushed authorization request, or a code that nobody issued', async () => {
    const [clientId, certificate] = [await codeClient('CN=code'), await issued('CN=code')];
    const asked = { clientId, grantTypes: ['authorization_code', 'refresh_token'], redirectUri };
    const { pushedAuthorizationRequestEndpoint: _par, ...withoutPar } = endpoints;
    for (const found of [endpoints, withoutPar]) {
      assert.deepEqual(await prove(connect(found), certificate, asked), {
        outcome: 'proved',
        expiresInSeconds: undefined,
      });
      const wrong = await prove(connect(found), await issued('CN=other'), asked);
      assert.equal(wrong.outcome, 'refused');
    }
    assert.equal(world.authorizationServer.requests().get('POST /request'), 4);
  });

  test('refresh_token: one that nobody issued', async () => {
    const [clientId, certificate] = [await codeClient('CN=refresh'), await issued('CN=refresh')];
    const asked = { clientId, grantTypes: ['refresh_token'] };
    assert.equal((await prove(connect(endpoints), certificate, asked)).outcome, 'proved');
    assert.equal((await prove(connect(endpoints), await issued('CN=other'), asked)).outcome, 'refused');
  });

  test('none of these: the revocation of a token that nobody issued', async () => {
    const [clientId, certificate] = [await tlsClient('CN=revoke'), await issued('CN=revoke')];
    const asked = { clientId, grantTypes: ['implicit'] };
    assert.equal((await prove(connect(endpoints), certificate, asked)).outcome, 'proved');
    assert.equal((await prove(connect(endpoints), await issued('CN=other'), asked)).outcome, 'refused');
    const { revocationEndpoint: _revocation, ...without } = endpoints;
    assert.equal((await prove(connect(without), certificate, asked)).outcome, 'notYet');
  });

  test('every address is asked, and the one that fails is named', async () => {
    const [clientId, certificate] = [await tlsClient('CN=addresses'), await issued('CN=addresses')];
    const earlier = tokenRequests();
    const outcome = await prove(connect(endpoints, ['127.0.0.1', '127.0.0.2']), certificate, { clientId });
    assert.equal(outcome.outcome, 'unreachable');
    assert.match(messageOf(outcome), /127\.0\.0\.2/);
    assert.equal(tokenRequests() - earlier, 1);
  });

  test('a registration whose answer a proxy lost may have been carried out', async () => {
    world.authorizationServer.setFault(() => ({ kind: 'reset', when: 'after' }));
    try {
      const earlier = world.authorizationServer.count();
      await assert.rejects(tlsClient('CN=lost'), { code: 'AnswerLost' });
      assert.equal(world.authorizationServer.count(), earlier + 1);
    } finally {
      world.authorizationServer.setFault(undefined);
    }
  });
});

const jwt = (claims: unknown) =>
  `${Buffer.from('{"alg":"ES256"}').toString('base64url')}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.AAAA`;

describe('the proof call, against anything else', () => {
  let server: ScriptedServer;
  let certificate: ClientCertificate;
  before(async () => {
    server = await startScriptedServer();
    certificate = await createClientCertificate({ subject: 'CN=client' });
  });
  after(() => server?.stop());

  const outcomes: [string, Handler, ProofOutcome['outcome']][] = [
    ['JSON invalid_client, 401', json(401, { error: 'invalid_client' }), 'refused'],
    ['JSON invalid_client, 400', json(400, { error: 'invalid_client' }), 'refused'],
    ['JSON invalid_client, 500', json(500, { error: 'invalid_client' }), 'notYet'],
    ['JSON unauthorized_client', json(400, { error: 'unauthorized_client' }), 'notYet'],
    [
      "nginx's 400",
      (_request, response) => response.writeHead(400, { 'content-type': 'text/html' }).end('<h1>400</h1>'),
      'notYet',
    ],
    ['495', json(495, {}), 'notYet'],
    ['503', json(503, {}), 'notYet'],
    ['a redirect', json(302, {}, { location: 'https://login.example' }), 'notYet'],
    ['HTML with 200', (_request, response) => response.writeHead(200).end('<html>'), 'notYet'],
    ['no token', json(200, { token_type: 'bearer' }), 'notYet'],
    ['a closed connection', (request) => request.socket.destroy(), 'notYet'],
    ['a token that is bound to nothing', json(200, { access_token: jwt({ sub: 'x' }) }), 'refused'],
    ['a token that is bound to another', json(200, { access_token: jwt({ cnf: { 'x5t#S256': 'x' } }) }), 'refused'],
    ['an opaque token without introspection', json(200, { access_token: 'x', expires_in: 'soon' }), 'proved'],
  ];
  for (const [name, handler, outcome] of outcomes) {
    test(`${name}: ${outcome}`, async () => {
      server.answer(handler);
      assert.equal((await prove(server.connection(), certificate, {})).outcome, outcome);
    });
  }

  const unbound: [string, unknown, ProofOutcome['outcome']][] = [
    ['to nothing', { sub: 'x' }, 'proved'],
    ['to another', { cnf: { 'x5t#S256': 'x' } }, 'refused'],
  ];
  for (const [name, claims, outcome] of unbound) {
    test(`a token that is bound ${name}, where bound ones were not asked for: ${outcome}`, async () => {
      server.answer(json(200, { access_token: jwt(claims) }));
      assert.equal((await prove(server.connection(), certificate, { boundTokens: false })).outcome, outcome);
    });
  }

  describe('one token is made, and revoked over the connections that are still to be proved', () => {
    const ports = new Set<number | undefined>();
    const revoking = (revoke: Handler): Handler => {
      ports.clear();
      return (request, response, body) => {
        ports.add(request.socket.remotePort);
        const handler = request.url === '/revoke' ? revoke : json(200, { access_token: 'real' });
        handler(request, response, body);
      };
    };
    const proof = (revocationEndpoint = `${server.origin}/revoke`) =>
      prove(server.connection({ revocationEndpoint }), certificate, {});

    test('each on its own', async () => {
      const revoked: string[] = [];
      server.answer(
        revoking((_request, response, body) => {
          revoked.push(String(new URLSearchParams(body).get('token')));
          response.end();
        }),
      );
      assert.equal((await proof()).outcome, 'proved');
      assert.deepEqual(server.requests, ['POST /token', 'POST /revoke', 'POST /revoke']);
      assert.deepEqual([revoked, ports.size], [['real', 'real'], 3]);
    });

    test('a terminator’s worker that passes no certificate on is seen there too', async () => {
      server.answer(revoking(json(401, { error: 'invalid_client' })));
      assert.equal((await proof()).outcome, 'refused');
      server.answer(revoking((request) => request.socket.destroy()));
      assert.equal((await proof()).outcome, 'notYet');
    });

    const token = 'POST /token';
    const revocation = 'POST /revoke';
    test('a token that can’t be revoked, as many servers’ JWTs: that is said to a client that was authenticated', async () => {
      server.answer(revoking(json(400, { error: 'unsupported_token_type' })));
      assert.equal((await proof()).outcome, 'proved');
      assert.deepEqual([server.requests, ports.size], [[token, revocation, revocation], 3]);
    });

    for (const [name, handler] of [
      ['a server that says nothing of the token', json(400, { error: 'invalid_request' })],
      ['a terminator that answers for the server', json(502, {})],
    ] as const) {
      test(`${name}: token requests alone count`, async () => {
        server.answer(revoking(handler));
        assert.equal((await proof()).outcome, 'proved');
        assert.deepEqual(server.requests, [token, revocation, token, revocation, token, revocation]);
        assert.equal(ports.size, 3);
      });
    }

    test('a revocation endpoint elsewhere is another terminator’s: it proves nothing of this one', async () => {
      server.answer(revoking(json(200, {})));
      assert.equal((await proof(`https://localhost:${new URL(server.origin).port}/revoke`)).outcome, 'proved');
      assert.deepEqual(
        server.requests.filter((request) => request === token),
        [token, token, token],
      );
    });
  });

  test('each is counted, with every request that it took', async () => {
    const { registry, serverCalls } = createMetrics();
    const connection = server.connection(
      { introspectionEndpoint: `${server.origin}/introspect`, revocationEndpoint: `${server.origin}/revoke` },
      { metrics: serverCalls },
    );
    server.answer(json(200, { access_token: 'opaque' }));
    assert.equal((await prove(connection, certificate, {})).outcome, 'proved');
    server.answer(json(401, { error: 'invalid_client' }));
    assert.equal((await prove(connection, certificate, {})).outcome, 'refused');
    server.answer(json(400, { error: 'invalid_grant' }));
    const asked = { grantTypes: ['authorization_code'], redirectUri: 'https://app.example.com/cb' };
    assert.equal((await prove(connection, certificate, asked)).outcome, 'proved');
    const pushing = server.connection(
      { pushedAuthorizationRequestEndpoint: `${server.origin}/par` },
      { metrics: serverCalls },
    );
    server.answer(json(201, {}));
    assert.equal((await prove(pushing, certificate, asked)).outcome, 'proved');
    const counted = (await registry.metrics())
      .split('\n')
      .flatMap(
        (line) => /^certbound_(\w+)_total\{authorization_server="corporate",(.*)$/.exec(line)?.slice(1).join(' ') ?? [],
      );
    assert.deepEqual(counted.toSorted(), [
      'authorizationserver_requests operation="introspect",outcome="2xx"} 1',
      'authorizationserver_requests operation="par",outcome="2xx"} 3',
      'authorizationserver_requests operation="revoke",outcome="2xx"} 2',
      'authorizationserver_requests operation="token",outcome="2xx"} 1',
      'authorizationserver_requests operation="token",outcome="4xx"} 4',
      'certificate_proofs outcome="proved"} 3',
      'certificate_proofs outcome="refused"} 1',
    ]);
  });

  test('a TLS alert: notYet', async () => {
    const strict = await startScriptedServer({ requestCert: true, ca: server.ca.certPem });
    assert.equal((await prove(strict.connection(), certificate, {})).outcome, 'notYet');
    assert.deepEqual(strict.requests, []);
    await strict.stop();
  });

  test('nobody there, a name that is not known, a server that is not trusted: unreachable', async () => {
    const nobody = `https://${HOST}:${await freePort()}/token`;
    assert.equal((await prove(server.connection({ tokenEndpoint: nobody }), certificate, {})).outcome, 'unreachable');
    const unknown = 'https://no-such-host.invalid/token';
    assert.equal((await prove(server.connection({ tokenEndpoint: unknown }), certificate, {})).outcome, 'unreachable');
    const untrusting = new ServerConnection(
      serverObject(
        { issuer: server.origin, connectTo: [{ host: HOST, addresses: ['127.0.0.1'] }] },
        { tokenEndpoint: `${server.origin}/token` },
      ),
    );
    const outcome = await prove(untrusting, certificate, {});
    assert.equal(outcome.outcome, 'unreachable');
    assert.match(messageOf(outcome), /caBundle/);
  });

  test('an address that this machine has no way to is left out, if there is another', async () => {
    server.answer(json(200, { access_token: 'x' }));
    const connection = (addresses: string[]) =>
      new ServerConnection(
        serverObject(
          { issuer: server.origin, caBundle: server.ca.certPem, connectTo: [{ host: HOST, addresses }] },
          { tokenEndpoint: `${server.origin}/token` },
        ),
      );
    // The broadcast address: Linux has no route for TCP to it.
    assert.equal((await prove(connection(['255.255.255.255', '127.0.0.1']), certificate, {})).outcome, 'proved');
    assert.equal(server.requests.length, 3);
    assert.equal((await prove(connection(['255.255.255.255']), certificate, {})).outcome, 'unreachable');
  });

  test('is cancelled', async () => {
    const stop = new AbortController();
    server.answer(() => stop.abort());
    const { certPem: chainPem, keyPem: privateKeyPem, der } = certificate;
    const grantTypes = ['client_credentials'];
    await assert.rejects(
      proveCertificate(
        { connection: server.connection(), clientId: 'c', chainPem, privateKeyPem, x5tS256: x5tS256(der), grantTypes },
        stop.signal,
      ),
      { code: 'Cancelled' },
    );
  });
});

/** The rules of RFC 8705 on real servers: oidc-provider and a resource server behind nginx as ingress-nginx renders it. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { decodeJwt } from 'jose';
import { type ClientCertificate, createClientCertificate } from '../support/client-certificate.ts';
import { type Answer, call } from '../support/https-call.ts';
import { type OAuthDeployment, startOAuthDeployment, type TokenRequest } from '../support/oauth-deployment.ts';
import { createThrowawayCa, type KeyPairPem } from '../support/throwaway-ca.ts';
import { shows } from '../servers/support.ts';

let world: OAuthDeployment;
before(async () => {
  world = await startOAuthDeployment({ terminator: 'nginx', installNginx: true });
});
after(() => world.stop());

const TLS_CLIENT_AUTH = {
  token_endpoint_auth_method: 'tls_client_auth',
  tls_client_certificate_bound_access_tokens: true,
};
const SELF_SIGNED = { ...TLS_CLIENT_AUTH, token_endpoint_auth_method: 'self_signed_tls_client_auth' };

const issued = (
  subject: string,
  san?: Parameters<typeof createClientCertificate>[0]['san'],
): Promise<ClientCertificate> => createClientCertificate({ subject, ca: world.clientCa, ...(san && { san }) });

async function registered(metadata: Record<string, unknown>): Promise<string> {
  const answer = await world.register(metadata);
  assert.equal(answer.status, 201, answer.text);
  return String(answer.json['client_id']);
}

async function clientOf(subject: string): Promise<{ clientId: string; certificate: ClientCertificate }> {
  const clientId = await registered({ ...TLS_CLIENT_AUTH, tls_client_auth_subject_dn: subject });
  return { clientId, certificate: await issued(subject) };
}

async function assertToken(request: TokenRequest): Promise<string> {
  const answer = await world.requestToken(request);
  assert.equal(answer.status, 200, answer.text);
  return String(answer.json['access_token']);
}

async function assertInvalidClient(request: TokenRequest, message?: string): Promise<void> {
  const answer = await world.requestToken(request);
  assert.equal(answer.status, 401, `${message ?? ''} ${answer.text}`);
  assert.equal(answer.json['error'], 'invalid_client', message);
}

/** nginx's own refusal: the request never reached the server behind it. */
async function assertTerminatorRefuses(request: TokenRequest): Promise<void> {
  const earlier = world.authorizationServer.requests().get('POST /token');
  const answer = await world.requestToken(request);
  assert.equal(answer.status, 400, answer.text);
  assert.match(answer.text, /SSL certificate/);
  assert.equal(world.authorizationServer.requests().get('POST /token'), earlier);
}

const forged = (certificate: KeyPairPem): Record<string, string> => ({
  'ssl-client-cert': encodeURIComponent(certificate.certPem),
  'ssl-client-verify': 'SUCCESS',
});

test('M1: without client_id, without a certificate or with another one, no client is authenticated', async () => {
  const { clientId, certificate } = await clientOf('CN=m1,O=acme');
  await assertToken({ clientId, certificate });
  const anonymous = await world.requestToken({ certificate });
  assert.equal(anonymous.status, 400);
  assert.equal(anonymous.json['error'], 'invalid_request');
  await assertInvalidClient({ clientId, certificate: await issued('CN=m1-other,O=acme') }, 'another subject');
  await assertInvalidClient({ clientId, host: 'browser' }, 'no certificate');
  await assertInvalidClient({ clientId, certificate, host: 'browser' }, 'a host that asks for none');
  await assertTerminatorRefuses({ clientId });
});

test("M2: a valid certificate does not speak for another client, nor another CA's for the same subject", async () => {
  const a = await clientOf('CN=m2-a,O=acme');
  const b = await clientOf('CN=m2-b,O=acme');
  await assertInvalidClient({ clientId: b.clientId, certificate: a.certificate });
  const stranger = await createThrowawayCa('Stranger CA');
  const impostor = await createClientCertificate({ subject: 'CN=m2-a,O=acme', ca: stranger });
  await assertTerminatorRefuses({ clientId: a.clientId, certificate: impostor });
  // There the certificate passes, with FAILED: the server must not take it for verified.
  await assertInvalidClient({ clientId: a.clientId, certificate: impostor, host: 'selfSigned' });
  await assertInvalidClient(
    { clientId: a.clientId, certificate: a.certificate, host: 'selfSigned' },
    'never verified there',
  );
  const own = await createClientCertificate({ subject: 'CN=m2-a,O=acme' });
  await assertTerminatorRefuses({ clientId: a.clientId, certificate: own });
  shows('oidc-provider', 'others', 'refused');
});

test('M3: names are compared by their parts, not as text', async () => {
  const certificate = await issued('CN=m3 client+UID=7,O=Acme\\, Inc.');
  for (const subject of ['CN=m3 client+UID=7,O=Acme\\, Inc.', 'uid=7+cn=M3  Client,o=ACME\\2C inc.']) {
    const clientId = await registered({ ...TLS_CLIENT_AUTH, tls_client_auth_subject_dn: subject });
    await assertToken({ clientId, certificate });
  }
  for (const subject of [
    'O=Acme\\, Inc.,CN=m3 client+UID=7',
    'CN=m3 client,O=Acme\\, Inc.',
    'CN=m3 client+UID=7,O=Acme',
  ]) {
    const clientId = await registered({ ...TLS_CLIENT_AUTH, tls_client_auth_subject_dn: subject });
    await assertInvalidClient({ clientId, certificate }, subject);
  }
});

async function assertMetadataRefused(metadata: Record<string, unknown>): Promise<void> {
  const answer = await world.register({ ...TLS_CLIENT_AUTH, ...metadata });
  assert.equal(answer.status, 400, answer.text);
  assert.equal(answer.json['error'], 'invalid_client_metadata');
}

test('M4: exactly one subject member', async () => {
  const members = {
    tls_client_auth_subject_dn: 'CN=m4',
    tls_client_auth_san_dns: 'm4.example.test',
    tls_client_auth_san_uri: 'spiffe://example.test/m4',
    tls_client_auth_san_ip: '192.0.2.4',
    tls_client_auth_san_email: 'm4@example.test',
  };
  await assertMetadataRefused({});
  const entries = Object.entries(members);
  for (const [index, [name, value]] of entries.entries()) {
    await registered({ ...TLS_CLIENT_AUTH, [name]: value });
    for (const [otherName, otherValue] of entries.slice(index + 1)) {
      await assertMetadataRefused({ [name]: value, [otherName]: otherValue });
    }
  }
});

test('M5: each kind of alternative name satisfies its own member only, addresses by their bytes', async () => {
  const certificate = await issued('CN=m5.example.test', [
    { type: 'dns', value: 'm5-dns.example.test' },
    { type: 'email', value: 'm5@mail.example.test' },
    { type: 'url', value: 'spiffe://example.test/m5' },
    { type: 'ip', value: '192.0.2.5' },
    { type: 'ip', value: '2001:db8::5' },
  ]);
  const accepted: [string, string][] = [
    ['tls_client_auth_san_dns', 'm5-dns.example.test'],
    ['tls_client_auth_san_email', 'm5@mail.example.test'],
    ['tls_client_auth_san_uri', 'spiffe://example.test/m5'],
    ['tls_client_auth_san_ip', '192.0.2.5'],
    ['tls_client_auth_san_ip', '2001:db8::5'],
    ['tls_client_auth_san_ip', '2001:0db8:0000:0000:0000:0000:0000:0005'],
    ['tls_client_auth_san_ip', '2001:DB8:0:0::5'],
  ];
  for (const [name, value] of accepted) {
    await assertToken({ clientId: await registered({ ...TLS_CLIENT_AUTH, [name]: value }), certificate });
  }
  const refused: [string, string][] = [
    ['tls_client_auth_san_dns', 'm5.example.test'],
    ['tls_client_auth_san_dns', 'mail.example.test'],
    ['tls_client_auth_san_dns', 'm5@mail.example.test'],
    ['tls_client_auth_san_dns', '192.0.2.5'],
    ['tls_client_auth_san_email', 'm5-dns.example.test'],
    ['tls_client_auth_san_uri', 'spiffe://example.test/m5/'],
    ['tls_client_auth_san_ip', '192.0.2.50'],
    ['tls_client_auth_san_ip', '2001:db8::50'],
    ['tls_client_auth_subject_dn', 'CN=m5-dns.example.test'],
  ];
  for (const [name, value] of refused) {
    const clientId = await registered({ ...TLS_CLIENT_AUTH, [name]: value });
    await assertInvalidClient({ clientId, certificate }, `${name}=${value}`);
  }
  shows('oidc-provider', 'tlsClientAuth', 'each of the five subject members (RFC 8705 §2.1.2)');
});

test('M6: a renewed certificate with the same subject authenticates, and the server is told nothing', async () => {
  const { clientId, certificate } = await clientOf('CN=m6,O=acme');
  await assertToken({ clientId, certificate });
  const writes = () => [...world.authorizationServer.requests()].filter(([name]) => name.includes('/reg'));
  const earlier = writes();
  const renewed = await issued('CN=m6,O=acme');
  const token = await assertToken({ clientId, certificate: renewed });
  assert.equal((await world.callApi(token, renewed)).status, 200);
  await assertToken({ clientId, certificate });
  assert.deepEqual(writes(), earlier);
});

test('M7: a self-signed certificate authenticates while, and only while, it is in the registered jwks', async () => {
  const [first, second, stranger] = await Promise.all(
    ['CN=m7', 'CN=m7', 'CN=m7'].map((subject) => createClientCertificate({ subject })),
  );
  assert.ok(first && second && stranger);
  const metadata = { ...SELF_SIGNED, jwks: { keys: [first.jwk] } };
  const registration = (await world.register(metadata)).json;
  const clientId = String(registration['client_id']);
  let accessToken = String(registration['registration_access_token']);
  const update = async (keys: unknown[]) => {
    const path = new URL(String(registration['registration_client_uri'])).pathname;
    const answer = await world.call('browser', path, {
      method: 'PUT',
      headers: { authorization: `Bearer ${accessToken}` },
      body: { ...metadata, client_id: clientId, jwks: { keys } },
    });
    assert.equal(answer.status, 200, answer.text);
    accessToken = String(answer.json['registration_access_token']);
  };
  const host = 'selfSigned';
  const token = await assertToken({ clientId, certificate: first, host });
  assert.deepEqual(decodeJwt(token)['cnf'], { 'x5t#S256': createHash('sha256').update(first.der).digest('base64url') });
  await assertInvalidClient({ clientId, certificate: second, host }, 'not registered yet');
  await assertInvalidClient({ clientId, certificate: stranger, host }, 'the same subject, another key');
  await update([first.jwk, second.jwk]);
  await assertToken({ clientId, certificate: first, host });
  await assertToken({ clientId, certificate: second, host });
  await update([second.jwk]);
  await assertInvalidClient({ clientId, certificate: first, host }, 'removed');
  await assertToken({ clientId, certificate: second, host });
  // Where chains are verified, a certificate without one does not get as far as the server.
  await assertTerminatorRefuses({ clientId, certificate: second });
});

/** As a terminator would send it that verifies nothing at all. */
function requestBehindTerminator(certificate: ClientCertificate, clientId: string): Promise<Answer> {
  return call({
    url: `http://127.0.0.1:${world.authorizationServer.port}/token`,
    headers: {
      'ssl-client-cert': encodeURIComponent(certificate.certPem),
      'ssl-client-verify': 'FAILED:self-signed certificate',
      'x-forwarded-host': new URL(world.origin('selfSigned')).host,
      'x-forwarded-proto': 'https',
    },
    body: new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId }),
  });
}

test('M7: an expired self-signed certificate is refused although it is registered', async () => {
  const certificate = await createClientCertificate({
    subject: 'CN=m7-expired',
    notBefore: new Date(Date.now() - 172_800_000),
    notAfter: new Date(Date.now() - 86_400_000),
  });
  const clientId = await registered({ ...SELF_SIGNED, jwks: { keys: [certificate.jwk] } });
  // nginx refuses what has expired even where it verifies nothing else (ngx_ssl_verify_error_optional).
  await assertTerminatorRefuses({ clientId, certificate, host: 'selfSigned' });
  // Not every terminator does, so the server looks for itself.
  assert.equal((await requestBehindTerminator(certificate, clientId)).json['error'], 'invalid_client');
  const current = await createClientCertificate({ subject: 'CN=m7-current' });
  const currentId = await registered({ ...SELF_SIGNED, jwks: { keys: [current.jwk] } });
  assert.equal((await requestBehindTerminator(current, currentId)).status, 200);
});

test('M8: the API takes a token only from the holder of the certificate it is bound to', async () => {
  const { clientId, certificate } = await clientOf('CN=m8,O=acme');
  const thief = await clientOf('CN=m8-thief,O=acme');
  const token = await assertToken({ clientId, certificate });
  const accepted = await world.callApi(token, certificate);
  assert.equal(accepted.status, 200, accepted.text);
  assert.equal(accepted.json['subject'], clientId);
  for (const stolenBy of [thief.certificate, undefined]) {
    const answer = await world.callApi(token, stolenBy);
    assert.equal(answer.status, 401);
    assert.match(String(answer.headers['www-authenticate']), /^Bearer error="invalid_token"/);
  }
  const withForgedHeader = await world.call('api', '/', {
    certificate: thief.certificate,
    headers: { authorization: `Bearer ${token}`, ...forged(certificate) },
  });
  assert.equal(withForgedHeader.status, 401, 'the header of the terminator replaces the forged one');
  const anonymous = await world.callApi(undefined, certificate);
  assert.equal(anonymous.status, 401);
  assert.deepEqual(anonymous.headers['www-authenticate'], ['Bearer']);
});

test('M9: cnf is the base64url SHA-256 of the DER, 43 characters', async () => {
  const { clientId, certificate } = await clientOf('CN=m9,O=acme');
  const claims = decodeJwt(await assertToken({ clientId, certificate }));
  const der = Buffer.from(certificate.certPem.replaceAll(/-----[A-Z ]+-----|\n/g, ''), 'base64');
  const thumbprint = createHash('sha256').update(der).digest('base64').replaceAll('+', '-').replaceAll('/', '_');
  assert.deepEqual(claims['cnf'], { 'x5t#S256': thumbprint.replace(/=$/, '') });
  assert.match(JSON.stringify(claims['cnf']), /^\{"x5t#S256":"[A-Za-z0-9_-]{43}"\}$/);
});

test('M10: introspection returns cnf at the top level', async () => {
  const { clientId, certificate } = await clientOf('CN=m10,O=acme');
  const resource = world.authorizationServer.opaqueResource;
  const token = await assertToken({ clientId, certificate, parameters: { resource } });
  assert.doesNotMatch(token, /\./, 'opaque');
  const answer = await world.call('mtls', '/token/introspection', {
    certificate,
    body: new URLSearchParams({ token, client_id: clientId }),
  });
  assert.equal(answer.json['active'], true, answer.text);
  assert.deepEqual(answer.json['cnf'], {
    'x5t#S256': createHash('sha256').update(certificate.der).digest('base64url'),
  });
  shows('oidc-provider', 'introspection', 'yes');
});

test('M11: tokens are unbound unless asked for; the API refuses those', async () => {
  const discovery = await world.call('browser', '/.well-known/openid-configuration');
  assert.equal(discovery.json['tls_client_certificate_bound_access_tokens'], true);
  const metadata = { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=m11,O=acme' };
  const registration = await world.register(metadata);
  assert.equal(registration.json['tls_client_certificate_bound_access_tokens'], false);
  const certificate = await issued('CN=m11,O=acme');
  const token = await assertToken({ clientId: String(registration.json['client_id']), certificate });
  assert.equal(decodeJwt(token)['cnf'], undefined);
  const answer = await world.callApi(token, certificate);
  assert.equal(answer.status, 401);
  assert.match(String(answer.headers['www-authenticate']), /invalid_token/);
});

test('M11: a client with bound tokens gets none over a connection without a certificate', async () => {
  const methods = { authenticationMethods: ['client_secret_post', 'tls_client_auth'] };
  const other = await startOAuthDeployment({ ...methods, terminator: 'nginx', installNginx: true });
  try {
    const metadata = { ...TLS_CLIENT_AUTH, token_endpoint_auth_method: 'client_secret_post' };
    const { json } = await other.register(metadata);
    const parameters = { client_secret: String(json['client_secret']) };
    const clientId = String(json['client_id']);
    const refused = await other.requestToken({ clientId, host: 'browser', parameters });
    assert.equal(refused.status, 400);
    assert.equal(refused.json['error'], 'invalid_grant');
    const certificate = await other.clientCa.issue({ cn: 'anyone', clientAuth: true });
    const bound = await other.requestToken({ clientId, certificate, parameters });
    assert.equal(bound.status, 200, bound.text);
  } finally {
    await other.stop();
  }
});

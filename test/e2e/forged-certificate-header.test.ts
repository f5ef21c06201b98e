/** Whose certificate header reaches the authorization server: only the terminator's own. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { call } from '../support/https-call.ts';
import { HOSTS, type OAuthDeployment, startOAuthDeployment, type TokenRequest } from '../support/oauth-deployment.ts';
import { createClientCertificate, type ClientCertificate } from '../support/client-certificate.ts';

let world: OAuthDeployment;
let victim: ClientCertificate;
let attacker: ClientCertificate;
let victimId: string;

async function register(deployment: OAuthDeployment): Promise<string> {
  const { json } = await deployment.register({
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_auth_subject_dn: 'CN=victim,O=acme',
    tls_client_certificate_bound_access_tokens: true,
  });
  return String(json['client_id']);
}

before(async () => {
  world = await startOAuthDeployment({ terminator: 'nginx', installNginx: true });
  victim = await createClientCertificate({ subject: 'CN=victim,O=acme', ca: world.clientCa });
  attacker = await createClientCertificate({ subject: 'CN=attacker,O=acme', ca: world.clientCa });
  victimId = await register(world);
});
after(() => world.stop());

const forged = (): Record<string, string> => ({
  'ssl-client-cert': encodeURIComponent(victim.certPem),
  'ssl-client-verify': 'SUCCESS',
});

async function assertNotTheVictim(request: TokenRequest): Promise<void> {
  const answer = await world.requestToken({ clientId: victimId, ...request });
  assert.equal(answer.status, 401, answer.text);
  assert.equal(answer.json['error'], 'invalid_client');
}

test('the certificate itself is accepted, so that what follows is refused for its header alone', async () => {
  assert.equal((await world.requestToken({ clientId: victimId, certificate: victim })).status, 200);
});

test("the browser's host strips a forged header", async () => {
  await assertNotTheVictim({ host: 'browser', headers: forged() });
  await assertNotTheVictim({ host: 'browser', certificate: attacker, headers: forged() });
});

test('without blanks in proxy-set-headers the forged header would be believed: the check is on the deployment', async () => {
  const open = await startOAuthDeployment({ terminator: 'nginx', installNginx: true, proxySetHeaders: {} });
  try {
    const answer = await open.requestToken({ clientId: await register(open), host: 'browser', headers: forged() });
    assert.equal(answer.status, 200, answer.text);
  } finally {
    await open.stop();
  }
});

test("the mTLS host overwrites a forged header with the connection's own certificate", async () => {
  await assertNotTheVictim({ certificate: attacker, headers: forged() });
  const line = encodeURIComponent(victim.certPem);
  await assertNotTheVictim({ certificate: attacker, headers: { 'ssl-client-cert': [line, line] } });
  // The attacker's own lines neither break nor change who the victim is.
  const headers = { 'ssl-client-cert': encodeURIComponent(attacker.certPem), 'ssl-client-verify': 'FAILED:x' };
  assert.equal((await world.requestToken({ clientId: victimId, certificate: victim, headers })).status, 200);
});

test('a host in request mode overwrites the header too, and its verdict', async () => {
  await assertNotTheVictim({ host: 'selfSigned', certificate: attacker, headers: forged() });
  await assertNotTheVictim({ host: 'selfSigned', headers: forged() });
  await assertNotTheVictim({ host: 'selfSigned', certificate: victim, headers: { 'ssl-client-verify': 'SUCCESS' } });
});

test('other spellings of the header are not the header', async () => {
  const [certificate = '', verify = ''] = Object.values(forged());
  for (const headers of [
    { ssl_client_cert: certificate, ssl_client_verify: verify },
    { 'SSL-Client-Cert': certificate, 'SSL-CLIENT-VERIFY': verify },
    { 'x-ssl-client-cert': certificate, 'client-cert': `:${victim.der.toString('base64')}:` },
  ]) {
    await assertNotTheVictim({ host: 'browser', headers });
    await assertNotTheVictim({ certificate: attacker, headers });
  }
});

test('Connection cannot remove the header that the terminator sets', async () => {
  const headers = { connection: 'close, ssl-client-cert, ssl-client-verify' };
  assert.equal((await world.requestToken({ clientId: victimId, certificate: victim, headers })).status, 200);
  await assertNotTheVictim({ certificate: attacker, headers: { ...headers, ...forged() } });
});

test('plain HTTP is redirected before the server sees it', async () => {
  const earlier = world.authorizationServer.requests();
  for (const host of [HOSTS.browser, HOSTS.mtls]) {
    const answer = await call({
      url: `http://${host}:${world.ingressController.httpPort}/token`,
      headers: forged(),
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id: victimId }),
    });
    assert.equal(answer.status, 308);
  }
  assert.deepEqual(world.authorizationServer.requests(), earlier);
});

/** The canary, against oidc-provider behind nginx and against servers that let anybody in. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { callAsIntruder } from '../../src/authserver/proof/canary.ts';
import { ServerConnection, type ServerEndpoints } from '../../src/authserver/connection/connection.ts';
import { discover } from '../../src/authserver/discovery.ts';
import { dynamicRegistration } from '../../src/authserver/registration/dynamic-registration.ts';
import { Enforcement } from '../../src/authserver/proof/enforcement.ts';
import { certificateJwk } from '../../src/x509/certificate-jwk.ts';
import { parseDn } from '../../src/x509/dn.ts';
import { createClientCertificate } from '../support/client-certificate.ts';
import { HOSTS, type OAuthDeployment, startOAuthDeployment } from '../support/oauth-deployment.ts';
import { access, json, lasting, serverObject, type ScriptedServer, startScriptedServer } from './servers.ts';

const subject = { dn: parseDn('CN=canary') };
const grantTypes = ['client_credentials'];

describe('an authorization server behind nginx', () => {
  let world: OAuthDeployment;
  let endpoints: ServerEndpoints;
  const connections: ServerConnection[] = [];
  const connect = (found?: ServerEndpoints) => {
    const { certPem: caBundle } = world.serverCa;
    const connectTo = Object.values(HOSTS).map((host) => ({ host, addresses: ['127.0.0.1'] }));
    const connection = new ServerConnection(
      serverObject({ issuer: world.origin('browser'), caBundle, connectTo }, found),
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
  const intrude = async (metadata: Record<string, unknown>, at: Partial<ServerEndpoints> = {}) => {
    const connection = connect({ ...endpoints, ...at });
    const { clientId } = await dynamicRegistration.create(access(connection), metadata);
    return callAsIntruder({ connection, clientId, grantTypes, subject, now: Date.now() }, lasting());
  };
  const tlsClient = { token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'CN=canary' };
  const verifiesNothing = () => ({ tokenEndpoint: `${world.origin('selfSigned')}/token` });

  test('that verifies certificates refuses both', async () => {
    assert.equal(await intrude(tlsClient), undefined);
  });

  test('that compares registered keys refuses both', async () => {
    const { certPem } = await createClientCertificate({ subject: 'CN=canary' });
    const keys = {
      token_endpoint_auth_method: 'self_signed_tls_client_auth',
      jwks: { keys: [await certificateJwk(certPem)] },
    };
    assert.equal(await intrude(keys, verifiesNothing()), undefined);
  });

  test('that believes a terminator which verifies nothing lets a foreign certificate in', async () => {
    world.authorizationServer.trustUnverified(true);
    try {
      assert.equal(await intrude(tlsClient, verifiesNothing()), 'a certificate that nobody registered');
    } finally {
      world.authorizationServer.trustUnverified(false);
    }
  });
});

describe('a server that answers anything', () => {
  let server: ScriptedServer;
  before(async () => {
    server = await startScriptedServer();
  });
  after(() => server?.stop());
  const intrude = () =>
    callAsIntruder(
      { connection: server.connection(), clientId: 'client', grantTypes, subject, now: Date.now() },
      lasting(),
    );

  test('a token for nobody: no certificate is needed', async () => {
    server.answer(json(200, { access_token: 'opaque', token_type: 'Bearer' }));
    assert.equal(await intrude(), 'no certificate');
    assert.equal(server.requests.filter((request) => request === 'POST /token').length, 1);
  });

  test('an error is a refusal', async () => {
    server.answer(json(401, { error: 'invalid_client' }));
    assert.equal(await intrude(), undefined);
    assert.equal(server.requests.length, 2);
  });

  test('who is not there refuses nobody', async () => {
    const gone = await startScriptedServer();
    const connection = gone.connection();
    await gone.stop();
    const asked = { connection, clientId: 'client', grantTypes, subject, now: Date.now() };
    assert.equal(await callAsIntruder(asked, lasting()), 'unknown');
  });
});

describe('what is known of a server', () => {
  const server = { metadata: serverObject({ issuer: 'https://as.example.test' }).metadata };
  const hour = 3_600_000;

  test('is found out once in an interval, whoever asks, and told when it changes', async () => {
    const enforcement = new Enforcement();
    const told: string[] = [];
    enforcement.onChange((name) => told.push(name));
    let sent = 0;
    const canary = async () => void (await Promise.resolve(sent++));
    const ask = (now: number) => enforcement.check(server, { now, intervalMs: hour }, canary);
    assert.equal(enforcement.of('uid'), undefined);
    await Promise.all([ask(0), ask(0), ask(0)]);
    await ask(hour - 1);
    assert.equal(sent, 1);
    await ask(hour);
    assert.equal(sent, 2);
    assert.deepEqual(enforcement.of('uid'), { intruder: undefined });
    assert.deepEqual(told, ['corporate']);
  });

  test('an intruder is looked for with each proof until the server refuses it', async () => {
    const enforcement = new Enforcement();
    const told: string[] = [];
    enforcement.onChange((name) => told.push(name));
    const answers = ['no certificate', 'no certificate', 'unknown', undefined] as const;
    let sent = 0;
    const ask = (now: number) =>
      enforcement.check(server, { now, intervalMs: hour }, () => Promise.resolve(answers[sent++]));
    assert.equal(await ask(0), 'no certificate');
    assert.equal(await ask(1), 'no certificate');
    assert.equal(await ask(2), 'no certificate', 'no answer takes nothing back');
    assert.equal(await ask(3), 'no certificate');
    assert.equal(sent, 3, 'a server that is away is not asked at once again');
    assert.equal(await ask(60_002), undefined);
    assert.deepEqual(told, ['corporate', 'corporate']);
  });
});

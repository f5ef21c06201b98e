/** Authorization servers that are away, that want other credentials, or that say something else than they were asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { secrets } from '../../../src/kube/resource.ts';
import { opaqueSecret } from '../../support/cluster-objects.ts';
import { startLaxTokenEndpoint } from '../../support/lax-token-endpoint.ts';
import { createThrowawayCa } from '../../support/throwaway-ca.ts';
import { type Front, SYSTEM, type World } from './world.ts';

const html = { 'content-type': 'text/html' };

const tokenSecret = (name: string, data: Record<string, string>) => opaqueSecret({ namespace: SYSTEM, name }, data);

export function serverTests(world: () => World): void {
  const kube = () => world().kube;

  test('a server that goes away after it was discovered', async () => {
    const subject = { name: 'gone-away' };
    const front = await world().front();
    await world().server(subject.name, world().at(front));
    await world().serverBecomes(subject.name, 'True', 'Ready');
    await front.stop();
    await world().client(subject);
    const { message } = await world().becomes(subject, 'Unknown', 'ServerUnavailable');
    assert.match(message, /could not be asked to register the client: localhost:\d+ refused the connection/);
    await front.start();
    await world().recovers(subject);
  });

  test('a server that lets anybody in', async () => {
    const subject = { name: 'anybody' };
    const front = await world().front();
    const { serverCa } = world().installation;
    const lax = await startLaxTokenEndpoint(await serverCa.issue({ cn: 'localhost', dns: ['localhost'] }));
    try {
      await world().server(subject.name, { ...world().at(front), mtlsEndpoints: { tokenEndpoint: lax.url } });
      await world().client(subject);
      const { message } = await world().becomes(subject, 'False', 'ClientAuthenticationNotEnforced');
      assert.match(message, /let a caller in as a client that showed no certificate/);
      await world().serverBecomes(subject.name, 'False', 'ClientAuthenticationNotEnforced');
      assert.equal(await world().secret(subject), undefined, 'published');
      lax.enforce();
      await world().recovers(subject);
      await world().serverBecomes(subject.name, 'True', 'Ready');
    } finally {
      await lax.stop();
    }
  });

  test('a server that was never there', async () => {
    const subject = { name: 'never-there' };
    const front = await world().front();
    await front.stop();
    await world().server(subject.name, world().at(front));
    await world().client(subject);
    const { message } = await world().serverBecomes(subject.name, 'False', 'ServerUnavailable');
    assert.match(message, /refused the connection/);
    await world().becomes(subject, 'Unknown', 'AuthorizationServerNotReady');
    await world().nothingWritten(subject);
    await front.start();
    await world().recovers(subject);
  });

  test('a server whose discovery document is a web page', async () => {
    const subject = { name: 'web-page' };
    const front = await world().front({
      fault: () => ({ kind: 'respond', status: 200, body: '<html>', headers: html }),
    });
    await world().server(subject.name, world().at(front));
    await world().client(subject);
    const { message } = await world().serverBecomes(subject.name, 'False', 'DiscoveryFailed');
    assert.match(message, /answered 200 with something that is no JSON object.*Check the issuer/);
    await world().becomes(subject, 'Unknown', 'AuthorizationServerNotReady');
    await world().nothingWritten(subject);
    front.server.setFault(undefined);
    await world().recovers(subject);
  });

  test('a server that calls itself otherwise', async () => {
    const subject = { name: 'misnamed' };
    const front = await world().front();
    await world().server(subject.name, { ...world().at(front), issuer: `${front.issuer}/` });
    await world().client(subject);
    const { message } = await world().serverBecomes(subject.name, 'False', 'IssuerMismatch');
    assert.match(message, /create an AuthorizationServer with exactly that issuer \(a trailing slash counts\)/);
    await world().becomes(
      subject,
      'Unknown',
      'AuthorizationServerNotReady',
      /has a problem that the platform team sees/,
    );
    await world().nothingWritten(subject);
  });

  test('a server that knows no mutual TLS', async () => {
    const subject = { name: 'no-mutual-tls' };
    const front = await world().front({ authenticationMethods: ['client_secret_basic'] });
    await world().server(subject.name, world().at(front));
    await world().client(subject);
    const { message } = await world().serverBecomes(subject.name, 'False', 'MutualTLSUnsupported');
    assert.match(
      message,
      /does not support tls_client_auth \(RFC 8705\).*client_secret_basic\. Enable mutual TLS there/,
    );
    await world().becomes(
      subject,
      'False',
      'Unsupported',
      /doesn't support tls_client_auth.*It has no mutual TLS \(RFC 8705\), or that is off: ask the platform team to enable it/,
    );
    await world().nothingWritten(subject);
  });

  test('a server whose TLS certificate another CA signed', async () => {
    const subject = { name: 'another-ca' };
    const front = await world().front();
    const { certPem: caBundle } = await createThrowawayCa('Another CA');
    await world().server(subject.name, { ...world().at(front), caBundle });
    await world().client(subject);
    const { message } = await world().serverBecomes(subject.name, 'False', 'ServerUnavailable');
    assert.match(
      message,
      /the TLS certificate of localhost:\d+ is not trusted \([A-Z_]+\): put the CA that signed it into caBundle/,
    );
    await world().becomes(subject, 'Unknown', 'AuthorizationServerNotReady');
    await world().nothingWritten(subject);
    assert.equal(front.server.requests().size, 0);
    await world().server(subject.name, world().at(front));
    await world().recovers(subject);
  });

  test('a caBundle that is none', async () => {
    const subject = { name: 'no-ca-bundle' };
    const front = await world().front();
    await world().server(subject.name, { ...world().at(front), caBundle: 'garbage' });
    await world().client(subject);
    const { message } = await world().serverBecomes(subject.name, 'False', 'CABundleInvalid');
    assert.match(message, /spec\.caBundle cannot be used/);
    await world().nothingWritten(subject);
    await world().server(subject.name, world().at(front));
    await world().recovers(subject);
  });

  const withToken = (front: Front, name: string) => ({
    ...world().at(front),
    dynamicRegistration: { initialAccessTokenSecretRef: { name, key: 'token' } },
  });

  for (const [what, data, reason, says] of [
    [
      'missing',
      undefined,
      'CredentialMissing',
      /There is no key "token" in Secret "token-missing" in the operator's namespace: put the initial access token there/,
    ],
    [
      'under-another-key',
      { tocken: 'right-token' },
      'CredentialMissing',
      /There is no key "token" in Secret "token-under-another-key"/,
    ],
    [
      'no-token',
      { token: 'two words' },
      'CredentialInvalid',
      /Key "token" of Secret "token-no-token" .* is no bearer token/,
    ],
  ] as const) {
    test(`an initial access token that cannot be used: ${what}`, async () => {
      const subject = { name: `token-${what}` };
      const front = await world().front({ initialAccessToken: 'right-token' });
      if (data !== undefined) await kube().create(secrets, tokenSecret(subject.name, data));
      await world().server(subject.name, withToken(front, subject.name));
      await world().client(subject);
      const { message } = await world().serverBecomes(subject.name, 'False', reason);
      assert.match(message, says);
      assert.ok(!message.includes('two words'));
      await world().becomes(subject, 'Unknown', 'AuthorizationServerNotReady');
      await world().nothingWritten(subject);
      await kube().delete(secrets, { namespace: SYSTEM, name: subject.name });
      await kube().create(secrets, tokenSecret(subject.name, { token: 'right-token' }));
      await world().recovers(subject);
    });
  }

  test('an initial access token that has expired', async () => {
    const subject = { name: 'token-expired' };
    const front = await world().front({ initialAccessToken: true });
    const expired = await front.server.newInitialAccessToken(1);
    await kube().create(secrets, tokenSecret(subject.name, { token: expired }));
    await delay(1_100);
    await world().server(subject.name, withToken(front, subject.name));
    await world().client(subject);
    const { message } = await world().becomes(subject, 'False', 'RegistrationUnauthorized');
    assert.match(message, /did not let us register the client \(401\)\. It says: invalid_token/);
    assert.match(message, /check the Secret of .*initialAccessTokenSecretRef .*: a token may have expired/);
    assert.ok(!message.includes(expired));
    assert.deepEqual(world().registrations(subject), []);
    assert.equal(await world().secret(subject), undefined);
    const token = await front.server.newInitialAccessToken(600);
    await kube().delete(secrets, { namespace: SYSTEM, name: subject.name });
    await kube().create(secrets, tokenSecret(subject.name, { token }));
    await world().recovers(subject);
  });

  test('a server that is closed for registration, and opens it', async () => {
    const subject = { name: 'closed' };
    const options = { registration: false };
    const front = await world().front(options);
    await world().server(subject.name, world().at(front));
    await world().client(subject);
    const { message } = await world().serverBecomes(subject.name, 'False', 'RegistrationUnsupported');
    assert.match(message, /no registration_endpoint \(RFC 7591\): enable dynamic client registration there/);
    await world().becomes(subject, 'Unknown', 'AuthorizationServerNotReady');
    await world().nothingWritten(subject);
    await front.stop();
    options.registration = true;
    await front.start();
    await world().recovers(subject);
  });

  test('metadata that the server refuses', async () => {
    const subject = { name: 'metadata-refused' };
    const front = await world().front();
    const server = (value: string) =>
      world().server(subject.name, {
        ...world().at(front),
        dynamicRegistration: { metadata: [{ name: 'tos_uri', value }] },
      });
    await server('no address');
    await world().client(subject);
    const { message } = await world().becomes(subject, 'False', 'RegistrationRefused');
    assert.match(
      message,
      /refused to register the client \(400\)\. It says: invalid_client_metadata: tos_uri must be a web uri\. Change/,
    );
    assert.equal(await world().secret(subject), undefined);
    assert.deepEqual(world().registrations(subject), []);
    await server('https://example.test/terms');
    await world().recovers(subject);
  });

  test('an initial access token that the server refuses', async () => {
    const subject = { name: 'token-refused' };
    const front = await world().front({ initialAccessToken: 'right-token' });
    await kube().create(secrets, tokenSecret(subject.name, { token: 'wrong-token-of-the-platform' }));
    await world().server(subject.name, withToken(front, subject.name));
    await world().client(subject);
    const { message } = await world().becomes(subject, 'False', 'RegistrationUnauthorized');
    assert.match(message, /did not let us register the client \(401\)/);
    assert.match(
      message,
      /check the Secret of dynamicRegistration\.initialAccessTokenSecretRef in AuthorizationServer "token-refused"/,
    );
    assert.ok(!message.includes('wrong-token'));
    assert.deepEqual(world().registrations(subject), []);
    assert.equal(await world().secret(subject), undefined);
    await kube().delete(secrets, { namespace: SYSTEM, name: subject.name });
    await kube().create(secrets, tokenSecret(subject.name, { token: 'right-token' }));
    await world().recovers(subject);
  });
}

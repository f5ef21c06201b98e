/** Authorization servers that are away, that want other credentials, or that say something else than they were asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RENEW_REQUESTED } from '../../../src/api/annotations.ts';
import { oauthClients } from '../../../src/api/resources.ts';
import { events, type KubernetesObject, secrets } from '../../../src/kube/resource.ts';
import { secretValues } from '../../support/application.ts';
import { opaqueSecret } from '../../support/cluster-objects.ts';
import type { Fault, FaultAction, ReceivedRequest } from '../../support/fault.ts';
import { createThrowawayCa } from '../../support/throwaway-ca.ts';
import { waitFor } from '../../support/wait-for.ts';
import { SYSTEM, TEAM, type Front, type Subject, type World } from './world.ts';

const isRegistration = ({ method, route }: ReceivedRequest) => method === 'POST' && route === '/reg';
const onRegistration =
  (action: FaultAction): Fault =>
  (request) =>
    isRegistration(request) ? action : undefined;
const posts = ({ server }: Front) => server.requests().get('POST /reg') ?? 0;
const html = { 'content-type': 'text/html' };

export function serverTests(world: () => World): void {
  const kube = () => world().kube;

  /** A change that asks for nothing, and is seen: a pass has looked at everything again. */
  async function lookedAtAgain(subject: Subject): Promise<void> {
    const patch = { spec: { certificate: { drain: '47h' } } };
    const { metadata } = await kube().patch(oauthClients, { namespace: TEAM, ...subject }, patch, { type: 'merge' });
    await waitFor(async () => (await world().status(subject))?.observedGeneration === metadata.generation);
  }

  async function keysOf(subject: Subject): Promise<string[]> {
    const record = await world().record(subject);
    return record === undefined
      ? []
      : Object.values(secretValues(record)).filter((text) => text.includes('PRIVATE KEY'));
  }

  async function eventsOf(object: KubernetesObject): Promise<unknown[]> {
    const { items } = await kube().list(events, { namespace: TEAM });
    return items.filter(({ regarding }) => Object(regarding).uid === object.metadata.uid).map(({ reason }) => reason);
  }

  const substitutions: [string, RegExp, (body: Readonly<Record<string, unknown>>) => unknown][] = [
    [
      'another-method',
      /token_endpoint_auth_method \(asked: tls_client_auth; registered: client_secret_basic\)/,
      (body) => ({ ...body, token_endpoint_auth_method: 'client_secret_basic' }),
    ],
    [
      'another-subject',
      /tls_client_auth_subject_dn \(asked: CN=echo-another-subject,O=payments; registered: CN=admin\)/,
      (body) => ({ ...body, tls_client_auth_subject_dn: 'CN=admin' }),
    ],
    [
      'a-second-subject',
      /tls_client_auth_san_dns \(asked: nothing; registered: a\.test\)/,
      (body) => ({ ...body, tls_client_auth_san_dns: 'a.test' }),
    ],
    [
      'unbound-tokens',
      /tls_client_certificate_bound_access_tokens \(asked: true; registered: false\)/,
      (body) => ({ ...body, tls_client_certificate_bound_access_tokens: false }),
    ],
  ];
  for (const [what, says, body] of substitutions) {
    test(`a server that registers something else: ${what}`, async () => {
      const subject = { name: `echo-${what}` };
      const front = await world().front({ fault: onRegistration({ kind: 'rewrite', body }) });
      await world().server(subject.name, world().at(front));
      await world().client(subject);
      const { message } = await world().becomes(subject, 'False', 'MetadataRejected');
      assert.match(message, says);
      assert.match(message, /Allow these values there, or change the OAuthClient to what the server allows/);
      assert.deepEqual(world().registrations(subject), [], 'the client was not removed again');
      assert.equal(await world().secret(subject), undefined);
      await lookedAtAgain(subject);
      assert.deepEqual([posts(front), front.server.requests().get('DELETE /reg/:id')], [1, 1]);
      front.server.setFault(undefined);
      await world().client(subject, { clientName: 'another request' });
      await world().recovers(subject);
    });
  }

  const lost: [string, FaultAction, number][] = [
    ['reset-after', { kind: 'reset', when: 'after' }, 1],
    ['reset-before', { kind: 'reset', when: 'before' }, 0],
    ['html-after', { kind: 'rewrite', body: () => '<html>Welcome</html>' }, 1],
    ['no-client-id', { kind: 'rewrite', body: ({ client_id: _gone, ...rest }) => rest }, 1],
    ['html', { kind: 'respond', status: 200, body: '<html>Sign in</html>', headers: html }, 0],
    ['bad-gateway', { kind: 'respond', status: 502, body: '<html>', headers: html }, 0],
    ['internal-error', { kind: 'respond', status: 500, body: '{"error":"server_error"}' }, 0],
  ];
  for (const [what, action, orphans] of lost) {
    test(`an answer to the registration that is lost: ${what}`, async () => {
      const subject = { name: `lost-${what}` };
      const front = await world().front({ fault: onRegistration(action) });
      await world().server(subject.name, world().at(front));
      const client = await world().client(subject);
      const { message } = await world().becomes(subject, 'False', 'OrphanSuspected');
      assert.match(
        message,
        new RegExp(`may hold a client named "test-cluster/${TEAM}/${subject.name}" that nobody can use`),
      );
      assert.match(
        message,
        /Delete it there if it exists, then set the annotation certbound\.dev\/renew-requested .*recovery: Recreate/,
      );
      await lookedAtAgain(subject);
      assert.equal(posts(front), 1);
      assert.equal(world().registrations(subject).length, orphans);
      assert.deepEqual(await keysOf(subject), [], 'the key of the orphan was kept');
      assert.equal(await world().secret(subject), undefined);
      await waitFor(async () => (await eventsOf(client)).includes('OrphanSuspected'));

      front.server.setFault(undefined);
      const patch = { metadata: { annotations: { [RENEW_REQUESTED]: 'looked there' } } };
      await kube().patch(oauthClients, { namespace: TEAM, ...subject }, patch, { type: 'merge' });
      await world().ready(subject);
      assert.equal(posts(front), 2);
      assert.equal(world().registrations(subject).length, orphans + 1);
    });
  }

  test('an answer that is lost where the platform wants to recreate', async () => {
    const subject = { name: 'lost-recreate' };
    let first = true;
    const front = await world().front({
      fault(request) {
        if (!isRegistration(request) || !first) return undefined;
        first = false;
        return { kind: 'reset', when: 'after' };
      },
    });
    await world().server(subject.name, { ...world().at(front), clients: { recovery: 'Recreate' } });
    const client = await world().client(subject);
    await world().ready(subject);
    assert.equal(posts(front), 2);
    const [orphan, registered] = world().registrations(subject);
    assert.notEqual(orphan?.['client_id'], registered?.['client_id']);
    assert.equal((await world().status(subject))?.clientId, registered?.['client_id']);
    assert.equal((await keysOf(subject)).length, 1);
    await waitFor(async () => (await eventsOf(client)).includes('OrphanSuspected'));
  });

  test('a server that is unavailable: nothing was registered, and it is not asked without a pause', async () => {
    const subject = { name: 'unavailable' };
    const times: number[] = [];
    const unavailable: FaultAction = { kind: 'respond', status: 503, body: '<html>', headers: html };
    const front = await world().front({
      fault(request) {
        if (!isRegistration(request)) return undefined;
        times.push(performance.now());
        return unavailable;
      },
    });
    await world().server(subject.name, world().at(front));
    await world().client(subject);
    const { message } = await world().becomes(subject, 'Unknown', 'ServerUnavailable');
    assert.match(message, /answered 503 when asked to register the client\. It is tried again/);
    await waitFor(() => times.length >= 3, 60_000);
    for (const [i, time] of times.entries())
      assert.ok(i === 0 || time - (times[i - 1] ?? 0) > 300, `asked at ${String(times)}`);
    assert.equal(await world().secret(subject), undefined);
    front.server.setFault(undefined);
    await world().recovers(subject);
  });

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
      'Unknown',
      'AuthorizationServerNotReady',
      /has a problem that the platform team sees/,
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
  const tokenSecret = (name: string, data: Record<string, string>) => opaqueSecret({ namespace: SYSTEM, name }, data);

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

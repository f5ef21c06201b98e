/** Answers to a registration that say something else than was asked, that are lost, or that put it off. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RENEW_REQUESTED } from '../../../src/api/annotations.ts';
import { oauthClients } from '../../../src/api/resources.ts';
import { events, type KubernetesObject } from '../../../src/kube/resource.ts';
import { secretValues } from '../../support/application.ts';
import type { Fault, FaultAction, ReceivedRequest } from '../../support/fault.ts';
import { waitFor } from '../../support/wait-for.ts';
import { apply, opaqueSecret } from '../../support/cluster-objects.ts';
import { type Front, GENEROUS_MS, type Subject, SYSTEM, TEAM, type World } from './world.ts';

const isRegistration = ({ method, route }: ReceivedRequest) => method === 'POST' && route === '/reg';
const onRegistration =
  (action: FaultAction): Fault =>
  (request) =>
    isRegistration(request) ? action : undefined;
const posts = ({ server }: Front) => server.requests().get('POST /reg') ?? 0;
const html = { 'content-type': 'text/html' };

export function registrationTests(world: () => World): void {
  const kube = () => world().kube;

  /** A change that asks for nothing, and is seen: a pass has looked at everything again. */
  async function lookedAtAgain(subject: Subject): Promise<void> {
    const patch = { spec: { certificate: { drain: '47h' } } };
    const { metadata } = await kube().patch(oauthClients, { namespace: TEAM, ...subject }, patch, { type: 'merge' });
    await waitFor(async () => (await world().status(subject))?.observedGeneration === metadata.generation, GENEROUS_MS);
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
      await waitFor(async () => (await eventsOf(client)).includes('OrphanSuspected'), GENEROUS_MS);

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
    await waitFor(async () => (await eventsOf(client)).includes('OrphanSuspected'), GENEROUS_MS);
  });

  test('a credential that the API server does not give: nothing was asked, and no client is suspected', async () => {
    const subject = { name: 'credential-withheld' };
    const front = await world().front({ initialAccessToken: 'right-token' });
    await apply(kube(), opaqueSecret({ namespace: SYSTEM, name: subject.name }, { token: 'right-token' }));
    const dynamicRegistration = { initialAccessTokenSecretRef: { name: subject.name, key: 'token' } };
    await world().server(subject.name, { ...world().at(front), dynamicRegistration });
    await world().serverBecomes(subject.name, 'True', 'Ready');
    const { faultProxy } = world().installation;
    assert.ok(faultProxy !== undefined);
    const withheld = faultProxy.inject(
      ({ verb, resource, name }) => verb === 'get' && resource === 'secrets' && name === subject.name,
      { kind: 'answer', status: 500, reason: 'InternalError' },
    );
    const client = await world().client(subject);
    await waitFor(() => withheld.hits >= 3, GENEROUS_MS);
    await lookedAtAgain(subject);
    assert.equal((await world().condition(subject, 'Registered'))?.status, 'Unknown');
    assert.equal(posts(front), 0);
    withheld.end();
    await world().recovers(subject);
    assert.equal(posts(front), 1);
    assert.ok(!(await eventsOf(client)).includes('OrphanSuspected'));
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
    await waitFor(() => times.length >= 3, GENEROUS_MS);
    for (const [i, time] of times.entries())
      assert.ok(i === 0 || time - (times[i - 1] ?? 0) > 300, `asked at ${String(times)}`);
    assert.equal(await world().secret(subject), undefined);
    front.server.setFault(undefined);
    await world().recovers(subject);
  });
}

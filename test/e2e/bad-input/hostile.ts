/** Hostile servers, from the operator's end: a condition says what they did, and what is published stays as it is. */
import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import { RENEW_REQUESTED } from '../../../src/api/annotations.ts';
import { oauthClients } from '../../../src/api/resources.ts';
import type { FaultAction, ReceivedRequest } from '../../support/fault.ts';
import { TEAM, type World } from './world.ts';

const isRegistration = ({ method, route }: ReceivedRequest) => method === 'POST' && route === '/reg';
const json = { 'content-type': 'application/json' };

export function hostileTests(world: () => World): void {
  const renew = (name: string) => {
    const patch = { metadata: { annotations: { [RENEW_REQUESTED]: 'now' } } };
    return world().kube.patch(oauthClients, { namespace: TEAM, name }, patch, { type: 'merge' });
  };

  test('a server that leads to another', async () => {
    const subject = { name: 'redirects' };
    const thief = await world().front();
    const front = await world().front({
      fault: (request) =>
        isRegistration(request)
          ? { kind: 'respond', status: 307, body: '', headers: { location: `${thief.issuer}/reg?token=SECRET` } }
          : undefined,
    });
    await world().server(subject.name, world().at(front));
    await world().client(subject);
    const { message } = await world().becomes(subject, 'False', 'OrphanSuspected');
    assert.ok(!message.includes('SECRET'));
    assert.equal(thief.server.requests().size, 0);
    front.server.setFault(undefined);
    await renew(subject.name);
    await world().recovers(subject);
  });

  test('a server that would have the registration managed elsewhere', async () => {
    const subject = { name: 'managed-elsewhere' };
    const thief = await world().front();
    const elsewhere: FaultAction = {
      kind: 'rewrite',
      body: (body) => ({ ...body, registration_client_uri: `${thief.issuer}/reg/x` }),
    };
    const front = await world().front({ fault: (request) => (isRegistration(request) ? elsewhere : undefined) });
    await world().server(subject.name, world().at(front));
    await world().client(subject);
    await world().becomes(subject, 'False', 'OrphanSuspected');
    assert.equal(thief.server.requests().size, 0, 'the registration access token went there');
    assert.equal(await world().secret(subject), undefined);
  });

  const discoveries: [string, FaultAction, RegExp][] = [
    [
      'nested without end',
      { kind: 'respond', status: 200, body: `${'['.repeat(300_000)}${']'.repeat(300_000)}`, headers: json },
      /answered 200 with something that is no JSON object/,
    ],
    [
      'compressed',
      {
        kind: 'respond',
        status: 200,
        body: gzipSync('{}').toString('latin1'),
        headers: { ...json, 'content-encoding': 'gzip' },
      },
      /answered 200 with something that is no JSON object/,
    ],
    [
      'of two megabytes',
      { kind: 'respond', status: 200, body: ' '.repeat(2_000_000), headers: json },
      /larger than 1 MiB/,
    ],
  ];
  for (const [what, action, says] of discoveries) {
    test(`a discovery document that is ${what}`, async () => {
      const subject = { name: `discovery-${what.replaceAll(' ', '-')}` };
      const front = await world().front({ fault: () => action });
      await world().server(subject.name, world().at(front));
      await world().client(subject);
      const { message } = await world().serverBecomes(subject.name, 'False', 'DiscoveryFailed');
      assert.match(message, says);
      await world().nothingWritten(subject);
      front.server.setFault(undefined);
      await world().recovers(subject);
    });
  }

  test('a server that turns on a client that works', async () => {
    const subject = { name: 'turned-on' };
    const front = await world().front();
    await world().server(subject.name, world().at(front));
    await world().client(subject);
    await world().recovers(subject);
    const before = Object(await world().secret(subject)).data;
    front.server.setFault(({ route, method }) =>
      route.startsWith('/reg') && method !== 'GET'
        ? {
            kind: 'respond',
            status: 400,
            body: JSON.stringify({ error: 'x', error_description: '-eyJ'.repeat(200_000) }),
            headers: json,
          }
        : undefined,
    );
    await world().client(subject, { clientName: 'another name' });
    const { message } = await world().becomesOf(subject, 'Registered', 'False', 'RegistrationRefused');
    assert.ok(message.length < 1_000);
    await world().ready(subject);
    assert.deepEqual(Object(await world().secret(subject)).data, before, 'the Secret was touched');
    front.server.setFault(undefined);
    await world().becomesOf(subject, 'Registered', 'True', 'Registered');
  });
}

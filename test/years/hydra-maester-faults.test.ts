/**
 * What ory/hydra-maester is known to do wrong, by its issues and by reading it, and that it does not happen here. Where real
 * parts prove it:
 *
 * | Fault                                                             | Proved by                                                       |
 * | ----------------------------------------------------------------- | --------------------------------------------------------------- |
 * | a failed POST, PUT or Secret ends Ready                           | here; test/faults (authorization server), test/e2e/bad-input    |
 * | GET 401 counts as "not found", and it registers anew              | here; test/e2e/registration-gone.test.ts                        |
 * | it lists one page of 100 clients, and misses the rest             | not applicable: clients are never listed, each is asked for     |
 * | `orphan` and a lost Secret make a second client (`deletionPolicy`) | here; test/e2e/deletion.test.ts                                |
 * | registering deletes other clients of the same owner               | here; test/servers/adoption.test.ts                             |
 * | a tenant sets any URL to register at (SSRF)                       | here, over the whole schema                                     |
 * | random credentials, because a Secret is late (#294)               | test/e2e/bad-input/servers.ts (a token that is missing)         |
 * | a changed Secret is not propagated (#59)                          | here (ours); test/servers/keycloak-bad-input (the platform's)   |
 * | a deletion leaves the client (#278)                               | here; test/e2e/deletion.test.ts                                 |
 * | a restarted or restored server is not synced again (#49)          | here; test/servers/drift.test.ts                                |
 * | two installations collide (ory/k8s#138)                           | test/authserver/reconcile.test.ts (`controllerName`); adoption  |
 * | `owner` is namespace/name: two clusters collide                   | test/servers/adoption.test.ts (another cluster, one realm)      |
 * | an id that the team chooses (#117, #155)                          | test/authserver/client-ids.test.ts; test/servers/adoption       |
 * | clients are not always made (#106)                                | here (a crash at any point); test/years/trouble                 |
 * | the deletion of a namespace hangs (edp #62)                       | test/e2e/deletion.test.ts                                       |
 * | after a crash 409 for ever (crossplane provider-keycloak #181)    | here; test/faults/crash.cases.ts                                |
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { oauthClient } from '../../src/api/oauth-client.ts';
import { hour } from '../oauthclient/view.ts';
import { World, type WorldOptions } from './world.ts';

const minute = 60_000;

function create(options: Partial<WorldOptions> = {}): World {
  return new World({ method: 'tls_client_auth', verifyInterval: '1h', watched: false, ...options });
}

async function ready(options: Partial<WorldOptions> = {}): Promise<World> {
  const world = create(options);
  await world.begin();
  await world.run(world.clock.now() + 30 * minute);
  assert.equal(world.ready, 'True/Ready');
  return world;
}

const condition = (world: World, type: string) => world.client.status?.conditions?.find((one) => one.type === type);
const count = (world: World, method: string) =>
  world.authorizationServer.calls.filter((call) => call.startsWith(`${method} /reg`)).length;

describe('what hydra-maester does wrong', () => {
  test('a failed POST is never Ready', async () => {
    const world = create();
    await world.begin();
    world.calls = Array.from({ length: 200 }, () => 'refused');
    const end = world.clock.now() + hour;
    while (world.clock.now() < end) {
      await world.run(world.clock.now() + minute);
      assert.ok(world.ready?.startsWith('True') !== true, world.ready);
      assert.equal(world.secret, undefined);
    }
    assert.equal(condition(world, 'Registered')?.reason, 'RegistrationRefused');
  });

  test('a Secret that can’t be written is not Ready', async () => {
    const world = await ready();
    world.damage(undefined);
    for (let round = 0; round < 300; round++) {
      // The first write of each try; what status says then is taken.
      world.writes = ['refused'];
      await world.run(world.clock.now() + 300);
      assert.equal(world.secret, undefined);
      assert.ok(world.ready?.startsWith('True') !== true, world.ready);
    }
    world.writes = [];
    await world.run(world.clock.now() + 5 * minute);
    assert.equal(world.ready, 'True/Ready');
    assert.notEqual(world.secret, undefined);
  });

  test('a failed PUT says so, and takes nothing from what works', async () => {
    const world = await ready();
    world.calls = Array.from({ length: 50 }, () => 'refused');
    world.change({ scope: 'accounts:read' });
    await world.run(world.clock.now() + 10 * minute);
    assert.equal(condition(world, 'Registered')?.status, 'False');
    assert.equal(condition(world, 'Stalled')?.status, 'True');
    assert.ok(world.works);
  });

  test('GET 401 never registers anew', async () => {
    const world = await ready();
    world.authorizationServer.replaceToken(world.client.status?.clientId ?? '');
    await world.run(world.clock.now() + 48 * hour);
    assert.equal(count(world, 'POST'), 1);
    assert.equal(world.authorizationServer.clientIds.length, 1);
    assert.equal(condition(world, 'Registered')?.reason, 'RegistrationAccessTokenLost');
  });

  test('a lost Secret of the operator, and deletionPolicy Orphan, make no second client', async () => {
    const world = await ready({ grants: { recovery: 'Manual', deletion: ['Delete', 'Orphan'] } });
    const { clientId = '' } = world.client.status ?? {};
    world.change({ deletionPolicy: 'Orphan' });
    world.loseRecord();
    await world.run(world.clock.now() + 2 * hour);
    assert.equal(condition(world, 'Registered')?.reason, 'RecordLost');
    world.deleteClient();
    await world.run(world.clock.now() + 10 * minute);
    assert.ok(world.deleted);
    assert.deepEqual(world.authorizationServer.clientIds, [clientId]);
    assert.ok(world.events.some((event) => event.includes(`Client ${clientId} stays registered`)));
  });

  test('whoever else has a client there keeps it, under the same name too', async () => {
    const world = create();
    const metadata = { client_name: 'test-1/payments/batch', scope: 'theirs' };
    const others = [metadata, { ...metadata, client_name: 'batch' }].map((body) => {
      const request = { method: 'POST', path: '/reg', token: undefined, certificate: undefined };
      const { json } = world.authorizationServer.handle({ ...request, body: JSON.stringify(body) });
      return String(Object(json)['client_id']);
    });
    await world.begin();
    await world.run(world.clock.now() + hour);
    assert.equal(world.ready, 'True/Ready');
    world.requestRenewal('1');
    await world.run(world.clock.now() + hour);
    world.deleteClient();
    await world.run(world.clock.now() + hour);
    assert.ok(world.deleted);
    assert.deepEqual(world.authorizationServer.clientIds, others);
    assert.equal(world.authorizationServer.metadataOf(others[0] ?? '')?.['scope'], 'theirs');
  });

  test('a tenant can write no URL that the operator would call', () => {
    const named = (schema: unknown, path: string[]): string[] =>
      Object.entries(Object(Object(schema)['properties'])).flatMap(([name, child]) => [
        [...path, name].join('.'),
        ...named(child, [...path, name]),
        ...named(Object(child)['items'], [...path, name]),
      ]);
    const spec = oauthClient.shape.spec;
    const fields = named(z.toJSONSchema(spec, { unrepresentable: 'any' }), []);
    assert.ok(fields.length > 20, fields.join());
    const addresses = fields.filter((field) => /ur[il]|host|endpoint$|address|proxy|server/i.test(field));
    // Redirect URIs are the browser's; the subject is a name; the server is named, and the platform's.
    assert.deepEqual(addresses, [
      'authorizationServerRef',
      'authorizationServerRef.name',
      'redirectURIs',
      'certificate.subject.uri',
      'certificate.subject.ipAddress',
      'certificate.subject.emailAddress',
    ]);
  });

  test('a published Secret that is changed or deleted is as it was, within seconds', async () => {
    const world = await ready();
    const before = world.secret?.['data'];
    for (const value of ['bm90IHRoZSBrZXk=', undefined]) {
      world.damage(value);
      await world.run(world.clock.now() + 5_000);
      assert.deepEqual(world.secret?.['data'], before);
    }
  });

  test('a deletion leaves nothing', async () => {
    const world = await ready();
    world.deleteClient();
    await world.run(world.clock.now() + minute);
    assert.ok(world.deleted);
    assert.deepEqual(world.authorizationServer.clientIds, []);
    assert.equal(world.record, undefined);
    assert.equal(world.secret, undefined);
  });

  test('a server that is restored from a backup is told again what it forgot', async () => {
    const world = await ready();
    const restore = world.authorizationServer.backUp();
    world.change({ scope: 'accounts:read' });
    await world.run(world.clock.now() + 10 * minute);
    restore();
    const clientId = world.client.status?.clientId ?? '';
    assert.notEqual(world.authorizationServer.metadataOf(clientId)?.['scope'], 'accounts:read');
    await world.run(world.clock.now() + hour + minute);
    assert.equal(world.authorizationServer.metadataOf(clientId)?.['scope'], 'accounts:read');
  });

  test('a crash at any point of the beginning ends Ready, with one client', async () => {
    for (let point = 0; point < 24; point++) {
      const world = create();
      await world.begin();
      world.killAfter(point);
      if (!(await world.run(world.clock.now() + 10 * minute))) world.start();
      await world.run(world.clock.now() + hour);
      assert.equal(world.ready, 'True/Ready', `killed at point ${point}`);
      const orphans = world.record?.state.suspectedOrphans.length ?? 0;
      assert.ok(world.authorizationServer.clientIds.length <= 1 + orphans, `killed at point ${point}`);
    }
  });
});

/**
 * How a deletion ends: what the team asks for × what the platform allows × the server × the right to remove the client. Every
 * one ends, or says how long it is tried and what to do.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { hour } from '../oauthclient/view.ts';
import { World } from './world.ts';

const minute = 60_000;
const deadline = '2h';

type Policy = 'Delete' | 'Orphan';
type Allowed = 'nothing' | 'Orphan' | 'a deadline';
type Server = 'up' | 'down' | 'gone';
type Token = 'there' | 'lost';
/** `removed`: at the server too. `left`: at once. `late`: at the deadline. `waits`: for ever. */
type End = 'removed' | 'left' | 'late' | 'waits';

const cases: [Policy, Allowed, Server, Token, End][] = [
  ['Delete', 'nothing', 'up', 'there', 'removed'],
  ['Delete', 'nothing', 'up', 'lost', 'waits'],
  ['Delete', 'nothing', 'down', 'there', 'waits'],
  ['Delete', 'nothing', 'down', 'lost', 'waits'],
  ['Delete', 'nothing', 'gone', 'there', 'waits'],
  ['Delete', 'nothing', 'gone', 'lost', 'waits'],
  ['Delete', 'Orphan', 'up', 'there', 'removed'],
  ['Delete', 'Orphan', 'up', 'lost', 'waits'],
  ['Delete', 'Orphan', 'down', 'there', 'waits'],
  ['Delete', 'Orphan', 'gone', 'there', 'waits'],
  ['Delete', 'a deadline', 'up', 'there', 'removed'],
  ['Delete', 'a deadline', 'up', 'lost', 'late'],
  ['Delete', 'a deadline', 'down', 'there', 'late'],
  ['Delete', 'a deadline', 'down', 'lost', 'late'],
  ['Delete', 'a deadline', 'gone', 'there', 'late'],
  ['Delete', 'a deadline', 'gone', 'lost', 'late'],
  // A tenant alone leaves nothing behind.
  ['Orphan', 'nothing', 'up', 'there', 'removed'],
  ['Orphan', 'nothing', 'up', 'lost', 'waits'],
  ['Orphan', 'nothing', 'down', 'there', 'waits'],
  ['Orphan', 'nothing', 'down', 'lost', 'waits'],
  // Nobody is there to remove it from, or to forbid it.
  ['Orphan', 'nothing', 'gone', 'there', 'left'],
  ['Orphan', 'nothing', 'gone', 'lost', 'left'],
  ['Orphan', 'Orphan', 'up', 'there', 'left'],
  ['Orphan', 'Orphan', 'up', 'lost', 'left'],
  ['Orphan', 'Orphan', 'down', 'there', 'left'],
  ['Orphan', 'Orphan', 'down', 'lost', 'left'],
  ['Orphan', 'Orphan', 'gone', 'there', 'left'],
  ['Orphan', 'Orphan', 'gone', 'lost', 'left'],
  ['Orphan', 'a deadline', 'up', 'there', 'removed'],
  ['Orphan', 'a deadline', 'up', 'lost', 'late'],
  ['Orphan', 'a deadline', 'down', 'there', 'late'],
  ['Orphan', 'a deadline', 'down', 'lost', 'late'],
  ['Orphan', 'a deadline', 'gone', 'there', 'left'],
  ['Orphan', 'a deadline', 'gone', 'lost', 'left'],
];

const grants = {
  nothing: {},
  Orphan: { deletion: ['Delete', 'Orphan'] satisfies Policy[] },
  'a deadline': { deregistrationDeadline: deadline },
};

async function begun(policy: Policy, allowed: Allowed): Promise<World> {
  const world = new World({ method: 'tls_client_auth', watched: false, grants: grants[allowed] });
  await world.begin();
  await world.run(world.clock.now() + 10 * minute);
  assert.equal(world.ready, 'True/Ready');
  world.change({ deletionPolicy: policy });
  return world;
}

const registered = (world: World) => world.client.status?.conditions?.find(({ type }) => type === 'Registered');
const orphanEvents = (world: World) => world.events.filter((event) => event.startsWith('Orphaned: '));

async function assertEnd(world: World, end: End, clientId: string): Promise<void> {
  const isLate = end === 'late';
  if (end === 'removed' || end === 'left') assert.ok(world.deleted);
  else {
    const { status, message = '' } = registered(world) ?? {};
    assert.notEqual(status, 'True');
    assert.match(
      message,
      isLate ? /It is tried until \S+Z .*left behind/ : /as long as it takes\. .*deregistrationDeadline/,
    );
    assert.notEqual(world.record?.state.registration, undefined);
    await world.run(world.clock.now() + 2 * hour);
    assert.equal(world.deleted, isLate);
  }
  const names = (event: string) => event.startsWith(`Orphaned: Client ${clientId} stays registered at the server`);
  assert.equal(orphanEvents(world).some(names), end === 'left' || isLate);
  if (end !== 'waits') assert.equal(world.record, undefined);
  assert.equal(world.secret === undefined, end !== 'waits', 'what applications read');
}

describe('the end of a client', () => {
  for (const [policy, allowed, server, token, end] of cases) {
    test(`${policy}, ${allowed} allowed, server ${server}, token ${token}: ${end}`, async () => {
      const world = await begun(policy, allowed);
      const clientId = world.client.status?.clientId ?? '';
      if (token === 'lost') world.authorizationServer.replaceToken(clientId);
      if (server !== 'up') world.awayUntil = Infinity;
      if (server === 'gone') world.removeServer();
      world.deleteClient();
      await world.run(world.clock.now() + hour);
      await assertEnd(world, end, clientId);
      assert.deepEqual(world.authorizationServer.clientIds, end === 'removed' ? [] : [clientId]);
    });
  }

  test('the server comes back before the deadline: it is removed there, and nothing is told of it', async () => {
    const world = await begun('Delete', 'a deadline');
    world.awayUntil = world.clock.now() + hour;
    world.deleteClient();
    await world.run(world.clock.now() + hour + 5 * minute);
    assert.ok(world.deleted);
    assert.deepEqual(world.authorizationServer.clientIds, []);
    assert.deepEqual(orphanEvents(world), []);
  });

  test('nobody was there until after the deadline: it is tried all the same', async () => {
    const world = await begun('Delete', 'a deadline');
    world.kill();
    world.deleteClient();
    await world.run(world.clock.now() + 5 * hour);
    world.start();
    await world.run(world.clock.now() + minute);
    assert.ok(world.deleted);
    assert.deepEqual(world.authorizationServer.clientIds, []);
  });

  test('the AuthorizationServer goes while it waits, with a deadline that came after the last certificate', async () => {
    const world = await begun('Delete', 'nothing');
    world.grant({ deregistrationDeadline: deadline });
    world.awayUntil = Infinity;
    world.deleteClient();
    await world.run(world.clock.now() + minute);
    world.removeServer();
    await world.run(world.clock.now() + hour);
    assert.match(registered(world)?.message ?? '', /is gone or stands for another issuer.*It is tried until/);
    await world.run(world.clock.now() + hour);
    assert.ok(world.deleted);
    assert.equal(orphanEvents(world).length, 1);
  });

  for (const server of ['up', 'gone'] as const) {
    test(`the operator dies at every point of a first registration, server ${server} then: what may be left there is told`, async () => {
      let left = 0;
      for (let point = 0, died = true; died; point++) {
        const world = new World({ method: 'tls_client_auth', watched: false });
        await world.begin();
        world.killAfter(point);
        died = !(await world.run(world.clock.now() + hour));
        if (!died) break;
        if (server === 'gone') world.removeServer();
        world.deleteClient();
        world.start();
        await world.run(world.clock.now() + hour);
        const { clientIds } = world.authorizationServer;
        const told = world.events.some((event) => event.startsWith('OrphanSuspected: '));
        // What is known to be registered waits for its server.
        const waits = server === 'gone' && world.record?.state.registration !== undefined;
        assert.equal(world.deleted, !waits, `killed at point ${point}`);
        if (clientIds.length > 0 && !waits) assert.ok(told, `killed at point ${point}: ${clientIds.join()} is left`);
        if (!waits) assert.deepEqual(world.heldIdentities, [], `killed at point ${point}`);
        if (told) left += clientIds.length;
      }
      assert.ok(left > 0, 'no answer was lost');
    });
  }

  test('the operator dies at every point of being late: it ends, and is told', async () => {
    for (let point = 0; point < 8; point++) {
      const world = await begun('Delete', 'a deadline');
      world.awayUntil = Infinity;
      world.deleteClient();
      await world.run(world.clock.now() + 2 * hour - minute);
      assert.ok(!world.deleted);
      world.killAfter(point);
      if (!(await world.run(world.clock.now() + 10 * minute))) {
        world.start();
        await world.run(world.clock.now() + 10 * minute);
      }
      assert.ok(world.deleted, `killed at point ${point}`);
      assert.notDeepEqual(orphanEvents(world), []);
    }
  });
});

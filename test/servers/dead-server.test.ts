/** 300 clients of an authorization server that is dead, and five of one that is not, on one operator. */
import assert from 'node:assert/strict';
import { createServer, type Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { authorizationServer } from '../../src/api/authorization-server.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { type Front, World } from '../e2e/bad-input/world.ts';
import { listen, type Listening } from '../support/listen.ts';
import { waitFor } from '../support/wait-for.ts';

const MANY = 300;
/** Workers of the operator; of one server's clients three quarters of them are worked on at a time. */
const SHARE = 12;
const FAILURES = 5;
const LONGEST_PAUSE_MS = 20_000;

const dead = Array.from({ length: MANY }, (_, i) => ({ name: `dead-${i}` }));
const alive = Array.from({ length: 5 }, (_, i) => ({ name: `alive-${i}` }));

describe('an authorization server that is dead', () => {
  let world: World;
  let front: Front;
  /** What is in its place: takes connections, and says nothing. */
  let silent: Listening;
  let connections = 0;
  let since = 0;
  const sockets = new Set<Socket>();

  before(async () => {
    world = await World.start([]);
    front = await world.front();
    const good = await world.front();
    await world.server('dead', world.at(front));
    await world.server('good', world.at(good));
    for (const name of ['dead', 'good']) await world.serverBecomes(name, 'True', 'Ready');
    await front.stop();
    const server = createServer((socket) => {
      connections += 1;
      sockets.add(socket.on('error', () => undefined));
    });
    silent = await listen(server, Number(new URL(front.issuer).port));
    since = performance.now();
  });
  after(() => world?.stop());

  const applied = (subjects: readonly { name: string }[], server: string) =>
    Promise.all(subjects.map((subject) => world.client(subject, { authorizationServerRef: { name: server } })));
  const reachable = async () => {
    const object = await world.kube.get(authorizationServers, { name: 'dead' });
    return authorizationServer.parse(object).status?.conditions?.find(({ type }) => type === 'Reachable');
  };
  /** What it can have been sent: those that were on their way, and then one in so many seconds. */
  const bound = () => FAILURES + SHARE + 4 + Math.ceil((performance.now() - since) / LONGEST_PAUSE_MS);

  it('holds up no client of another server', async (t) => {
    await applied(dead, 'dead');
    await applied(alive, 'good');
    const started = performance.now();
    await Promise.all(alive.map((subject) => world.ready(subject)));
    t.diagnostic(`five clients were Ready after ${Math.round(performance.now() - started)} ms, with ${MANY} others`);
    assert.ok(connections <= bound(), `${connections} connections to the dead server`);
  });

  it('is known for it, and its clients say so', async (t) => {
    await waitFor(async () => (await reachable())?.status === 'False', 120_000);
    assert.match(
      (await reachable())?.message ?? '',
      /^https:\/\/localhost:\d+ fails since .*: it did not answer within 10 s\./,
    );
    for (const subject of dead) {
      const { message } = await world.becomes(subject, 'Unknown', 'ServerUnavailable');
      assert.match(message, /fails since|could not be asked/);
    }
    const asked = performance.now() - since;
    t.diagnostic(`${connections} connections to the dead server in ${Math.round(asked / 1000)} s`);
    assert.ok(connections <= bound(), `${connections} connections to the dead server`);
    assert.deepEqual(
      dead.flatMap((subject) => world.registrations(subject)),
      [],
    );
  });

  it('is in use again within a minute of its return, and every client is registered once', async (t) => {
    for (const socket of sockets) socket.destroy();
    await silent.stop();
    await front.start();
    const started = performance.now();
    await waitFor(async () => (await reachable()) === undefined, 60_000);
    t.diagnostic(`it was in use after ${Math.round(performance.now() - started)} ms`);
    for (const subject of dead) await world.recovers(subject);
    t.diagnostic(`${MANY} clients were Ready after ${Math.round(performance.now() - started)} ms`);
  });
});

/** Two replicas of the operator: one works, whatever happens to it, and never both. */
import assert from 'node:assert/strict';
import { after, before, describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { leases } from '../../src/kube/lease.ts';
import type { AuditEvent } from '../support/audit-log.ts';
import { apply, documents } from '../support/cluster-objects.ts';
import { startInstallation, type Installation } from '../support/installation.ts';
import { boundTo, TestClient } from '../support/oauth-client.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, serverReady } from './lifecycle-world.ts';

const LEASE = { namespace: 'certbound-system', name: 'certbound' };
/** Where a test waits for a takeover; what it took is reported, and decides nothing. */
const PATIENCE_MS = 60_000;
const writing = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);
const pods = ['certbound-a', 'certbound-b'] as const;
type Pod = (typeof pods)[number];

let world: Installation;
const replicas = new Map<Pod, OperatorProcess>();

async function start(pod: Pod, environment: Record<string, string> = {}): Promise<OperatorProcess> {
  const started = await world.startOperator({
    CERTBOUND_LEADER_ELECTION: 'true',
    CERTBOUND_POD_NAME: pod,
    ...environment,
  });
  replicas.set(pod, started);
  return started;
}

function replica(pod: Pod): OperatorProcess {
  const found = replicas.get(pod);
  if (found === undefined) throw new Error(`${pod} was not started`);
  return found;
}

/** The Pod that the Lease names. */
async function holder(): Promise<Pod | undefined> {
  const object = await world.kube.get(leases, LEASE);
  const identity: unknown = Reflect.get(Object(object?.['spec']), 'holderIdentity');
  return pods.find((pod) => typeof identity === 'string' && identity.startsWith(`${pod}_`));
}

async function roles(): Promise<{ leader: Pod; standby: Pod }> {
  const leader = await holder();
  const standby = pods.find((pod) => pod !== leader);
  if (leader === undefined || standby === undefined) throw new Error('nobody leads');
  return { leader, standby };
}

async function masterStatus(pod: Pod): Promise<string | undefined> {
  return /^leader_election_master_status\{name="certbound"\} (.*)$/m.exec(await replica(pod).metrics())?.[1];
}

async function leads(pod: Pod): Promise<void> {
  await waitFor(async () => (await holder()) === pod, PATIENCE_MS);
  await waitFor(async () => (await masterStatus(pod)) === '1');
}

const from = (pod: Pod) => (event: AuditEvent) => event.userAgent.endsWith(` ${pod}`);
const accepted = ({ code, verb }: AuditEvent) => writing.has(verb) && code < 400;
const takesLease = (pod: Pod) => (event: AuditEvent) =>
  from(pod)(event) && event.resource === 'leases' && accepted(event);
const shown = (events: readonly AuditEvent[]) => events.map((e) => `${e.verb} ${e.requestURI} ${e.code}`);

const client = (name: string) => new TestClient(world, { namespace: 'payments', name });

/** Asks for a renewal, and waits until it is done. */
async function renewed(name: string, request: string): Promise<void> {
  await client(name).annotate({ [RENEW_REQUESTED]: request });
  await client(name).until((status) => status.lastHandledRenew === request, PATIENCE_MS);
  await client(name).ready();
}

async function timed(t: TestContext, what: string, work: () => Promise<void>): Promise<void> {
  const started = performance.now();
  await work();
  t.diagnostic(`${what}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

function assertOnce(...names: string[]): void {
  for (const name of names) assert.equal(client(name).registrations().length, 1, `registrations of ${name}`);
}

describe('two replicas', () => {
  before(async () => {
    world = await startInstallation();
    await apply(world.kube, ...edited(await world.platform()), ...(await documents(INGRESSES)));
    await Promise.all(pods.map((pod) => start(pod)));
    await serverReady(world, 'corporate');
    await world.ingressController.settled();
  });
  after(() => world.stop());

  it('are both ready, and one does the work, once', async () => {
    const names = ['one', 'two', 'three'];
    await Promise.all(names.map((name) => client(name).apply()));
    await Promise.all(names.map((name) => client(name).ready()));
    const { leader, standby } = await roles();
    assert.deepEqual([await masterStatus(leader), await masterStatus(standby)], ['1', '0']);
    assertOnce(...names);
    assert.equal(world.authorizationServer.requests().get('POST /reg'), names.length);
    const events = await world.plane.auditEvents();
    assert.ok(events.filter(from(leader)).filter(accepted).length > 10);
    assert.deepEqual(shown(events.filter(from(standby)).filter(accepted)), []);
    assert.ok(events.some((event) => from(standby)(event) && event.verb === 'list'));
  });

  it('tell the same of every client, whoever works', async () => {
    const told = async (pod: Pod) =>
      (await replica(pod).metrics()).split('\n').filter((line) => line.startsWith('certbound_oauthclient_'));
    await waitFor(async () => {
      const [one, other] = await Promise.all(pods.map(told));
      return one?.length === 9 && new Set([...one, ...(other ?? [])]).size === 9 && other?.length === 9;
    });
  });

  it('SIGTERM: the other goes on within seconds', async (t) => {
    const { leader, standby } = await roles();
    const leaving = replica(leader);
    await timed(t, 'SIGTERM until the other leads', async () => {
      leaving.signal('SIGTERM');
      await leads(standby);
    });
    assert.equal(await leaving.exited, 0);
    await timed(t, 'a renewal after it', () => renewed('one', 'after-sigterm'));
    await start(leader);
    assert.equal(await holder(), standby, 'who comes back waits');
    assertOnce('one');
  });

  it('SIGKILL: the other goes on when the Lease has ended', async (t) => {
    const { leader, standby } = await roles();
    await replica(leader).kill();
    await timed(t, 'SIGKILL until a renewal asked for right after it is done', () => renewed('two', 'after-sigkill'));
    assert.equal(await holder(), standby);
    await start(leader);
    assertOnce('two');
  });

  it('SIGKILL and a new container in the same Pod: it goes on at once', async (t) => {
    const { leader } = await roles();
    await replica(leader).kill();
    await timed(t, 'restart until it leads again', async () => {
      await start(leader);
      await leads(leader);
    });
    await renewed('two', 'after-restart');
  });

  it('SIGSTOP past the Lease and SIGCONT: nothing that the old leader sends is accepted', async (t) => {
    const { leader, standby } = await roles();
    const old = replica(leader);
    // It is stopped while a call to the authorization server is under way; the answer is there when it goes on.
    const held = Promise.withResolvers<void>();
    let calls = 0;
    world.authorizationServer.setFault(async ({ method, route }) => {
      if (method !== 'POST' || route !== '/token' || ++calls > 1) return undefined;
      await held.promise;
      return undefined;
    });
    await client('three').annotate({ [RENEW_REQUESTED]: 'while-stopped' });
    await waitFor(() => calls > 0);
    const stoppedAt = new Date();
    old.signal('SIGSTOP');
    held.resolve();
    await timed(t, 'SIGSTOP until the other leads', () => leads(standby));
    world.authorizationServer.setFault(undefined);
    await client('three').until((status) => status.lastHandledRenew === 'while-stopped', PATIENCE_MS);
    await Promise.all(['four', 'five'].map((name) => client(name).apply()));
    await Promise.all(['four', 'five'].map((name) => client(name).ready()));

    // Work that both see: whoever thinks that it leads takes it on.
    await Promise.all(['six', 'seven'].map((name) => client(name).apply()));
    await timed(t, 'SIGCONT until the old one has ended', async () => {
      old.signal('SIGCONT');
      assert.equal(await old.exited, 75);
    });
    await Promise.all(['six', 'seven'].map((name) => client(name).ready()));

    const events = await world.plane.auditEvents();
    const takeover = events.find((e) => e.receivedAt > stoppedAt && takesLease(standby)(e));
    assert.ok(takeover !== undefined);
    const late = events.filter((event) => from(leader)(event) && event.receivedAt >= takeover.receivedAt);
    assert.deepEqual(shown(late.filter(accepted)), []);
    assertOnce('three', 'four', 'five', 'six', 'seven');
    await start(leader);
    assert.equal(await holder(), standby);
  });

  it('the Lease deleted by hand: its holder makes it anew, and nobody else leads', async () => {
    const { leader, standby } = await roles();
    // Who never saw one takes a Lease that is missing for one that never was.
    const since = new Date();
    const looked = (e: AuditEvent) => from(standby)(e) && e.resource === 'leases' && e.receivedAt >= since;
    await waitFor(async () => (await world.plane.auditEvents()).some(looked));
    const before_ = await world.kube.get(leases, LEASE);
    await world.kube.delete(leases, LEASE);
    const uid = async () => (await world.kube.get(leases, LEASE))?.metadata.uid ?? before_?.metadata.uid;
    await waitFor(async () => (await uid()) !== before_?.metadata.uid);
    assert.equal(await holder(), leader);
    // Longer than a Lease lasts that nobody renews.
    await sleep(17_000);
    assert.equal(await holder(), leader);
    assert.deepEqual([await masterStatus(leader), await masterStatus(standby)], ['1', '0']);
    await renewed('four', 'after-deletion');
  });

  it('no API server for longer than the deadline: the leader ends, and what is published goes on', async (t) => {
    const { leader, standby } = await roles();
    const credentials = await client('one').credentials();
    const old = replica(leader);
    await world.plane.stopApiServer();
    await timed(t, 'API server gone until the leader has ended', async () => {
      assert.equal(await old.exited, 75);
    });
    assert.equal(await boundTo(credentials), credentials.x5tS256);
    assert.equal(await masterStatus(standby), '0');
    await world.plane.startApiServer();
    await timed(t, 'API server back until the other leads', () => leads(standby));
    await renewed('one', 'after-outage');
    await start(leader);
    assertOnce('one');
  });

  it('leader election switched off: one instance works without a Lease', async () => {
    await Promise.all(pods.map((pod) => replica(pod).stop()));
    const since = new Date();
    await start('certbound-a', { CERTBOUND_LEADER_ELECTION: 'false' });
    await client('alone').apply();
    await client('alone').ready();
    assert.equal(await masterStatus('certbound-a'), undefined);
    const events = (await world.plane.auditEvents()).filter((event) => event.receivedAt >= since);
    const asked = events.filter((event) => from('certbound-a')(event) && event.resource === 'leases');
    assert.deepEqual(shown(asked), []);
  });
});

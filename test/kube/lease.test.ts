import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { OperatorError } from '../../src/errors.ts';
import { KubeClient, KubeError } from '../../src/kube/client.ts';
import { Elector } from '../../src/kube/elector.ts';
import { type Candidate, candidateOf, claimed, leases, nextMove, sighting } from '../../src/kube/lease.ts';
import { configMaps, type KubernetesObject } from '../../src/kube/resource.ts';
import { createMetrics } from '../../src/metrics.ts';
import { createLogger } from '../../src/telemetry.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';
import { waitFor } from '../support/wait-for.ts';

const namespace = 'default';
const ref = { namespace, name: 'certbound' };
const ours = candidateOf('certbound-a', 'node', '1');
const held = (holderIdentity: string, more: Record<string, unknown> = {}): KubernetesObject => ({
  metadata: ref,
  spec: {
    holderIdentity,
    leaseDurationSeconds: 15,
    leaseTransitions: 3,
    acquireTime: '2020-01-01T00:00:00.000000Z',
    renewTime: '2020-01-01T00:00:00.000000Z',
    ...more,
  },
});

describe('what to do about a Lease', () => {
  const at = (object: KubernetesObject | undefined, seenAt: number, now: number, candidate: Candidate = ours) =>
    nextMove(sighting(undefined, object, seenAt), candidate, now);

  test('one that never was is made', () => assert.equal(at(undefined, 0, 0), 'create'));

  test("another's is left alone for as long as it says from when we saw it, whatever the times in it are", () => {
    for (const renewTime of ['1999-01-01T00:00:00.000000Z', '2199-01-01T00:00:00.000000Z']) {
      const lease = held('certbound-b_1', { renewTime });
      assert.equal(at(lease, 1000, 1000), 'wait');
      assert.equal(at(lease, 1000, 15_999), 'wait');
      assert.equal(at(lease, 1000, 16_000), 'update');
    }
  });

  test('each change that we see begins a new wait', () => {
    const first = sighting(undefined, held('certbound-b_1'), 0);
    const same = sighting(first, held('certbound-b_1'), 14_000);
    assert.equal(nextMove(same, ours, 15_000), 'update');
    const renewed = sighting(same, held('certbound-b_1', { renewTime: '2019-01-01T00:00:00.000000Z' }), 14_000);
    assert.equal(nextMove(renewed, ours, 28_999), 'wait');
  });

  test('a released one is taken at once, and so is our own', () => {
    assert.equal(at(held('', { leaseDurationSeconds: 1 }), 0, 0), 'update');
    assert.equal(at(held(ours.identity), 0, 100_000), 'update');
  });

  test("the next container of a Pod need not wait for the one before; another Pod's must", () => {
    assert.equal(at(held('certbound-a_0'), 0, 0), 'update');
    assert.equal(at(held('certbound-ab_0'), 0, 0), 'wait');
    assert.equal(at(held('certbound-a_0'), 0, 0, candidateOf(undefined, 'certbound-a', '1')), 'wait', 'a shared host');
  });

  test('one that was deleted is its holder’s until it would have expired', () => {
    const gone = sighting(sighting(undefined, held('certbound-b_1'), 0), undefined, 5000);
    assert.equal(nextMove(gone, ours, 14_999), 'wait');
    assert.equal(nextMove(gone, ours, 15_000), 'create');
    assert.equal(nextMove(gone, { identity: 'certbound-b_1', pod: undefined }, 5000), 'create', 'its holder');
  });

  test('a new holder is counted, and what others wrote into it stays', () => {
    const seen = sighting(undefined, held('certbound-b_1', { strategy: 'OldestEmulationVersion' }), 0);
    assert.deepEqual(claimed(seen, ref, ours, Date.UTC(2026, 0, 1)), {
      metadata: ref,
      spec: {
        holderIdentity: 'certbound-a_1',
        leaseDurationSeconds: 15,
        leaseTransitions: 4,
        acquireTime: '2026-01-01T00:00:00.000000Z',
        renewTime: '2026-01-01T00:00:00.000000Z',
        strategy: 'OldestEmulationVersion',
      },
    });
    const renewal = claimed(sighting(undefined, held(ours.identity), 0), ref, ours, Date.UTC(2026, 0, 1));
    assert.match(JSON.stringify(renewal['spec']), /"leaseTransitions":3,"acquireTime":"2020-.*"renewTime":"2026-/);
  });
});

type Calls = Pick<KubeClient, 'get' | 'create' | 'update' | 'watch'>;

describe('elector, against a real API server', () => {
  let plane: ControlPlane;
  let kube: KubeClient;
  let leaseCount = 0;

  before(async () => {
    plane = await startControlPlane();
    const path = plane.kubeconfigPath;
    kube = KubeClient.fromKubeconfig({ path, userAgent: 'certbound-test', fieldManager: 'certbound' });
  });

  after(async () => {
    await kube?.close();
    await plane?.stop();
  });

  /** A replica on a clock of its own; what it sends can be made to fail. */
  class Replica {
    readonly clock = new FakeClock();
    readonly metrics = createMetrics();
    readonly lost: OperatorError[] = [];
    elected = 0;
    writes = 0;
    fault: 'none' | 'unreachable' | 'answers lost' = 'none';
    readonly elector: Elector;
    readonly #name: string;
    #pending = 0;

    constructor(name: string, pod: string) {
      this.#name = name;
      this.elector = new Elector({
        client: this.#wire(kube),
        namespace,
        name,
        candidate: candidateOf(pod, 'node', String(Math.random())),
        clock: this.clock,
        logger: createLogger({ level: 'silent' }),
        metrics: this.metrics.leaderElection(name),
        onElected: () => this.elected++,
        onLost: (why) => this.lost.push(why),
      });
    }

    #wire(client: Calls): Calls {
      const through = async <T>(work: () => Promise<T>): Promise<T> => {
        this.#pending++;
        try {
          if (this.fault === 'unreachable') throw new KubeError('No.', { status: 0, reason: 'Unavailable' });
          const answer = await work();
          if (this.fault === 'answers lost') throw new KubeError('No.', { status: 0, reason: 'Timeout' });
          return answer;
        } finally {
          this.#pending--;
        }
      };
      return {
        get: (...args) => through(() => client.get(...args)),
        create: (...args) => (this.writes++, through(() => client.create(...args))),
        update: (...args) => (this.writes++, through(() => client.update(...args))),
        watch: (...args) => client.watch(...args),
      };
    }

    async start(): Promise<void> {
      this.elector.start();
      await this.#quiet();
    }

    /** Time passes as it does for a process that runs. */
    async run(ms: number): Promise<void> {
      for (let left = ms; left > 0; left -= 500) {
        this.clock.advance(Math.min(500, left));
        await this.#quiet();
      }
    }

    async stop(): Promise<void> {
      await this.elector.stop();
    }

    status = async (): Promise<string> =>
      /^leader_election_master_status\{.*$/m.exec(await this.metrics.registry.metrics())?.[0] ?? '';

    get name(): string {
      return this.#name;
    }

    async #quiet(): Promise<void> {
      await waitFor(async () => {
        await settle();
        if (this.#pending > 0) return false;
        await settle();
        return this.#pending === 0;
      });
    }
  }

  const replicas = (...pods: string[]): Replica[] => {
    const name = `lease-${++leaseCount}`;
    return pods.map((pod) => new Replica(name, pod));
  };
  const pair = (): [Replica, Replica] => {
    const [a, b] = replicas('a', 'b');
    if (a === undefined || b === undefined) throw new TypeError('two');
    return [a, b];
  };
  const lease = async ({ name }: Replica) => {
    const object = await kube.get(leases, { namespace, name });
    const spec: Record<string, unknown> = { ...Object(object?.['spec']) };
    return { object, holder: String(spec['holderIdentity']), transitions: spec['leaseTransitions'], spec };
  };
  const together = async (ms: number, ...all: Replica[]) => {
    for (let left = ms; left > 0; left -= 500) for (const each of all) await each.run(500);
  };

  test('with no Lease there the first look is enough', async () => {
    const [a] = pair();
    assert.throws(a.elector.fence, { code: 'NotLeading' });
    assert.equal(await a.status(), `leader_election_master_status{name="${a.name}"} 0`);
    await a.start();
    assert.deepEqual([a.elected, a.elector.leading, a.clock.monotonic()], [1, true, 0]);
    a.elector.fence();
    assert.equal(await a.status(), `leader_election_master_status{name="${a.name}"} 1`);
    const { spec } = await lease(a);
    assert.equal(spec['leaseDurationSeconds'], 15);
    assert.equal(spec['renewTime'], '2026-01-01T00:00:00.000000Z');
    await a.run(30_000);
    assert.deepEqual([a.elected, a.elector.leading, a.lost], [1, true, []]);
    assert.equal(a.writes, 16, 'one every two seconds');
    assert.equal((await lease(a)).spec['renewTime'], '2026-01-01T00:00:30.000000Z');
    await a.stop();
  });

  test('of many that start together one leads', async () => {
    const all = replicas('a', 'b', 'c', 'd', 'e', 'f');
    await Promise.all(all.map((each) => each.start()));
    await together(6000, ...all);
    assert.equal(all.filter((each) => each.elected > 0).length, 1);
    await Promise.all(all.map((each) => each.stop()));
  });

  test('one that is gone without a word is followed after its Lease ends, by the other’s clock', async () => {
    const [a, b] = pair();
    await a.start();
    // Another wall clock, a day off, decides nothing.
    b.clock.setWallClock(Date.UTC(2026, 0, 2));
    await b.start();
    await together(10_000, a, b);
    assert.equal(b.elected, 0);
    // It saw the last renewal up to two seconds ago.
    await b.run(12_500);
    assert.equal(b.elected, 0);
    await b.run(5_000);
    assert.equal(b.elected, 1);
    const { spec } = await lease(b);
    assert.equal(spec['leaseTransitions'], 1);
    assert.match(String(spec['acquireTime']), /^2026-01-02T/);
    await b.stop();
  });

  test('a release is heard of at once, by the watch', async () => {
    const [a, b] = pair();
    await a.start();
    await b.start();
    assert.deepEqual([a.elected, b.elected], [1, 0]);
    await a.stop();
    await waitFor(() => b.elected === 1);
    assert.equal(b.clock.monotonic(), 0, 'no time has passed for it');
    await b.stop();
  });

  test('one that was stopped and goes on loses before it sends anything', async () => {
    const [a, b] = pair();
    await a.start();
    await b.start();
    const { writes } = a;
    await b.run(17_500);
    assert.equal(b.elected, 1);
    assert.equal(a.elector.leading, true, 'no time has passed for it yet');
    a.clock.skip(17_500);
    assert.equal(a.elector.leading, false);
    assert.throws(a.elector.fence, { code: 'NotLeading' });
    assert.deepEqual(
      a.lost.map(({ code }) => code),
      ['LeaseLost'],
    );
    assert.equal(a.writes, writes);
    assert.equal(await a.status(), `leader_election_master_status{name="${a.name}"} 0`);
    // What was lost is not released.
    await a.stop();
    assert.match((await lease(a)).holder, /^b_/);
    await b.stop();
  });

  test('the fence falls with the deadline itself, not with the timer that notices it', async () => {
    const [a] = pair();
    await a.start();
    a.fault = 'unreachable';
    let refusedAt: number | undefined;
    const look = (): void => {
      try {
        a.elector.fence();
        a.clock.timer(10, look);
      } catch {
        refusedAt = a.clock.monotonic();
      }
    };
    look();
    await a.run(12_000);
    assert.equal(refusedAt, 10_000);
    assert.equal(a.lost.length, 1);
    assert.match(a.lost[0]?.message ?? '', /10 s/);
    assert.equal(a.clock.timers, 0);
  });

  test('an outage shorter than the deadline is sat out', async () => {
    const [a] = pair();
    await a.start();
    a.fault = 'unreachable';
    await a.run(7_000);
    a.fault = 'none';
    await a.run(10_000);
    assert.deepEqual([a.elector.leading, a.lost], [true, []]);
    await a.stop();
  });

  test('renewals that arrive though their answers do not are no renewals; nobody else is misled', async () => {
    const [a, b] = pair();
    await a.start();
    await b.start();
    a.fault = 'answers lost';
    await together(9_500, a, b);
    assert.deepEqual([a.elector.leading, b.elected], [true, 0]);
    await together(1_000, a, b);
    assert.deepEqual([a.lost.length, b.elected], [1, 0]);
    await b.run(17_500);
    assert.equal(b.elected, 1);
    await b.stop();
  });

  test('an answer that was lost once does not cost the lead', async () => {
    const [a] = pair();
    a.fault = 'answers lost';
    await a.start();
    assert.equal(a.elected, 0);
    a.fault = 'none';
    await a.run(2_000);
    assert.equal(a.elected, 1, 'it finds itself in the Lease');
    a.fault = 'answers lost';
    await a.run(4_000);
    a.fault = 'none';
    await a.run(10_000);
    assert.deepEqual([a.elector.leading, a.lost], [true, []]);
    assert.equal((await lease(a)).transitions, 0);
    await a.stop();
  });

  test('given back, it is taken at the next look', async () => {
    const [a, b] = pair();
    await a.start();
    await b.start();
    b.fault = 'unreachable';
    await a.stop();
    assert.equal((await lease(a)).holder, '');
    assert.equal((await lease(a)).spec['leaseDurationSeconds'], 1);
    b.fault = 'none';
    assert.equal(a.lost.length, 0);
    assert.throws(a.elector.fence, { code: 'NotLeading' });
    await b.run(2_000);
    assert.equal(b.elected, 1);
    assert.equal((await lease(b)).transitions, 1);
    assert.equal(a.clock.timers, 0);
    await b.stop();
    assert.equal(b.clock.timers, 0);
  });

  test('one that waits and is stopped leaves the Lease alone', async () => {
    const [a, b] = pair();
    await a.start();
    await b.start();
    await b.stop();
    assert.match((await lease(a)).holder, /^a_/);
    assert.equal(b.clock.timers, 0);
    await a.stop();
  });

  test('the next container of the Pod goes on at once', async () => {
    const [first, next] = replicas('a', 'a');
    assert.ok(first !== undefined && next !== undefined);
    await first.start();
    await next.start();
    assert.equal(next.elected, 1);
    // Were the first alive after all, its next renewal would end it.
    await first.run(2_000);
    assert.deepEqual([first.lost.length, first.elector.leading, next.elector.leading], [1, false, true]);
    await next.stop();
  });

  test('deleted by hand, it is made anew by who held it', async () => {
    const [a, b] = pair();
    await a.start();
    await b.start();
    await together(3_000, a, b);
    await kube.delete(leases, { namespace, name: a.name });
    await b.run(2_000);
    assert.equal((await lease(a)).object, undefined);
    await together(20_000, a, b);
    assert.deepEqual([a.elector.leading, a.lost.length, b.elected], [true, 0, 0]);
    assert.match((await lease(a)).holder, /^a_/);
    await Promise.all([a.stop(), b.stop()]);
  });

  test('written over by hand, it is lost at once', async () => {
    const [a] = pair();
    await a.start();
    const { object } = await lease(a);
    assert.ok(object !== undefined);
    await kube.update(leases, { ...object, spec: { ...Object(object['spec']), holderIdentity: 'somebody' } });
    await a.run(2_000);
    assert.equal(a.lost.length, 1);
    assert.match(a.lost[0]?.message ?? '', /somebody/);
    assert.equal((await lease(a)).holder, 'somebody');
  });

  test('what others write beside the record neither costs the lead nor is lost', async () => {
    const [a] = pair();
    await a.start();
    const annotations = { 'example.com/note': 'seen' };
    await kube.patch(leases, { namespace, name: a.name }, { metadata: { annotations } }, { type: 'merge' });
    await a.run(6_000);
    assert.deepEqual([a.elector.leading, a.lost], [true, []]);
    assert.deepEqual((await lease(a)).object?.metadata.annotations, annotations);
    await a.stop();
  });

  test('behind the fence nothing is written; reads go on', async () => {
    const [a] = pair();
    const userAgent = 'certbound-fenced';
    const path = plane.kubeconfigPath;
    const fenced = KubeClient.fromKubeconfig({
      path,
      userAgent,
      fieldManager: 'certbound',
      fence: a.elector.fence,
    });
    const map = (name: string) => ({ metadata: { namespace, name } });
    const existing = await kube.create(configMaps, map('fenced'));
    const writes = [
      () => fenced.create(configMaps, map('more')),
      () => fenced.update(configMaps, existing),
      () => fenced.updateStatus(configMaps, existing),
      () => fenced.apply(configMaps, map('fenced'), { fieldManager: 'x' }),
      () => fenced.applyStatus(configMaps, map('fenced'), { fieldManager: 'x' }),
      () => fenced.patch(configMaps, existing.metadata, { data: { a: 'b' } }, { type: 'merge' }),
      () => fenced.delete(configMaps, existing.metadata),
    ];
    for (const write of writes) await assert.rejects(write, { code: 'NotLeading' });
    assert.ok((await fenced.get(configMaps, existing.metadata)) !== undefined);
    await a.start();
    await fenced.create(configMaps, map('leading'));
    a.clock.advance(10_000);
    for (const write of writes) await assert.rejects(write, { code: 'NotLeading' });
    await fenced.get(configMaps, existing.metadata);
    const sent = async () => (await plane.auditEvents()).filter((event) => event.userAgent === userAgent);
    await waitFor(async () => (await sent()).length >= 3);
    assert.deepEqual(
      (await sent()).map(({ verb }) => verb),
      ['get', 'create', 'get'],
    );
    await fenced.close();
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type KubeClient, KubeError } from '../../src/kube/client.ts';
import { Elector } from '../../src/kube/elector.ts';
import { candidateOf } from '../../src/kube/lease.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import type { Clock, Timer } from '../../src/runtime/clock.ts';
import { createLogger } from '../../src/telemetry.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';

type Fault = 'none' | 'refused' | 'silent before' | 'silent after';

/** One object and its versions; what is outdated is refused. */
class Store {
  object: KubernetesObject | undefined;
  #version = 0;

  write(sent: KubernetesObject, create: boolean): KubernetesObject {
    const current = this.object?.metadata.resourceVersion;
    if (create ? current !== undefined : current !== sent.metadata.resourceVersion) {
      throw new KubeError('No.', { status: 409, reason: create ? 'AlreadyExists' : 'Conflict' });
    }
    this.object = { ...sent, metadata: { ...sent.metadata, resourceVersion: String(++this.#version) } };
    return this.object;
  }
}

/** Nothing happens in a process that is stopped, whatever has fallen due or arrived. */
class ProcessClock implements Clock {
  readonly #world: FakeClock;
  #waiting: (() => void)[] | undefined;

  constructor(world: FakeClock) {
    this.#world = world;
  }

  now = (): number => this.#world.now();
  monotonic = (): number => this.#world.monotonic();

  timer(delayMs: number, callback: () => void): Timer {
    let cancelled = false;
    const fire = (): void => {
      if (cancelled) return;
      if (this.#waiting === undefined) callback();
      else this.#waiting.push(fire);
    };
    const inner = this.#world.timer(delayMs, fire);
    return {
      cancel() {
        cancelled = true;
        inner.cancel();
      },
    };
  }

  stop(): void {
    this.#waiting ??= [];
  }

  async go(backwards: boolean): Promise<void> {
    const due = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const fire of backwards ? due.toReversed() : due) {
      fire();
      await settle();
    }
  }
}

const logger = createLogger({ level: 'silent' });

class Replica {
  readonly elector: Elector;
  readonly clock: ProcessClock;
  fault: Fault = 'none';
  latencyMs = 5;
  elected = 0;
  lost = 0;

  constructor(world: FakeClock, store: Store, identity: string) {
    this.clock = new ProcessClock(world);
    const call = <T>(act: () => T): Promise<T> =>
      new Promise((resolve, reject) => {
        const { fault, latencyMs } = this;
        // The way there takes the world's time; that it came back is only noticed by a process that runs.
        world.timer(latencyMs, () => {
          let settled = (): void => reject(new KubeError('No.', { status: 503, reason: 'Unavailable' }));
          if (fault === 'none' || fault === 'silent after') {
            try {
              const value = act();
              settled = () => resolve(value);
            } catch (error) {
              settled = () => reject(error instanceof Error ? error : new Error('no error'));
            }
          }
          if (fault.startsWith('silent')) {
            this.clock.timer(5_000, () => reject(new KubeError('No.', { status: 0, reason: 'Timeout' })));
          } else this.clock.timer(latencyMs, settled);
        });
      });
    const client: Pick<KubeClient, 'get' | 'create' | 'update'> = {
      get: () => call(() => store.object),
      create: (_, object) => call(() => store.write(object, true)),
      update: (_, object) => call(() => store.write(object, false)),
    };
    this.elector = new Elector({
      client,
      namespace: 'n',
      name: 'certbound',
      candidate: candidateOf(undefined, 'node', identity),
      clock: this.clock,
      logger,
      onElected: () => this.elected++,
      onLost: () => this.lost++,
    });
  }
}

type Happening =
  | { kind: 'pass'; ms: number }
  | { kind: 'stop' | 'restart' | 'release'; who: number }
  | { kind: 'go'; who: number; backwards: boolean }
  | { kind: 'fault'; who: number; fault: Fault }
  | { kind: 'latency'; who: number; ms: number };

const who = fc.integer({ min: 0, max: 2 });
const happening: fc.Arbitrary<Happening> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('pass' as const), ms: fc.integer({ min: 1, max: 20_000 }) }) },
  fc.record({ kind: fc.constantFrom('stop' as const, 'restart' as const, 'release' as const), who }),
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('go' as const), who, backwards: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('fault' as const),
      who,
      fault: fc.constantFrom<Fault>('none', 'refused', 'silent before', 'silent after'),
    }),
  },
  fc.record({ kind: fc.constant('latency' as const), who, ms: fc.integer({ min: 0, max: 4_000 }) }),
);

class World {
  readonly clock = new FakeClock();
  readonly store = new Store();
  readonly replicas: Replica[] = [];
  #started = 0;

  constructor() {
    for (let i = 0; i < 3; i++) this.start(i);
  }

  start(i: number): void {
    const replica = new Replica(this.clock, this.store, String(++this.#started));
    this.replicas[i]?.clock.stop();
    this.replicas[i] = replica;
    replica.elector.start();
  }

  /** Nowhere on the way may two lead. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 250) {
      await this.clock.advanceAsync(Math.min(250, left));
      const leading = this.replicas.filter(({ elector }) => elector.leading);
      assert.ok(leading.length <= 1, `${leading.length} lead at ${this.clock.monotonic()} ms`);
      for (const { lost, elected } of this.replicas) assert.ok(lost <= 1 && elected <= 1 && lost <= elected);
    }
  }

  async happen(event: Happening): Promise<void> {
    if (event.kind === 'pass') return this.pass(event.ms);
    const replica = this.replicas[event.who];
    assert.ok(replica !== undefined);
    if (event.kind === 'stop') replica.clock.stop();
    else if (event.kind === 'go') await replica.clock.go(event.backwards);
    else if (event.kind === 'restart') this.start(event.who);
    else if (event.kind === 'fault') replica.fault = event.fault;
    else if (event.kind === 'latency') replica.latencyMs = event.ms;
    else void replica.elector.stop();
  }

  /** Whoever lost is started again, as kubelet does; in the end one leads. */
  async settle(): Promise<void> {
    for (const [i, replica] of this.replicas.entries()) {
      replica.fault = 'none';
      replica.latencyMs = 5;
      await replica.clock.go(false);
      if (!replica.elector.leading) this.start(i);
    }
    await this.pass(40_000);
  }
}

test('whatever stops, fails, is late or starts anew: never do two lead, and afterwards one does', async () => {
  let elections = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(happening, { maxLength: 25 }), async (happenings) => {
      const world = new World();
      await world.pass(1_000);
      for (const event of happenings) await world.happen(event);
      await world.settle();
      assert.equal(world.replicas.filter(({ elector }) => elector.leading).length, 1);
      elections += world.replicas.filter(({ elected }) => elected > 0).length;
    }),
    { numRuns: 150 },
  );
  assert.ok(elections >= 150);
});

test('an accepted renewal of which a stopped process hears too late renews nothing', async () => {
  for (const backwards of [false, true]) {
    const world = new World();
    await world.pass(5_000);
    const leader = world.replicas.find(({ elector }) => elector.leading);
    assert.ok(leader !== undefined);
    leader.latencyMs = 1_000;
    const version = () => world.store.object?.metadata.resourceVersion;
    const before = version();
    while (version() === before) await world.pass(100);
    leader.clock.stop();
    await world.pass(20_000);
    assert.equal(world.replicas.filter(({ elector }) => elector.leading).length, 1);
    await leader.clock.go(backwards);
    assert.deepEqual([leader.lost, leader.elector.leading], [1, false]);
    await world.pass(1_000);
  }
});

test('a Lease that is deleted again and again stays its holder’s', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9_000 }), { maxLength: 12 }), async (pauses) => {
      const world = new World();
      await world.pass(5_000);
      const leader = world.replicas.find(({ elector }) => elector.leading);
      for (const pause of pauses) {
        await world.pass(pause);
        world.store.object = undefined;
      }
      await world.pass(4_000);
      assert.equal(leader?.elector.leading, true);
      assert.ok(world.store.object !== undefined);
    }),
    { numRuns: 50 },
  );
});

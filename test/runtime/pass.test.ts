import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import * as fc from 'fast-check';
import { OperatorError, type Retry } from '../../src/errors.ts';
import { Pass, earliest, evaluate, type Finding, type Kind, type StepObserver } from '../../src/runtime/pass.ts';
import { createLogger } from '../../src/telemetry.ts';
import { FakeClock } from '../support/fake-clock.ts';

interface TestStep {
  name: string;
}
type Found = Finding<TestStep>;
type Observed = Record<string, string>;

const finding = (reason: string, change: Partial<Found> = {}): Found => ({
  condition: 'Ready',
  status: 'Unknown',
  reason,
  message: `${reason}.`,
  ...change,
});
const act = (name: string, change: Partial<Found> = {}): Found =>
  finding(`Doing${name}`, { step: { name }, ...change });
const failure = (retry: Retry = { class: 'backoff' }) => new OperatorError('ItFailed', 'It failed.', { retry });
const never = new AbortController().signal;

/** A world of named things that are there or not, and a kind that puts them there, one step each. */
class Workshop {
  readonly clock = new FakeClock();
  readonly lines: string[] = [];
  world: Observed | undefined = {};
  /** What each settle found. */
  readonly settled: Found[][] = [];
  readonly ran: string[] = [];
  checks: Kind<Observed, undefined, TestStep>['checks'] = [];
  /** What a step does besides putting its thing there. */
  work: (step: string) => void = () => undefined;
  wakeAt: number | undefined;
  /** What is away, and until when. */
  away: { step: string; at: number } | undefined;
  observer: StepObserver | undefined;

  /** Each thing in order, if it is missing. */
  build(...things: string[]): this {
    this.checks = things.map((thing) => this.missing(thing));
    return this;
  }

  missing(thing: string, change: (world: Observed) => Partial<Found> = () => ({})) {
    return {
      name: thing,
      find: ({ observed }: { observed: Observed }) =>
        observed[thing] === undefined ? act(thing, change(observed)) : undefined,
    };
  }

  kind(): Kind<Observed, undefined, TestStep> {
    return {
      name: 'workshop',
      observe: async () => this.world && { ...this.world },
      desired: () => undefined,
      checks: this.checks,
      wakeAt: () => this.wakeAt,
      heldBack: (_key, { name }) =>
        this.away?.step === name ? { error: new OperatorError('Away', 'It is away.'), at: this.away.at } : undefined,
      run: async ({ name }) => {
        this.ran.push(name);
        this.work(name);
        if (this.world !== undefined) this.world[name] = 'there';
      },
      settle: async (_view, findings) => {
        this.settled.push([...findings]);
      },
    };
  }

  pass(): Pass<Observed, undefined, TestStep> {
    const logger = createLogger({ destination: { write: (line) => this.lines.push(line) } });
    return new Pass(this.kind(), { clock: this.clock, logger, observer: this.observer });
  }

  last(): Found | undefined {
    return this.settled.at(-1)?.at(-1);
  }
}

const checks = (...found: (Found | undefined)[]) =>
  found.map((one, index) => ({ name: `check${index}`, find: () => one }));

const held = (one: Found): Found => (one.step?.name === 'B' ? { ...one, error: failure() } : one);

function failing(retry: Retry, basis?: () => string) {
  const shop = new Workshop();
  shop.checks = [shop.missing('a', () => (basis === undefined ? {} : { basis: basis() }))];
  shop.work = () => {
    throw failure(retry);
  };
  return { shop, pass: shop.pass() };
}

const reasons = (...found: (Found | undefined)[]) =>
  evaluate(checks(...found), undefined).findings.map(({ reason }) => reason);

describe('the chain', () => {
  test('goes on past what is well and what only reports', () => {
    assert.deepEqual(reasons(undefined, finding('A'), undefined, finding('B')), ['A', 'B']);
  });

  test('ends at the first that blocks, and at the first step', () => {
    assert.deepEqual(reasons(finding('A', { blocks: true }), finding('B')), ['A']);
    assert.deepEqual(reasons(finding('A'), act('B'), act('C')), ['A', 'DoingB']);
  });

  test('has one step at most, and the earliest time of all', () => {
    const plan = evaluate(checks(finding('A', { at: 7 }), act('B', { at: 5 }), act('C', { at: 1 })), undefined);
    assert.deepEqual([plan.next?.name, plan.at], ['B', 5]);
    assert.equal(evaluate(checks(finding('A')), undefined).next, undefined);
  });

  test('a step that is held back blocks what comes after it, unless it can wait', () => {
    const plan = (change: Partial<Found>) => evaluate(checks(act('B', change), act('C')), undefined, held);
    assert.equal(plan({}).next, undefined);
    assert.equal(plan({ deferrable: true }).next?.name, 'C');
    assert.equal(plan({ deferrable: true, blocks: true }).next, undefined);
    assert.equal(
      evaluate(checks(act('B', { deferrable: true }), act('C')), undefined).next?.name,
      'B',
      'first it is tried',
    );
  });

  test('earliest() of nothing is nothing', () => {
    assert.equal(earliest(), undefined);
    assert.equal(earliest(undefined, 3, undefined, 2), 2);
  });
});

describe('a pass', () => {
  test('plans anew after every step, and settles once, with what is left', async () => {
    const shop = new Workshop().build('a', 'b', 'c');
    assert.deepEqual(await shop.pass().reconcile('k', never), {});
    assert.deepEqual(shop.ran, ['a', 'b', 'c']);
    assert.deepEqual(shop.settled, [[]]);
  });

  test('does what a step made necessary, and leaves what it made needless', async () => {
    const shop = new Workshop().build('a', 'b', 'c');
    shop.work = (step) => {
      if (step === 'a') shop.world = { ...shop.world, b: 'by a' };
      if (step === 'c') delete shop.world?.['a'];
    };
    await shop.pass().reconcile('k', never);
    assert.deepEqual(shop.ran, ['a', 'c', 'a']);
  });

  test('has nothing to do for an object that is gone', async () => {
    const shop = new Workshop().build('a');
    shop.world = undefined;
    assert.deepEqual(await shop.pass().reconcile('k', never), {});
    assert.deepEqual([shop.ran, shop.settled], [[], []]);
  });

  test('wakes when a finding says so, or when time alone changes something, whichever is first', async () => {
    const shop = new Workshop();
    const now = shop.clock.now();
    const table: [number | undefined, number | undefined, number | undefined][] = [
      [undefined, undefined, undefined],
      [5000, undefined, 5000],
      [undefined, 7000, 7000],
      [5000, 7000, 5000],
      [9000, 7000, 7000],
      // What has passed already must not make it spin.
      [-1000, undefined, 20],
    ];
    for (const [at, wakeAt, expected] of table) {
      shop.checks = [{ name: 'a', find: () => finding('A', at === undefined ? {} : { at: now + at }) }];
      shop.wakeAt = wakeAt === undefined ? undefined : now + wakeAt;
      const { requeueAfterMs } = await shop.pass().reconcile('k', never);
      assert.equal(requeueAfterMs, expected);
    }
  });

  test('a plan that never empties does not spin: it settles, warns and comes back', async () => {
    const shop = new Workshop().build('a');
    shop.work = () => undefined;
    shop.checks = [{ name: 'always', find: () => act('again') }];
    const result = await shop.pass().reconcile('k', never);
    assert.ok(shop.ran.length >= 8 && shop.ran.length <= 100, `${shop.ran.length} steps`);
    assert.equal(shop.settled.length, 1);
    assert.ok((result.requeueAfterMs ?? 0) >= 100);
    assert.match(shop.lines.at(-1) ?? '', /too many steps.*"step":"again"|"step":"again".*too many steps/);
  });

  test('an abort ends it between steps, with what is true then, and it is done later', async () => {
    const shop = new Workshop().build('a', 'b', 'c');
    const abort = new AbortController();
    shop.work = (step) => step === 'b' && abort.abort();
    const result = await shop.pass().reconcile('k', abort.signal);
    assert.deepEqual(shop.ran, ['a', 'b']);
    assert.deepEqual(
      shop.settled.map((found) => found.map(({ reason }) => reason)),
      [['Doingc']],
    );
    assert.ok((result.requeueAfterMs ?? 0) > 0);
  });

  test('what is no failure of a step is the caller’s to see', async () => {
    const shop = new Workshop().build('a');
    const broken = { ...shop.kind(), observe: () => Promise.reject(failure()) };
    const pass = new Pass(broken, { clock: shop.clock, logger: createLogger({ level: 'error' }) });
    await assert.rejects(pass.reconcile('k', never), failure());
  });
});

describe('a step that failed', () => {
  test('is reported with its error, settled once', async () => {
    const { shop, pass } = failing({ class: 'backoff' });
    await pass.reconcile('k', never);
    assert.equal(shop.settled.length, 1);
    const { reason, message, error, step } = shop.last() ?? finding('none');
    assert.deepEqual([reason, message, error?.code, step?.name], ['ItFailed', 'It failed.', 'ItFailed', 'a']);
  });

  test('is held until its time, and not tried before, however often somebody asks', async () => {
    const { shop, pass } = failing({ class: 'after', milliseconds: 5000 });
    const first = await pass.reconcile('k', never);
    assert.equal(first.requeueAfterMs, 5000);
    for (const wait of [0, 4000, 999]) {
      shop.clock.advance(wait);
      await pass.reconcile('k', never);
      assert.equal(shop.ran.length, 1);
      assert.equal(shop.last()?.reason, 'ItFailed');
    }
    shop.clock.advance(1);
    await pass.reconcile('k', never);
    assert.equal(shop.ran.length, 2);
  });

  test('is tried at once when its basis changes', async () => {
    let basis = 'generation 1';
    const { shop, pass } = failing({ class: 'after', milliseconds: 5000 }, () => basis);
    await pass.reconcile('k', never);
    basis = 'generation 2';
    await pass.reconcile('k', never);
    assert.equal(shop.ran.length, 2);
    await pass.reconcile('k', never);
    assert.equal(shop.ran.length, 2, 'and then it is held again');
  });

  test('for good is never tried again by time alone', async () => {
    let basis = 'generation 1';
    const { shop, pass } = failing({ class: 'terminal' }, () => basis);
    assert.deepEqual(await pass.reconcile('k', never), {}, 'no time to look again');
    shop.clock.advance(10 * 365 * 24 * 3_600_000);
    await pass.reconcile('k', never);
    assert.equal(shop.ran.length, 1);
    basis = 'generation 2';
    await pass.reconcile('k', never);
    assert.equal(shop.ran.length, 2);
  });

  test('waits longer each time, up to three quarters of a minute or so, and from the start after a success', async () => {
    const { shop, pass } = failing({ class: 'backoff' });
    const delays: number[] = [];
    const again = async () => {
      const { requeueAfterMs } = await pass.reconcile('k', never);
      assert.ok(requeueAfterMs !== undefined);
      shop.clock.advance(requeueAfterMs);
      return requeueAfterMs;
    };
    for (let attempt = 0; attempt < 12; attempt++) delays.push(await again());
    assert.equal(shop.ran.length, 12, 'one attempt each');
    for (const [attempt, delay] of delays.entries()) {
      const exponential = Math.min(45_000, 500 * 2 ** attempt);
      assert.ok(delay >= exponential * 0.8 && delay <= exponential * 1.2, `attempt ${attempt}: ${delay} ms`);
    }
    const fail = shop.work;
    shop.work = () => undefined;
    await pass.reconcile('k', never);
    shop.world = {};
    shop.work = fail;
    assert.ok((await again()) <= 600);
  });

  test('says nothing about other objects, and is forgotten with its own', async () => {
    const { shop, pass } = failing({ class: 'terminal' });
    await pass.reconcile('k', never);
    await pass.reconcile('other', never);
    assert.equal(shop.ran.length, 2);
    shop.world = undefined;
    await pass.reconcile('k', never);
    shop.world = {};
    await pass.reconcile('k', never);
    assert.equal(shop.ran.length, 3);
  });

  test('that can wait lets later ones go on, and keeps its own pace', async () => {
    const shop = new Workshop();
    shop.checks = [shop.missing('a', () => ({ deferrable: true })), shop.missing('b')];
    shop.work = (step) => {
      if (step === 'a') throw failure({ class: 'after', milliseconds: 5000 });
    };
    const pass = shop.pass();
    const { requeueAfterMs } = await pass.reconcile('k', never);
    assert.deepEqual(shop.ran, ['a', 'b']);
    assert.equal(requeueAfterMs, 5000);
    assert.equal(shop.last()?.reason, 'ItFailed');
  });

  test('with an exception nobody foresaw is a failure like any other, and its text stays private', async () => {
    const { shop, pass } = failing({ class: 'backoff' });
    shop.work = () => {
      throw new TypeError('password=hunter2');
    };
    await pass.reconcile('k', never);
    assert.equal(shop.last()?.reason, 'InternalError');
    assert.doesNotMatch(shop.last()?.message ?? '', /hunter2/);
  });
});

class Killed extends Error {}

describe('a step whose world is away', () => {
  test('is not tried, and is reported so; others that need not wait go on', async () => {
    const shop = new Workshop();
    shop.checks = [shop.missing('a', () => ({ deferrable: true })), shop.missing('b')];
    shop.away = { step: 'a', at: shop.clock.now() + 5_000 };
    const pass = shop.pass();
    assert.deepEqual(await pass.reconcile('key', never), { requeueAfterMs: 5_000 });
    assert.deepEqual(shop.ran, ['b']);
    const [first] = shop.settled.at(-1) ?? [];
    assert.deepEqual([first?.reason, first?.message, first?.error?.code], ['Away', 'It is away.', 'Away']);
    shop.away = undefined;
    await pass.reconcile('key', never);
    assert.deepEqual(shop.ran, ['b', 'a'], 'nothing of it is remembered');
  });
});

describe('killed anywhere', () => {
  test('an observer sees every step, before and after', async () => {
    const shop = new Workshop().build('a', 'b');
    const seen: string[] = [];
    shop.observer = {
      before: (kind, step, key) => void seen.push(`before ${kind} ${step} ${key}`),
      after: (kind, step, key) => void seen.push(`after ${kind} ${step} ${key}`),
    };
    await shop.pass().reconcile('k', never);
    assert.deepEqual(seen, ['before workshop a k', 'after workshop a k', 'before workshop b k', 'after workshop b k']);
  });

  test('an observer is waited for, before the step and before the next look', async () => {
    const shop = new Workshop().build('a', 'b');
    let go = () => undefined as void;
    shop.observer = {
      before: (_kind, step) => (step === 'a' ? new Promise((resolve) => (go = resolve)) : undefined),
      after: (_kind, step) => (step === 'a' ? new Promise((resolve) => (go = resolve)) : undefined),
    };
    const done = shop.pass().reconcile('k', never);
    await setImmediate();
    assert.deepEqual(shop.ran, []);
    go();
    await setImmediate();
    assert.deepEqual(shop.ran, ['a']);
    go();
    await done;
    assert.deepEqual(shop.ran, ['a', 'b']);
  });

  test('what died is resumed by another pass, whichever step it died at', async () => {
    const things = ['finalizer', 'record', 'certificate', 'registration', 'proof', 'secret'];
    await fc.assert(
      fc.asyncProperty(
        // At which of the coming crash points each life ends.
        fc.array(fc.nat(12), { maxLength: 8 }),
        fc.uniqueArray(fc.constantFrom(...things), { maxLength: 2 }),
        async (lives, flaky) => {
          const shop = new Workshop().build(...things);
          const failOnce = new Set(flaky);
          shop.work = (step) => {
            if (failOnce.delete(step)) throw failure();
          };
          for (const life of [...lives, Infinity]) {
            let left = life;
            const point = () => {
              if (left-- <= 0) throw new Killed();
            };
            shop.observer = { before: point, after: point };
            const pass = shop.pass();
            try {
              for (let turn = 0; turn < 20; turn++) {
                const { requeueAfterMs } = await pass.reconcile('k', never);
                if (requeueAfterMs === undefined) break;
                shop.clock.advance(requeueAfterMs);
              }
            } catch (error) {
              if (!(error instanceof Killed)) throw error;
            }
          }
          assert.deepEqual(Object.keys(shop.world ?? {}).toSorted(), things.toSorted());
          assert.deepEqual(shop.settled.at(-1), []);
          const attempts = (thing: string) => shop.ran.filter((name) => name === thing).length;
          for (const thing of things)
            assert.equal(attempts(thing), flaky.includes(thing) ? 2 : 1, `${thing}: nothing twice`);
        },
      ),
      { numRuns: 200 },
    );
  });
});

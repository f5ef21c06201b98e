/** What is sent to one server, whoever sends it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ServerAnswer, ServerSilence } from '../../src/authserver/connection/http.ts';
import { ServerTraffic } from '../../src/authserver/connection/traffic.ts';
import { createMetrics } from '../../src/metrics.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';

const ORIGIN = 'https://as.example.test';
const MTLS = 'https://mtls.as.example.test/token';
const never = new AbortController().signal;
const answer = (status: number, retryAfterMs?: number): ServerAnswer => ({
  kind: 'answer',
  status,
  json: {},
  empty: false,
  redirectedTo: undefined,
  retryAfterMs,
});
const silence = (why: ServerSilence['why']): ServerSilence => ({
  kind: 'silence',
  sent: true,
  why,
  clause: 'it did not answer within 10 s',
});

class Scene {
  readonly clock = new FakeClock();
  readonly told: [string, readonly string[]][] = [];
  readonly metrics = createMetrics();
  readonly traffic: ServerTraffic;

  constructor(limit = { requestsPerSecond: 1000, burst: 1000 }) {
    this.traffic = new ServerTraffic('corporate', limit, {
      clock: this.clock,
      metrics: this.metrics.serverCalls,
      onChange: (server, held) => this.told.push([server, held]),
    });
  }

  /** Whether it was sent. */
  async call(result: ServerAnswer | ServerSilence | undefined, url = ORIGIN): Promise<boolean> {
    if ((await this.traffic.admit(url, never)) !== undefined) return false;
    this.traffic.ended(url, url === MTLS ? 'token' : 'register', result);
    return true;
  }

  async fail(url = ORIGIN): Promise<void> {
    for (let i = 0; i < 5; i++) await this.call(silence('deadline'), url);
  }

  async available(): Promise<number | undefined> {
    const gauge = this.metrics.registry.getSingleMetric('certbound_authorizationserver_available');
    return (await gauge?.get())?.values[0]?.value;
  }
}

describe('a server that does not answer', () => {
  test('is asked no more, and says why and since when', async () => {
    const scene = new Scene();
    await scene.fail();
    const refused = await scene.traffic.admit(ORIGIN, never);
    assert.deepEqual(
      [refused?.why, refused?.sent, refused?.clause],
      ['withheld', false, 'it did not answer within 10 s'],
    );
    assert.equal(await scene.available(), 0);
    assert.deepEqual(scene.told, [['corporate', []]]);
    const [outage] = scene.traffic.outages();
    assert.deepEqual([outage?.origin, outage?.since], [ORIGIN, scene.clock.now()]);
    const held = scene.traffic.hold(`${ORIGIN}/reg`, 'a/b');
    assert.match(held?.message ?? '', /^https:\/\/as\.example\.test fails since .*: it did not answer within 10 s\./);
    scene.clock.advance(1_500);
    assert.equal(
      scene.traffic.hold(`${ORIGIN}/reg`, 'a/b')?.message,
      held?.message,
      'the same for as long as it lasts',
    );
  });

  test('says why it fails now, where that is not why it began to', async () => {
    const scene = new Scene();
    await scene.fail();
    scene.clock.advance(2_000);
    await scene.call(answer(503));
    assert.match(scene.traffic.hold(ORIGIN, 'a/b')?.message ?? '', /fails since .*: it answered 503\./);
    assert.deepEqual(scene.told, [
      ['corporate', []],
      ['corporate', []],
    ]);
  });

  test('holds nobody who asks another origin of it', async () => {
    const scene = new Scene();
    await scene.fail(MTLS);
    assert.equal(scene.traffic.hold(ORIGIN, 'a/b'), undefined);
    assert.equal(await scene.call(answer(201)), true);
    assert.equal(scene.traffic.outages().length, 1);
  });

  test('tells who was held when it answers again, and nobody twice', async () => {
    const scene = new Scene();
    await scene.fail();
    for (const key of ['a/1', 'a/2', 'a/1']) scene.traffic.hold(ORIGIN, key);
    scene.clock.advance(2_000);
    assert.equal(scene.traffic.hold(ORIGIN, 'a/2'), undefined, 'one of them tries');
    assert.equal(await scene.call(answer(401)), true);
    assert.deepEqual(scene.told.at(-1), ['corporate', ['a/1']]);
    assert.equal(await scene.available(), 1);
    assert.equal(scene.traffic.hold(ORIGIN, 'a/3'), undefined);
  });

  test('brings many back one after the other, the first of them soon', async () => {
    const scene = new Scene();
    await scene.fail();
    const waits = Array.from({ length: 300 }, (_, i) => {
      const at = scene.traffic.hold(ORIGIN, `a/${i}`)?.at ?? 0;
      return at - scene.clock.now();
    });
    assert.ok(waits.every((wait) => wait >= 2_000 && wait <= 2_000 + 60_000));
    assert.ok(Math.min(...waits) < 12_000);
    assert.ok(Math.max(...waits) > 20_000, 'not all at once');
  });

  test('is known by time-outs, refused connections, names that are not resolved and 5xx', async () => {
    const failures = [silence('deadline'), silence('unconnected'), silence('unresolved'), answer(500), answer(503)];
    for (const failure of failures) {
      const scene = new Scene();
      for (let i = 0; i < 5; i++) await scene.call(failure);
      assert.equal(scene.traffic.outages().length, 1, JSON.stringify(failure));
    }
    for (const sign of [silence('tls'), silence('untrusted'), silence('size'), answer(401), answer(429), answer(302)]) {
      const scene = new Scene();
      for (let i = 0; i < 50; i++) await scene.call(sign);
      assert.deepEqual(scene.traffic.outages(), [], JSON.stringify(sign));
    }
  });

  test('is not known by a reset where a client certificate was shown: some terminators refuse one by it', async () => {
    const scene = new Scene();
    for (let i = 0; i < 50; i++) await scene.call(silence('broken'), MTLS);
    assert.deepEqual(scene.traffic.outages(), []);
    for (let i = 0; i < 5; i++) await scene.call(silence('broken'));
    assert.equal(scene.traffic.outages().length, 1);
  });
});

describe('a server that asks for patience', () => {
  test('is left alone by everybody for as long, but not for more than a minute', async () => {
    for (const [asked, granted] of [
      [7_000, 7_000],
      [3_600_000, 60_000],
    ] as const) {
      const scene = new Scene();
      await scene.call(answer(429, asked));
      scene.clock.advance(granted - 1);
      assert.equal(await scene.call(answer(200), MTLS), false);
      assert.ok(scene.traffic.hold(MTLS, 'a/b') !== undefined);
      scene.clock.advance(1);
      assert.equal(scene.traffic.hold(MTLS, 'a/b'), undefined);
      assert.equal(await scene.call(answer(200), MTLS), true);
    }
  });

  test('is asked on where it does not say for how long', async () => {
    const scene = new Scene();
    await scene.call(answer(429));
    assert.equal(await scene.call(answer(200)), true);
  });
});

describe('the rate limit of a server', () => {
  test('is kept by all who ask together, first come first served', async () => {
    const scene = new Scene({ requestsPerSecond: 2, burst: 2 });
    const sent: number[] = [];
    const asking = Array.from({ length: 6 }, async (_, i) => {
      await scene.traffic.admit(i % 2 === 0 ? ORIGIN : MTLS, never);
      sent.push(i);
    });
    await settle();
    assert.deepEqual(sent, [0, 1]);
    await scene.clock.advanceAsync(1_000);
    assert.deepEqual(sent, [0, 1, 2, 3]);
    await scene.clock.advanceAsync(1_000);
    await Promise.all(asking);
    assert.deepEqual(sent, [0, 1, 2, 3, 4, 5]);
    const waits = await scene.metrics.registry.getSingleMetricAsString(
      'certbound_authorizationserver_request_wait_seconds',
    );
    assert.match(waits, /_count{authorization_server="corporate"} 4/);
  });

  test('gives a worker back rather than keep it for long, and says when to ask again', async () => {
    const scene = new Scene({ requestsPerSecond: 1, burst: 1 });
    const asking = Array.from({ length: 40 }, () => scene.traffic.admit(ORIGIN, never));
    await scene.clock.advanceAsync(30_000);
    const refused = (await Promise.all(asking)).filter((one) => one !== undefined);
    assert.equal(refused.length, 19);
    assert.ok(refused.every(({ sent, retryAfterMs = 0 }) => !sent && retryAfterMs > 20_000));
  });

  test('keeps nobody who no longer waits, and sends nothing for him', async () => {
    const scene = new Scene({ requestsPerSecond: 1, burst: 1 });
    const stop = new AbortController();
    await scene.call(answer(200));
    const asking = scene.traffic.admit(ORIGIN, stop.signal);
    stop.abort();
    const refused = await asking;
    assert.deepEqual([refused?.why, refused?.sent], ['withheld', false]);
  });

  test('sends nothing that waited for its turn while the server went away', async () => {
    const scene = new Scene({ requestsPerSecond: 1, burst: 1 });
    const first = scene.traffic.admit(ORIGIN, never);
    const second = scene.traffic.admit(ORIGIN, never);
    assert.equal(await first, undefined);
    for (let i = 0; i < 5; i++) scene.traffic.ended(ORIGIN, 'register', silence('deadline'));
    await scene.clock.advanceAsync(1_000);
    assert.equal((await second)?.why, 'withheld');
  });
});

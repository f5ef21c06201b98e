import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import { request } from 'undici';
import { type OperatorServer, type OperatorServerOptions, startOperatorServer } from '../../src/http/server.ts';
import { createMetrics } from '../../src/metrics.ts';
import { Controller } from '../../src/runtime/controller.ts';
import { createLogger } from '../../src/telemetry.ts';
import { FakeClock, settle } from '../support/fake-clock.ts';

describe('metrics and health server', () => {
  let server: OperatorServer | undefined;

  afterEach(async () => {
    await server?.close();
    server = undefined;
  });

  const start = async (options: Partial<OperatorServerOptions> = {}) => {
    const running = await startOperatorServer({ host: '127.0.0.1', port: 0, metrics: createMetrics(), ...options });
    server = running;
    return async (path: string, method: 'GET' | 'POST' = 'GET') => {
      const { statusCode, headers, body } = await request(`http://127.0.0.1:${running.port}${path}`, { method });
      return { status: statusCode, type: headers['content-type'], text: await body.text() };
    };
  };

  test('metrics in Prometheus format, under controller-runtime names', async () => {
    const metrics = createMetrics();
    const controller = metrics.controller('oauthclient', 8);
    controller.started();
    controller.finished('success', 0.2);
    const queue = metrics.workQueue('oauthclient');
    queue.observeRunning(() => [2, 3]);
    queue.depth(7);
    metrics.informer('secrets').state('watching');
    const { status, type, text } = await (await start({ metrics }))('/metrics');
    assert.equal(status, 200);
    assert.match(String(type), /^text\/plain; version=0\.0\.4/);
    for (const line of [
      'controller_runtime_reconcile_total{controller="oauthclient",result="success"} 1',
      'controller_runtime_reconcile_errors_total{controller="oauthclient"} 0',
      'controller_runtime_terminal_reconcile_errors_total{controller="oauthclient"} 0',
      'controller_runtime_reconcile_panics_total{controller="oauthclient"} 0',
      'controller_runtime_active_workers{controller="oauthclient"} 0',
      'controller_runtime_max_concurrent_reconciles{controller="oauthclient"} 8',
      'controller_runtime_reconcile_time_seconds_count{controller="oauthclient"} 1',
      'workqueue_depth{name="oauthclient",controller="oauthclient"} 7',
      'workqueue_unfinished_work_seconds{name="oauthclient",controller="oauthclient"} 5',
      'workqueue_longest_running_processor_seconds{name="oauthclient",controller="oauthclient"} 3',
      'certbound_informer_state{resource="secrets",state="watching"} 1',
    ]) {
      assert.ok(text.split('\n').includes(line), line);
    }
    assert.match(text, /^process_cpu_seconds_total /m);
  });

  test('ready once every check is content, and says which is not', async () => {
    let synced = false;
    const get = await start({
      readiness: { secrets: () => (synced ? undefined : 'not listed yet'), leases: () => undefined },
    });
    const before = await get('/readyz');
    assert.equal(before.status, 503);
    assert.equal(before.text, '[-]secrets failed: not listed yet\n[+]leases ok\nfailed\n');
    synced = true;
    assert.equal((await get('/readyz')).status, 200);
  });

  test('a check that throws fails, and the server goes on', async () => {
    const get = await start({
      health: {
        workers: () => {
          throw new Error('secret');
        },
      },
    });
    const { status, text } = await get('/healthz');
    assert.equal(status, 503);
    assert.ok(!text.includes('secret'));
    assert.equal((await get('/readyz')).status, 200);
  });

  test('a worker that never comes back fails liveness, for as long as it is away; the others work on', async () => {
    const clock = new FakeClock();
    const gates = new Map([['stuck', Promise.withResolvers<void>()]]);
    const done: string[] = [];
    const controller = new Controller({
      name: 'oauthclient',
      workers: 2,
      deadlineMs: 120_000,
      clock,
      logger: createLogger({ level: 'silent' }),
      reconcile: async (key) => {
        await gates.get(key)?.promise;
        done.push(key);
        return {};
      },
    });
    controller.start();
    const get = await start({ health: { clients: () => controller.stalled() } });
    controller.enqueue('stuck');
    await clock.advanceAsync(200_000);
    controller.enqueue('other');
    await clock.advanceAsync(0);
    assert.deepEqual(done, ['other']);
    assert.equal((await get('/healthz')).status, 200, 'its deadline may be near');
    await clock.advanceAsync(100_000);
    const stalled = await get('/healthz');
    assert.equal(stalled.status, 503);
    assert.match(stalled.text, /^\[-\]clients failed: a reconcile is 180 s beyond its deadline$/m);
    assert.equal((await get('/readyz')).status, 200);
    gates.get('stuck')?.resolve();
    await settle();
    assert.equal((await get('/healthz')).status, 200);
    await controller.stop();
  });

  test('one stall of the event loop fails one liveness probe', async () => {
    const get = await start({ longestStallMs: 300 });
    await get('/healthz');
    const until = performance.now() + 600;
    while (performance.now() < until);
    const stalled = await get('/healthz');
    assert.equal(stalled.status, 503);
    assert.match(stalled.text, /event-loop failed: blocked for \d+ ms/);
  });

  test('nothing else is served', async () => {
    const get = await start();
    assert.equal((await get('/')).status, 404);
    assert.equal((await get('/metrics/../secrets')).status, 404);
    assert.equal((await get('/healthz', 'POST')).status, 405);
  });

  test('a port that is taken is an error; closing frees it', async () => {
    await start();
    const port = server?.port ?? 0;
    await assert.rejects(startOperatorServer({ host: '127.0.0.1', port, metrics: createMetrics() }), {
      code: 'EADDRINUSE',
    });
    await server?.close();
    server = await startOperatorServer({ host: '127.0.0.1', port, metrics: createMetrics() });
  });
});

import { createServer, type ServerResponse } from 'node:http';
import type { Metrics } from '../telemetry.ts';
import { type Listening, listening } from './listening.ts';

/** A sentence when something is wrong, undefined when all is well. */
export type Check = () => string | undefined;

export interface OperatorServerOptions {
  /** Default: all addresses. */
  host?: string | undefined;
  /** 0 takes any free port. */
  port: number;
  metrics: Metrics;
  /** Beyond the event loop: whether the workers make progress. Never another server's reachability. */
  health?: Readonly<Record<string, Check>> | undefined;
  /** Whether the caches are synced. */
  readiness?: Readonly<Record<string, Check>> | undefined;
  /** A stall of the event loop that fails the next liveness probe. Default 10,000 ms. */
  longestStallMs?: number | undefined;
}

export type OperatorServer = Listening;

/** `/metrics`, `/healthz` and `/readyz`, plain HTTP: for kubelet and Prometheus, no secrets behind it. */
export async function startOperatorServer(options: OperatorServerOptions): Promise<OperatorServer> {
  const { longestStallMs = 10_000, metrics } = options;
  const stalls = watchForStalls();
  const eventLoop: Check = () => {
    const stall = stalls.worstSinceLastAsked();
    // One stall fails one probe: kubelet restarts only what fails several in a row.
    return stall > longestStallMs ? `blocked for ${Math.round(stall)} ms` : undefined;
  };
  const server = createServer((request, response) => {
    const path = request.url?.split('?', 1)[0];
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, 405, 'Method Not Allowed\n');
    if (path === '/healthz') return report(response, { 'event-loop': eventLoop, ...options.health });
    if (path === '/readyz') return report(response, options.readiness ?? {});
    if (path !== '/metrics') return send(response, 404, 'Not Found\n');
    metrics.registry.metrics().then(
      (text) => send(response, 200, text, metrics.registry.contentType),
      () => send(response, 500, 'The metrics cannot be collected.\n'),
    );
  });
  const listens = await listening(server, options);
  return {
    ...listens,
    close() {
      stalls.stop();
      return listens.close();
    },
  };
}

const tickMs = 250;

/** How late a regular timer comes. (perf_hooks' monitorEventLoopDelay misses a stall that begins right after a reset.) */
function watchForStalls(): { worstSinceLastAsked(): number; stop(): void } {
  let last = performance.now();
  let worst = 0;
  const tick = (): void => {
    const now = performance.now();
    worst = Math.max(worst, now - last - tickMs);
    last = now;
  };
  const timer = setInterval(tick, tickMs).unref();
  return {
    worstSinceLastAsked: () => {
      tick();
      const answer = worst;
      worst = 0;
      return answer;
    },
    stop: () => clearInterval(timer),
  };
}

function report(response: ServerResponse, checks: Readonly<Record<string, Check>>): void {
  let healthy = true;
  const lines = Object.entries(checks).map(([name, check]) => {
    const failure = run(check);
    if (failure === undefined) return `[+]${name} ok\n`;
    healthy = false;
    return `[-]${name} failed: ${failure}\n`;
  });
  send(response, healthy ? 200 : 503, `${lines.join('')}${healthy ? 'ok' : 'failed'}\n`);
}

function run(check: Check): string | undefined {
  try {
    return check();
  } catch {
    return 'the check itself failed';
  }
}

function send(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(text);
}

/** What is measured, by its number: each returns figures of one run. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { oauthClients } from '../../src/api/resources.ts';
import type { AuditEvent } from '../support/audit-log.ts';
import { hottest, PROFILES, type ProfileKind } from './profile.ts';
import { measureCertManager } from './peer.ts';
import { cpuSeconds, rssMb } from './process-stats.ts';
import { clientObject, clientRef, foreignSecrets, isReady, startBenchWorld } from './world.ts';
import type { BenchWorld, OperatorUnderTest } from './world.ts';

export interface Figure {
  measure: string;
  value: number;
  unit: string;
  /** What it was measured against, in the same run. */
  peer?: { name: string; value: number };
}

export interface RunOptions {
  /** Counted from 0: who goes first alternates. */
  run: number;
  /** Default: the measure's own. */
  clients?: number | undefined;
  profile?: ProfileKind | undefined;
  restSeconds: number;
  say: (line: string) => void;
}

type Measure = (world: BenchWorld, options: RunOptions) => Promise<Figure[]>;

const WRITES = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

/** All but the Lease, whose writes tell nothing of clients. */
const isWrite = ({ verb, resource }: AuditEvent) => WRITES.has(verb) && resource !== 'leases';

function frequencies(requests: readonly AuditEvent[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { verb, resource, subresource, namespace } of requests) {
    const own = namespace === 'certbound-system' ? ' of the operator' : '';
    const what = `${verb} ${resource}${subresource === '' ? '' : `/${subresource}`}${own}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].toSorted(([, a], [, b]) => b - a);
}

const refs = (count: number, prefix?: string) => Array.from({ length: count }, (_, i) => clientRef(i, prefix));
const since = (started: number) => (performance.now() - started) / 1000;

async function readyOperator(world: BenchWorld, options: RunOptions): Promise<OperatorUnderTest> {
  const operator = await world.startOperator(options.profile);
  await world.platformReady();
  return operator;
}

/** Stops it, and tells of its profile where there is one. */
async function finish(operator: OperatorUnderTest, { profile, say }: RunOptions): Promise<void> {
  const lag = await operator.metric('nodejs_eventloop_lag_p99_seconds');
  say(`event-loop lag p99 ${(lag * 1000).toFixed(1)} ms`);
  const mb = async (name: string) => `${((await operator.metric(name)) / 1e6).toFixed(0)} MB`;
  say(
    `heap ${await mb('nodejs_heap_size_used_bytes')} of ${await mb('nodejs_heap_size_total_bytes')}, ` +
      `external ${await mb('nodejs_external_memory_bytes')}, RSS ${await mb('process_resident_memory_bytes')}`,
  );
  await operator.stop();
  if (profile === 'cpu') for (const line of await hottest()) say(line);
  if (profile === 'heap') say(`the heap profile is in ${PROFILES}`);
}

const b1: Measure = async (world, options) => {
  const { clients: count = 500, run, say } = options;
  const name = `B1 ${count} OAuthClients to Ready`;
  const own = async () => {
    const operator = await readyOperator(world, options);
    const watch = await world.watchClients();
    const before = await cpuSeconds(operator.pid);
    const serverBefore = await cpuSeconds(world.authorizationServer.pid);
    const started = performance.now();
    await world.create(refs(count));
    await watch.ready(count);
    const seconds = since(started);
    const cpu = (await cpuSeconds(operator.pid)) - before;
    const serverCpu = (await cpuSeconds(world.authorizationServer.pid)) - serverBefore;
    const rss = await rssMb(operator.pid);
    say(
      `operator: CPU ${cpu.toFixed(1)} s, RSS ${rss.toFixed(0)} MB; authorization server: CPU ${serverCpu.toFixed(1)} s`,
    );
    await finish(operator, options);
    return { seconds, cpu, rss };
  };
  const first = run % 2 === 0 ? await own() : undefined;
  const peer = await measureCertManager(world, count);
  const { seconds, cpu, rss } = first ?? (await own());
  const against = (value: number) => ({ peer: { name: 'cert-manager 1.21.2', value } });
  return [
    { measure: name, value: seconds, unit: 's', ...against(peer.seconds) },
    { measure: 'B1 CPU time', value: cpu, unit: 's', ...against(peer.cpuSeconds) },
    { measure: 'B1 RSS', value: rss, unit: 'MB', ...against(peer.rssMb) },
  ];
};

const b2: Measure = async (world, options) => {
  const operator = await readyOperator(world, options);
  const watch = await world.watchClients();
  const seconds: number[] = [];
  const warmUp = 5;
  for (const ref of refs((options.clients ?? 100) + warmUp)) {
    const started = performance.now();
    const ready = watch.until(ref, isReady);
    await world.kube.create(oauthClients, clientObject(ref));
    await ready;
    seconds.push(since(started));
    await sleep(50);
  }
  await finish(operator, options);
  const sorted = seconds.slice(warmUp).toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return [
    { measure: 'B2 apply to Ready, p50', value: at(0.5), unit: 's' },
    { measure: 'B2 apply to Ready, p99', value: at(0.99), unit: 's' },
  ];
};

const b3: Measure = async (world, options) => {
  const { clients: count = 20, say } = options;
  const operator = await readyOperator(world, options);
  const watch = await world.watchClients();
  const figures: Figure[] = [];
  const per = (value: number) => value / count;
  const counted = async (what: string, work: () => Promise<void>): Promise<void> => {
    const started = new Date();
    const before = (await world.authorizationServer.counts()).requests;
    await work();
    // The audit log is written just after the answer.
    await sleep(1_000);
    const requests = await world.requests(started);
    const writes = requests.filter(isWrite);
    const events = writes.filter((e) => e.resource === 'events');
    const reads = requests.filter((e) => e.verb === 'get');
    for (const [what_, times] of frequencies(requests)) say(`${what}: ${per(times)} ${what_}`);
    const after = (await world.authorizationServer.counts()).requests;
    const server = ['POST /reg', 'PUT /reg/:id', 'DELETE /reg/:id'].reduce(
      (sum, route) => sum + (after[route] ?? 0) - (before[route] ?? 0),
      0,
    );
    const token = (after['POST /token'] ?? 0) - (before['POST /token'] ?? 0);
    figures.push(
      { measure: `B3 Kubernetes writes, ${what}`, value: per(writes.length - events.length), unit: 'per client' },
      { measure: `B3 events, ${what}`, value: per(events.length), unit: 'per client' },
      { measure: `B3 reads, ${what}`, value: per(reads.length), unit: 'per client' },
      { measure: `B3 registration writes, ${what}`, value: per(server), unit: 'per client' },
      { measure: `B3 token requests, ${what}`, value: per(token), unit: 'per client' },
    );
  };
  await counted('create to Ready', async () => {
    await world.create(refs(count));
    await watch.ready(count);
  });
  await counted('renewal', async () => {
    for (const ref of refs(count)) {
      const patch = { metadata: { annotations: { [RENEW_REQUESTED]: 'once' } } };
      await world.kube.patch(oauthClients, ref, patch, { type: 'merge' });
    }
    const renewed = (ref: { namespace: string; name: string }) =>
      watch.until(ref, (status) => status.lastHandledRenew === 'once' && isReady(status));
    await Promise.all(refs(count).map(renewed));
  });
  await finish(operator, options);
  return figures;
};

/** B4, B5 and B6 of one number of clients. */
const scale: Measure = async (world, options) => {
  const { clients: count = 1_000, say } = options;
  const figures: Figure[] = [];
  let operator = await readyOperator(world, options);
  await sleep(5_000);
  figures.push({ measure: 'B5 RSS, 0 clients', value: await rssMb(operator.pid), unit: 'MB' });
  const watch = await world.watchClients();
  const started = performance.now();
  const progress = setInterval(() => say(`${watch.readyCount()} Ready after ${since(started).toFixed(0)} s`), 30_000);
  await world.create(refs(count));
  await watch.ready(count);
  clearInterval(progress);
  figures.push({ measure: `B4 ${count} clients to Ready`, value: since(started), unit: 's' });
  say(`operator: CPU ${(await cpuSeconds(operator.pid)).toFixed(1)} s`);
  figures.push({ measure: `B5 RSS, ${count} clients, just Ready`, value: await rssMb(operator.pid), unit: 'MB' });
  await finish(operator, options);

  const restartedAt = new Date();
  const restarted = performance.now();
  operator = await world.startOperator();
  await operator.settled(count);
  figures.push({ measure: `B4 cold restart with ${count} clients to settled`, value: since(restarted), unit: 's' });
  await sleep(2_000);
  const written = (await world.requests(restartedAt)).filter(isWrite);
  for (const { verb, requestURI } of written.slice(0, 5)) say(`written: ${verb} ${requestURI}`);
  figures.push({ measure: `B4 writes of a cold restart with ${count} clients`, value: written.length, unit: 'writes' });

  const restAt = new Date();
  const cpu = await cpuSeconds(operator.pid);
  await sleep(options.restSeconds * 1_000);
  const atRest = (await world.requests(restAt)).filter(isWrite);
  for (const { verb, requestURI } of atRest.slice(0, 5)) say(`written: ${verb} ${requestURI}`);
  const busy = (((await cpuSeconds(operator.pid)) - cpu) / options.restSeconds) * 100;
  say(`at rest the operator used ${busy.toFixed(1)} % of a core`);
  const rest = `${options.restSeconds} s at rest with ${count} clients`;
  figures.push({ measure: `B6 writes but the Lease, ${rest}`, value: atRest.length, unit: 'writes' });
  figures.push({ measure: `B5 RSS, ${rest}`, value: await rssMb(operator.pid), unit: 'MB' });

  const before = await rssMb(operator.pid);
  await foreignSecrets(world.kube, 300, 700_000);
  await sleep(10_000);
  figures.push({
    measure: 'B5 RSS added by 300 foreign Secrets of 1 MB',
    value: (await rssMb(operator.pid)) - before,
    unit: 'MB',
  });
  await operator.stop();
  return figures;
};

export const measures = {
  B1: b1,
  B2: b2,
  B3: b3,
  scale,
} satisfies Record<string, Measure>;

/** One run of one measure, in a world of its own. */
export async function runOnce(name: keyof typeof measures, options: RunOptions): Promise<Figure[]> {
  const world = await startBenchWorld();
  try {
    return await measures[name](world, options);
  } finally {
    await world.stop();
  }
}

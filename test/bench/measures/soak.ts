/** Constant change for as long as is asked: memory, sockets and watches must not grow, and nothing may be left undone. */
import { readdir, readlink } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../../../src/api/annotations.ts';
import { oauthClients } from '../../../src/api/resources.ts';
import { secrets } from '../../../src/kube/resource.ts';
import { waitFor } from '../../support/wait-for.ts';
import { rssMb } from '../process-stats.ts';
import { clientObject, clientRef, isReady, type BenchWorld, type ClientRef } from '../world.ts';
import { finish, readyOperator, refs, type Measure } from '../measure.ts';

/** Between two changes; of many clients one after the other, so that each has time to settle. */
const PAUSE_MS = 250;
const SAMPLE_MS = 15_000;

interface Sample {
  rss: number;
  heap: number;
  sockets: number;
  watches: number;
}

const average = (values: readonly number[]) => values.reduce((sum, each) => sum + each, 0) / values.length;

async function socketsOf(pid: number): Promise<number> {
  const folder = `/proc/${pid}/fd`;
  const links = (await readdir(folder)).map((name) => readlink(`${folder}/${name}`).catch(() => ''));
  return (await Promise.all(links)).filter((target) => target.startsWith('socket:')).length;
}

/** In turn, whatever a team does to its client. Each leaves one that must be Ready again. */
const changes: readonly ((world: BenchWorld, ref: ClientRef, i: number) => Promise<unknown>)[] = [
  ({ kube }, ref, i) =>
    kube.patch(oauthClients, ref, { metadata: { annotations: { [RENEW_REQUESTED]: `${i}` } } }, { type: 'merge' }),
  // A drain as short as is allowed, so that further renewals need not wait.
  ({ kube }, ref, i) =>
    kube.patch(
      oauthClients,
      ref,
      { spec: { certificate: { duration: `${500 + (i % 200)}h`, drain: '1m' } } },
      { type: 'merge' },
    ),
  ({ kube }, { namespace, name }) => kube.delete(secrets, { namespace, name: `${name}-oauth` }),
  ({ kube }, { namespace, name }, i) =>
    kube.patch(secrets, { namespace, name: `${name}-oauth` }, { data: { 'tls.crt': btoa(`${i}`) } }, { type: 'merge' }),
  async ({ kube }, ref) => {
    await kube.delete(oauthClients, ref);
    await waitFor(async () => (await kube.get(oauthClients, ref)) === undefined, 120_000);
    await kube.create(oauthClients, clientObject(ref));
  },
];

export const soak: Measure = async (world, options) => {
  const { clients: count = 200, minutes, say } = options;
  const operator = await readyOperator(world, options);
  const watch = await world.watchClients();
  await world.create(refs(count));
  await watch.ready(count);
  const sample = async (): Promise<Sample> => ({
    rss: await rssMb(operator.pid),
    heap: (await operator.metric('nodejs_heap_size_used_bytes')) / 1e6,
    sockets: await socketsOf(operator.pid),
    watches: await world.openWatches(),
  });
  const samples: Sample[] = [];
  let changed = 0;
  const ending = new AbortController();
  const sampling = (async () => {
    while (!ending.signal.aborted) {
      const taken = await sample();
      samples.push(taken);
      if (samples.length % 8 === 1) say(`${JSON.stringify(taken)} after ${changed} changes`);
      await sleep(SAMPLE_MS, undefined, { signal: ending.signal }).catch(() => undefined);
    }
  })();
  const until = performance.now() + minutes * 60_000;
  for (; performance.now() < until; changed++) {
    // Another client each time, another change each round: what is still under way from before meets the next.
    const change = changes[(changed + Math.floor(changed / count)) % changes.length];
    await change?.(world, clientRef(changed % count), changed);
    await sleep(PAUSE_MS);
  }
  await watch.ready(count, 600_000);
  ending.abort();
  await sampling;
  const notReady = refs(count).filter((ref) => !isReady(watch.status(ref)));
  const registered = (await world.authorizationServer.counts()).clients;
  const atRest = await sample();
  const log = await operator.log();
  const grave = log.split('\n').filter((line) => /"level":"(?:error|fatal)"/.test(line));
  for (const line of grave.slice(0, 5)) say(line.slice(0, 500));
  await finish(operator, options);
  const sixth = Math.max(1, Math.floor(samples.length / 6));
  // The first sixth warms up: the compiler's code and the caches grow to their size.
  const early = samples.slice(sixth, 2 * sixth);
  const late = samples.slice(-sixth);
  const growth = (of: (taken: Sample) => number) => average(late.map(of)) - average(early.map(of));
  const title = `soak, ${minutes} min, ${count} clients`;
  return [
    { measure: `${title}: changes`, value: changed, unit: 'changes' },
    { measure: `${title}: RSS, second sixth to last`, value: growth(({ rss }) => rss), unit: 'MB' },
    { measure: `${title}: heap in use, second sixth to last`, value: growth(({ heap }) => heap), unit: 'MB' },
    { measure: `${title}: RSS, last sixth`, value: average(late.map(({ rss }) => rss)), unit: 'MB' },
    { measure: `${title}: open sockets at its end`, value: atRest.sockets, unit: 'sockets' },
    {
      measure: `${title}: open sockets, most`,
      value: Math.max(...samples.map(({ sockets }) => sockets)),
      unit: 'sockets',
    },
    { measure: `${title}: open watches at its end`, value: atRest.watches, unit: 'watches' },
    { measure: `${title}: open watches at its beginning`, value: samples[0]?.watches ?? Number.NaN, unit: 'watches' },
    { measure: `${title}: clients that are not Ready`, value: notReady.length, unit: 'clients' },
    { measure: `${title}: registrations without a client`, value: registered - count, unit: 'registrations' },
    { measure: `${title}: lines of level error in the log`, value: grave.length, unit: 'lines' },
  ];
};

/** B1: many clients at once, against a peer that does less for each. */
import { cpuSeconds, rssMb } from '../process-stats.ts';
import { measureCertManager } from '../peer.ts';
import type { BenchWorld } from '../world.ts';
import { finish, readyOperator, refs, since, type Measure } from '../measure.ts';

/** Who shares the machine with the operator, by name. */
async function cpuOfOthers({ plane, authorizationServer }: BenchWorld): Promise<Record<string, number>> {
  const { user, system } = process.cpuUsage();
  const [etcd = 0, apiServer = 0] = await Promise.all(plane.pids().map(cpuSeconds));
  return {
    'authorization server': await cpuSeconds(authorizationServer.pid),
    'API server': apiServer,
    etcd,
    'the bench itself': (user + system) / 1e6,
  };
}

export const b1: Measure = async (world, options) => {
  const { clients: count = 500, run, say } = options;
  const title = `B1 ${count} OAuthClients to Ready`;
  const own = async () => {
    const operator = await readyOperator(world, options);
    const watch = await world.watchClients();
    const before = await cpuSeconds(operator.pid);
    const others = await cpuOfOthers(world);
    const started = performance.now();
    await world.create(refs(count));
    await watch.ready(count);
    const seconds = since(started);
    const cpu = (await cpuSeconds(operator.pid)) - before;
    const spent = await cpuOfOthers(world);
    const rss = await rssMb(operator.pid);
    say(`operator: CPU ${cpu.toFixed(1)} s, RSS ${rss.toFixed(0)} MB`);
    for (const [name, value] of Object.entries(spent)) {
      say(`${name}: CPU ${(value - (others[name] ?? 0)).toFixed(1)} s`);
    }
    await finish(operator, options);
    return { seconds, cpu, rss };
  };
  const first = run % 2 === 0 ? await own() : undefined;
  const peer = await measureCertManager(world, count);
  const { seconds, cpu, rss } = first ?? (await own());
  const against = (value: number) => ({ peer: { name: 'cert-manager 1.21.2', value } });
  return [
    { measure: title, value: seconds, unit: 's', ...against(peer.seconds) },
    { measure: 'B1 CPU time', value: cpu, unit: 's', ...against(peer.cpuSeconds) },
    { measure: 'B1 RSS', value: rss, unit: 'MB', ...against(peer.rssMb) },
  ];
};

/** B4, B5 and B6: time, memory and silence, for one number of clients. */
import { setTimeout as sleep } from 'node:timers/promises';
import { cpuSeconds, rssMb } from '../process-stats.ts';
import { foreignSecrets } from '../world.ts';
import { finish, isWrite, readyOperator, refs, since, type Figure, type Measure } from '../measure.ts';

export const scale: Measure = async (world, options) => {
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

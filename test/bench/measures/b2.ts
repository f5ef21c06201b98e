/** B2: one client at a time. */
import { setTimeout as sleep } from 'node:timers/promises';
import { oauthClients } from '../../../src/api/resources.ts';
import { clientObject, isReady } from '../world.ts';
import { finish, readyOperator, refs, since, type Measure } from '../measure.ts';

export const b2: Measure = async (world, options) => {
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

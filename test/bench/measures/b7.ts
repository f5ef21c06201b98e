/** B7: what is refused while certificates, CAs and terminators change under constant load. It should be nothing. */
import { setTimeout as sleep } from 'node:timers/promises';
import { oauthClients } from '../../../src/api/resources.ts';
import { SELF_SIGNED_SERVER } from '../../support/self-signed-platform.ts';
import { contractApplication, readOnceApplication } from '../load/applications.ts';
import { applyPlatform, platformServes } from '../load/platform.ts';
import { PublishedSecrets } from '../load/published.ts';
import { Rotations } from '../load/rotations.ts';
import { seededRandom } from '../load/seeded-random.ts';
import { Tally, type Caller } from '../load/tally.ts';
import { clientObject, inParallel, type ClientRef, type WorldOptions } from '../world.ts';
import { finish, readyOperator, refs, since, type Measure, type RunOptions } from '../measure.ts';

/** One client in so many signs its own certificates. */
const selfSignedShare = 4;
/** Between the calls of a Pod. The load, the terminators' controllers and all else share two cores: some 40 calls a second are enough. */
const pauseMs = (clients: number) => Math.max(3_000, clients * 100);
/** More than a machine of two cores does beside the load would only make a queue. */
const rotationsPerSecond = 5;

const longestReload = ({ reloadSeconds = 10 }: RunOptions) => reloadSeconds * 1000;
/** Short, so that drains are; never shorter than the margins of those that use them. */
const accessTokenTTL = ({ reloadSeconds = 10 }: RunOptions) => Math.max(10, 2 * reloadSeconds);
/** A change that comes while a replica reloads waits for its next reload; for each, nginx takes seconds where two cores are busy. */
const propagationSeconds = ({ reloadSeconds = 10 }: RunOptions) => reloadSeconds + Math.max(8, 2 * reloadSeconds);
const seedOf = ({ run }: RunOptions) => run + 1;

export function b7World(options: RunOptions): WorldOptions {
  const random = seededRandom(seedOf(options));
  return {
    replicas: 3,
    reloadDelayMs: () => random() * longestReload(options),
    accessTokenTTL: accessTokenTTL(options),
  };
}

export const b7: Measure = async (world, options) => {
  const { clients: count = 100, rotations: wanted = 1_000, say } = options;
  const random = seededRandom(seedOf(options) + 1_000);
  const drainSeconds = propagationSeconds(options) + accessTokenTTL(options);
  const spacingMs = Math.max((drainSeconds / 2) * 1.1, count / rotationsPerSecond) * 1000;
  await applyPlatform(world, `${propagationSeconds(options)}s`);
  const operator = await readyOperator(world, options);
  await platformServes(world);
  const watch = await world.watchClients();
  const all = refs(count);
  const selfSigned = all.filter((_, i) => i % selfSignedShare === selfSignedShare - 1);
  const byCa = all.filter((ref) => !selfSigned.includes(ref));
  const isSelfSigned = (ref: ClientRef) => selfSigned.includes(ref);
  await inParallel(all, 16, (ref) => world.kube.create(oauthClients, rotating(ref, isSelfSigned(ref), drainSeconds)));
  await watch.ready(count);
  const loading = new AbortController();
  const { signal } = loading;
  const published = new PublishedSecrets(world.kube, signal);
  await published.synced;

  const tally = new Tally(
    (x5tS256) => published.replacedAt(x5tS256) + drainSeconds * 1000,
    (at) => rotations.overdue(at),
  );
  const applications = all.flatMap((ref, i) => {
    const apiUrl = `${world.origin(isSelfSigned(ref) ? 'selfSignedApi' : 'api')}/`;
    const its = {
      ref,
      published,
      drainMs: drainSeconds * 1000,
      pauseMs: pauseMs(count),
      random,
      signal,
      addresses: world.addresses,
      apiUrl,
      tally,
    };
    // Half of them watch the Secret, half have it as mounted files, which change later.
    const delayMs = () => (i % 2 === 0 ? 0 : random() * (drainSeconds / 3) * 1000);
    return [contractApplication(its, delayMs), readOnceApplication(its)];
  });
  const rotations = new Rotations({
    world,
    watch,
    published,
    byCa,
    selfSigned,
    rotations: Math.ceil(wanted / count),
    spacingMs,
    propagationMs: propagationSeconds(options) * 1000,
    random,
    say,
  });
  const changes = [rotations.changeIssuers(signal), rotations.touchIngresses(2 * longestReload(options), signal)];
  const started = performance.now();
  const tell = () =>
    say(
      `${rotations.done} rotations, ${tally.calls()} calls, ${tally.refused()} refused after ${since(started).toFixed(0)} s`,
    );
  const telling = setInterval(tell, 30_000);
  const load = Promise.all([...applications, ...changes]);
  // Until the last drain has ended and the terminators know that the CA of what drained is gone.
  const aftermathMs = drainSeconds * 1000 + longestReload(options) + 3_000;
  try {
    // A refused call is counted and ends nothing; what ends the load before its time is a fault of the bench.
    await Promise.race([rotations.run().then(() => sleep(aftermathMs)), load]);
  } finally {
    clearInterval(telling);
    loading.abort();
    for (const line of tally.lines()) say(line);
  }
  await load;
  const seconds = since(started);
  const reloads = world.ingressControllers.map((controller) => controller.generation());
  say(`seed ${seedOf(options)}; reloads of each replica: ${reloads.join(', ')}; ${Math.round(seconds)} s`);
  say(
    `access tokens live ${accessTokenTTL(options)} s, propagation ${propagationSeconds(options)} s, drain ${drainSeconds} s`,
  );
  await finish(operator, options);
  const title = `B7, ${count} clients`;
  const calls = (caller: Caller) => [
    { measure: `${title}: refused calls, ${caller}`, value: tally.refused(caller), unit: 'calls' },
    { measure: `${title}: calls, ${caller}`, value: tally.calls(caller), unit: 'calls' },
  ];
  return [
    { measure: `${title}: refused calls`, value: tally.refused(), unit: 'calls' },
    { measure: `${title}: calls`, value: tally.calls(), unit: 'calls' },
    ...calls('contract'),
    ...calls('read-once'),
    ...calls('old token'),
    { measure: `${title}: sent again, a kept connection being closed`, value: tally.resent, unit: 'calls' },
    { measure: `${title}: answers after the end of a token or a drain, not counted`, value: tally.late, unit: 'calls' },
    {
      measure: `${title}: answers of a terminator that took longer than spec.propagation, not counted`,
      value: tally.overdue,
      unit: 'calls',
    },
    { measure: `${title}: rotations`, value: rotations.done, unit: 'rotations' },
    { measure: `${title}: rotations to another CA`, value: rotations.moved, unit: 'rotations' },
    { measure: `${title}: changes of the CA bundle`, value: rotations.bundleChanges, unit: 'changes' },
    { measure: `${title}: longest way of a CA to a replica`, value: rotations.longestWay, unit: 's' },
    { measure: `${title}: reloads of a replica`, value: Math.min(...reloads), unit: 'reloads' },
  ];
};

function rotating(ref: ClientRef, selfSigned: boolean, drainSeconds: number) {
  const object = clientObject(ref);
  const spec = {
    ...Object(object['spec']),
    certificate: { drain: `${drainSeconds}s` },
    ...(selfSigned
      ? {
          authorizationServerRef: { name: SELF_SIGNED_SERVER },
          tokenEndpointAuthMethod: 'self_signed_tls_client_auth',
        }
      : {}),
  };
  return { ...object, spec };
}

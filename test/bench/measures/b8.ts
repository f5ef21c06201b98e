/** B8: two replicas, and how soon the next renewal is done when the one that works is gone. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../../../src/api/annotations.ts';
import { oauthClients } from '../../../src/api/resources.ts';
import { leases } from '../../../src/kube/lease.ts';
import { secrets } from '../../../src/kube/resource.ts';
import { credentialsOf } from '../../support/application.ts';
import { waitFor } from '../../support/wait-for.ts';
import { clientRef, type BenchWorld, type ClientRef, type OperatorUnderTest } from '../world.ts';
import { finish, refs, since, type Figure, type Measure } from '../measure.ts';

const LEASE = { namespace: 'certbound-system', name: 'certbound' };
const pods = ['certbound-a', 'certbound-b'] as const;
type Pod = (typeof pods)[number];
const patience = 300_000;
/** Takeovers of each kind: a Lease's last renewal and the next look at it are up to chance. */
const repeats = 3;

const kinds = [
  { title: 'B8 leader killed to next renewal done', end: (leader: OperatorUnderTest) => leader.kill() },
  { title: 'B8 leader ended politely to next renewal done', end: (leader: OperatorUnderTest) => leader.stop() },
] as const;

async function holder({ kube }: BenchWorld): Promise<Pod | undefined> {
  const spec: unknown = (await kube.get(leases, LEASE))?.['spec'];
  const identity: unknown = Reflect.get(Object(spec), 'holderIdentity');
  return pods.find((pod) => typeof identity === 'string' && identity.startsWith(`${pod}_`));
}

async function thumbprint({ kube }: BenchWorld, { namespace, name }: ClientRef): Promise<string> {
  const secret = await kube.get(secrets, { namespace, name: `${name}-oauth` });
  if (secret === undefined) throw new Error(`nothing is published for ${namespace}/${name}`);
  return credentialsOf(secret).x5tS256;
}

/** Not asked for more often than it tells: the API server has the takeover to serve. */
const seen = (condition: () => Promise<boolean>) =>
  waitFor(async () => {
    await sleep(25);
    return condition();
  }, patience);

export const b8: Measure = async (world, options) => {
  const { clients: count = 1_000, say, profile } = options;
  const replicas = new Map<Pod, OperatorUnderTest>();
  for (const pod of pods) replicas.set(pod, await world.startOperator(profile, pod));
  await world.platformReady();
  const watch = await world.watchClients();
  await world.create(refs(count));
  await watch.ready(count);

  const leading = async (): Promise<{ pod: Pod; leader: OperatorUnderTest }> => {
    const pod = await holder(world);
    const leader = pod === undefined ? undefined : replicas.get(pod);
    if (pod === undefined || leader === undefined) throw new Error('nobody leads');
    return { pod, leader };
  };
  /** Until whoever leads has looked at every client. */
  const atRest = async () => (await leading()).leader.settled(1);

  const figures: Figure[] = [];
  for (const { title, end } of kinds) {
    const seconds: number[] = [];
    for (let i = 0; i < repeats; i++) {
      await atRest();
      const { pod, leader } = await leading();
      // One that is neither the first nor the last that the next leader looks at.
      const ref = clientRef(Math.floor((count * (i + 1)) / (repeats + 1)));
      const before = await thumbprint(world, ref);
      const started = performance.now();
      const ended = end(leader);
      const patch = { metadata: { annotations: { [RENEW_REQUESTED]: `${title} ${i}` } } };
      await world.kube.patch(oauthClients, ref, patch, { type: 'merge' });
      await seen(async () => ![pod, undefined].includes(await holder(world)));
      const led = since(started);
      await seen(async () => (await thumbprint(world, ref)) !== before);
      seconds.push(since(started));
      say(`${title}: ${since(started).toFixed(2)} s; another led after ${led.toFixed(2)} s`);
      await ended;
      replicas.set(pod, await world.startOperator(profile, pod));
    }
    const sorted = seconds.toSorted((a, b) => a - b);
    const at = (i: number) => sorted.at(i) ?? Number.NaN;
    const of = `${title}, ${count} clients`;
    figures.push(
      { measure: `${of}: median of ${repeats}`, value: at(Math.floor(repeats / 2)), unit: 's' },
      { measure: `${of}: longest of ${repeats}`, value: at(-1), unit: 's' },
    );
  }
  await Promise.all([...replicas.values()].map((replica) => finish(replica, options)));
  return figures;
};

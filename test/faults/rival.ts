/** Somebody who writes the same objects as we do, fifty times a second each. */
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeClient } from '../../src/kube/client.ts';
import type { ObjectRef, Resource } from '../../src/kube/resource.ts';
import type { FaultWorld } from './world.ts';

export const RIVAL = 'rival';
const everyMs = 20;
/** On a machine that is slow it falls behind rather than drowning the API server. */
const mostInFlight = 4;
const running = new Set<Rival>();

/** Those that a case which failed has left behind. */
export async function stopRivals(): Promise<void> {
  await Promise.all([...running].map((rival) => rival.stop()));
}

export interface Rival {
  /** Those that the API server took. */
  writes(): number;
  stop(): Promise<void>;
}

/** @param patches made anew for each write, with its number */
export function startRival(
  { installation: { plane } }: FaultWorld,
  resource: Resource,
  refs: readonly ObjectRef[],
  patch: (count: number) => unknown,
): Rival {
  const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: RIVAL, fieldManager: RIVAL });
  const ended = new AbortController();
  let writes = 0;
  const write = async (ref: ObjectRef, count: number) => {
    // What is not there yet, or not any more, is not written.
    await kube.patch(resource, ref, patch(count), { type: 'merge' }).then(
      () => (writes += 1),
      () => undefined,
    );
  };
  const loops = refs.map(async (ref) => {
    const inFlight = new Set<Promise<void>>();
    for (let count = 0; !ended.signal.aborted; count++) {
      const writing = write(ref, count).finally(() => inFlight.delete(writing));
      inFlight.add(writing);
      await sleep(everyMs);
      if (inFlight.size >= mostInFlight) await Promise.race(inFlight);
    }
    await Promise.all(inFlight);
  });
  const rival: Rival = {
    writes: () => writes,
    async stop() {
      if (!running.delete(rival)) return;
      ended.abort();
      await Promise.all(loops);
      await kube.close();
    },
  };
  running.add(rival);
  return rival;
}

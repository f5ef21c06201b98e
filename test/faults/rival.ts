/** Somebody who writes the same objects as we do, fifty times a second each. */
import { setTimeout as sleep } from 'node:timers/promises';
import { KubeClient } from '../../src/kube/client.ts';
import type { ObjectRef, Resource } from '../../src/kube/resource.ts';
import type { FaultWorld } from './world.ts';

export const RIVAL = 'rival';
const everyMs = 20;

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
  const running = refs.map(async (ref) => {
    for (let count = 0; !ended.signal.aborted; count++) await Promise.all([write(ref, count), sleep(everyMs)]);
  });
  return {
    writes: () => writes,
    async stop() {
      ended.abort();
      await Promise.all(running);
      await kube.close();
    },
  };
}

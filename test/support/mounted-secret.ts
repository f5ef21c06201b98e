/** A Secret as a Pod has it mounted: written into a folder, and anew some time after each change. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { KubeClient } from '../../src/kube/client.ts';
import { secrets } from '../../src/kube/resource.ts';
import { secretValues } from './application.ts';
import type { ProjectedVolume } from './projected-volume.ts';

const POLL_MS = 250;

export interface MountedSecret {
  /** What the folder holds. */
  readonly files: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

/** @param lagMs a kubelet looks once in a while; a Secret that is gone stays as it was, as there */
export function mountSecret(
  kube: KubeClient,
  ref: { namespace: string; name: string },
  volume: ProjectedVolume,
  lagMs: number,
): MountedSecret {
  const ended = new AbortController();
  let files: Readonly<Record<string, string>> = {};
  let version = '';
  const running = (async () => {
    while (!ended.signal.aborted) {
      const secret = await kube.get(secrets, ref);
      const found = secret?.metadata.resourceVersion ?? version;
      if (secret !== undefined && found !== version) {
        version = found;
        await sleep(lagMs);
        files = secretValues(secret);
        await volume.write(files);
      }
      await sleep(POLL_MS);
    }
  })();
  running.catch(() => undefined);
  return {
    get files() {
      return files;
    },
    async stop() {
      ended.abort();
      await running;
    },
  };
}

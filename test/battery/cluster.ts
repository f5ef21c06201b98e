/** An API server with the objects of the battery, for products that watch one. */
import { resolve } from 'node:path';
import { KubeClient } from '../../src/kube/client.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import type { RunningProduct } from './product.ts';

export interface Cluster {
  plane: ControlPlane;
  kube: KubeClient;
  /** What else is to be stopped before the API server. */
  parts: AsyncDisposableStack;
}

/** @param crds of the product, to be there before it; Certbound's own are */
export function startOnCluster(
  crds: readonly string[],
  start: (cluster: Cluster) => Promise<Omit<RunningProduct, 'stop'>>,
): Promise<RunningProduct> {
  return allOrNothing(async (parts) => {
    const plane = await startControlPlane({ crds: [...crds, resolve(import.meta.dirname, '../../crds')] });
    parts.defer(() => plane.stop());
    const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
    parts.defer(() => kube.close());
    return { ...(await start({ plane, kube, parts })), stop: () => parts.disposeAsync() };
  });
}

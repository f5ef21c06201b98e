import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { configMaps } from '../kube/resource.ts';
import type { Clock } from '../runtime/clock.ts';
import type { Result } from '../runtime/controller.ts';
import type { Claim } from './claims.ts';

export interface ClaimSweep {
  kube: Pick<KubeClient, 'delete'>;
  claims: Pick<Informer<Claim>, 'get'>;
  operatorNamespace: string;
  clock: Clock;
}

/**
 * Deletes a claim that was released once the last certificate that names the identity has ended: from then on it says
 * nothing that its absence does not. One that somebody took over meanwhile is another resourceVersion.
 *
 * @throws KubeErrors, `Conflict` after a lost race
 */
export async function sweepClaim(
  { kube, claims, operatorNamespace: namespace, clock }: ClaimSweep,
  name: string,
  signal: AbortSignal,
): Promise<Result> {
  const claim = claims.get(namespace, name);
  if (claim?.expires === undefined) return {};
  const left = claim.expires - clock.now();
  if (left > 0) return { requeueAfterMs: left };
  await kube.delete(configMaps, { namespace, name }, { resourceVersion: claim.resourceVersion }, { signal });
  return {};
}

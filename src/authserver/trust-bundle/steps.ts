import { Role, ROLE_LABEL } from '../../api/annotations.ts';
import { OperatorError } from '../../errors.ts';
import { type KubeClient, KubeError } from '../../kube/client.ts';
import type { KindUnion } from '../../kube/kind-union.ts';
import { type KubernetesObject, secrets } from '../../kube/resource.ts';
import type { Clock } from '../../runtime/clock.ts';
import { emptyTrust, isEmptyTrust } from '../../x509/trust.ts';
import type { TrustMemory } from './observed.ts';
import { type PublishedTrust, shownRef, TRUST_KIND, trustContent, trustObject, type TrustRef } from './published.ts';

export type TrustStep =
  | {
      readonly name: 'publishTrust';
      readonly ref: TrustRef;
      /** Undefined: nobody is to be trusted. */
      readonly pem: string | undefined;
      /** What it replaces. */
      readonly current: PublishedTrust | undefined;
    }
  | { readonly name: 'withdrawTrust'; readonly object: PublishedTrust };

export interface TrustStepOptions {
  client: Pick<KubeClient, 'get' | 'create' | 'update' | 'replace' | 'delete'>;
  bundles: Pick<KindUnion<PublishedTrust>, 'remember' | 'forget'>;
  trustMemory: TrustMemory;
  clock: Pick<Clock, 'now'>;
}

/** Somebody else's Secret goes without a word to us. */
const lookAgainMs = 30_000;

/** By POST, or by PUT of an object that was looked at and is ours: nothing of others' is ever overwritten. */
export async function publishTrust(
  { client, bundles, trustMemory, clock }: TrustStepOptions,
  { ref, pem, current }: TrustStep & { name: 'publishTrust' },
  server: string,
  signal: AbortSignal,
): Promise<void> {
  // One that trusts nobody stays the one that it is: each new one would be read anew.
  const kept = current?.ca !== undefined && isEmptyTrust(current.ca) ? current.ca : undefined;
  const object = trustObject(ref, server, pem ?? kept ?? (await emptyTrust(clock.now())), current);
  const wrote = () => trustMemory.wrote(ref, trustContent(server, pem), clock.now());
  if (current !== undefined) {
    const answer = await replaced(client, object, signal);
    wrote();
    bundles.remember(TRUST_KIND, answer);
    return;
  }
  try {
    const answer = await client.create(secrets, object, { signal });
    wrote();
    bundles.remember(TRUST_KIND, answer);
  } catch (error) {
    if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
    const there = await client.get(secrets, { ...ref }, { signal });
    // Ours, and not in the cache yet: a former leader's, or an answer that was lost.
    if (there === undefined) return;
    if (there.metadata.labels?.[ROLE_LABEL] !== Role.trustBundle) throw nameTaken(ref);
    bundles.remember(TRUST_KIND, there);
  }
}

/** Whoever writes it again and again is faster than the watch: after a conflict the object with this uid is replaced as it is. */
async function replaced(
  client: TrustStepOptions['client'],
  object: KubernetesObject,
  signal: AbortSignal,
): Promise<KubernetesObject> {
  try {
    return await client.update(secrets, object, { signal });
  } catch (error) {
    if (!(error instanceof KubeError && error.reason === 'Conflict')) throw error;
    const { namespace, name, uid } = object.metadata;
    const there = await client.get(secrets, { namespace, name }, { signal });
    if (there?.metadata.uid !== uid || there?.metadata.labels?.[ROLE_LABEL] !== Role.trustBundle) throw error;
    return client.replace(secrets, object, { signal });
  }
}

function nameTaken(ref: TrustRef): OperatorError {
  const message = `${shownRef(ref)} exists and is not the operator's: rename or delete it, so that the client CAs can be published under this name.`;
  return new OperatorError('TrustBundleNameTaken', message, { retry: { class: 'after', milliseconds: lookAgainMs } });
}

/** Only what was looked at, in that very version. */
export async function withdrawTrust(
  { client, bundles, trustMemory }: TrustStepOptions,
  { object: { namespace, name, uid, resourceVersion } }: TrustStep & { name: 'withdrawTrust' },
  signal: AbortSignal,
): Promise<void> {
  try {
    await client.delete(secrets, { namespace, name }, { uid, resourceVersion }, { signal });
  } catch (error) {
    // Changed since, or replaced: the next pass looks at what is there now.
    if (!(error instanceof KubeError && error.status === 409)) throw error;
    bundles.forget(TRUST_KIND, { namespace, name }, uid);
    return;
  }
  bundles.forget(TRUST_KIND, { namespace, name }, uid);
  trustMemory.forget({ namespace, name });
}

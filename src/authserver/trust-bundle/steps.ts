import { ROLE_LABEL } from '../../api/annotations.ts';
import { OperatorError } from '../../errors.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { KindUnion } from '../../kube/kind-union.ts';
import { remove, write } from '../../kube/made-by-us.ts';
import { secrets } from '../../kube/resource.ts';
import type { Clock } from '../../runtime/clock.ts';
import { trustedPem } from '../../x509/trust.ts';
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

export async function publishTrust(
  { client, bundles, trustMemory, clock }: TrustStepOptions,
  { ref, pem, current }: TrustStep & { name: 'publishTrust' },
  server: string,
  signal: AbortSignal,
): Promise<void> {
  const object = trustObject(ref, server, await trustedPem(pem, current?.ca, clock.now()), current);
  const taken = () => nameTaken(ref);
  const { object: there, wrote } = await write(client, secrets, object, { label: ROLE_LABEL, taken, signal });
  if (wrote) trustMemory.wrote(ref, trustContent(server, pem), clock.now());
  // Else a former leader's, or one whose answer was lost.
  if (there !== undefined) bundles.remember(TRUST_KIND, there);
}

function nameTaken(ref: TrustRef): OperatorError {
  const message = `${shownRef(ref)} exists and is not the operator's: rename or delete it, so that the client CAs can be published under this name.`;
  return new OperatorError('TrustBundleNameTaken', message, { retry: { class: 'after', milliseconds: lookAgainMs } });
}

/** Only what was looked at, in that very version. */
export async function withdrawTrust(
  { client, bundles, trustMemory }: TrustStepOptions,
  { object }: TrustStep & { name: 'withdrawTrust' },
  signal: AbortSignal,
): Promise<void> {
  const gone = await remove(client, secrets, object, { signal });
  const { namespace, name, uid } = object;
  bundles.forget(TRUST_KIND, { namespace, name }, uid);
  if (gone) trustMemory.forget({ namespace, name });
}

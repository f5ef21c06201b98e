import { Role, ROLE_LABEL } from '../api/annotations.ts';
import { OperatorError } from '../errors.ts';
import { KubeError, type KubeClient } from '../kube/client.ts';
import type { EventRecorder } from '../kube/event-recorder.ts';
import type { Informer } from '../kube/informer.ts';
import { ingresses as ingressResource, secrets } from '../kube/resource.ts';
import { type BundleProjection, bundleName, bundleSecret } from './bundle-secret.ts';
import { bundleContent, type Wanted, writtenOut } from './desired.ts';
import { FIELD_MANAGER } from './field-managers.ts';
import type { IngressProjection } from './ingress.ts';
import { bundleTarget, ingressTarget, type TerminatorMemory } from './memory.ts';
import { emptyTrust, isEmptyTrust } from './trust.ts';

export type TerminatorStep =
  | { name: 'writeBundle'; namespace: string; wanted: Wanted; current: BundleProjection | undefined; basis: string }
  | { name: 'annotate'; ingress: IngressProjection; annotations: Readonly<Record<string, string>> }
  | { name: 'withdraw'; ingress: IngressProjection }
  | { name: 'deleteBundle'; bundle: BundleProjection };

export interface StepContext {
  client: Pick<KubeClient, 'get' | 'create' | 'update' | 'apply' | 'delete'>;
  ingresses: Pick<Informer<IngressProjection>, 'remember'>;
  bundles: Pick<Informer<BundleProjection>, 'remember' | 'forget'>;
  memory: TerminatorMemory;
  recorder: Pick<EventRecorder, 'record'>;
}

export async function runStep(
  step: TerminatorStep,
  context: StepContext,
  { now, signal }: { now: number; signal: AbortSignal },
): Promise<void> {
  const { memory } = context;
  const attempt = async (target: string, basis: string, write: () => Promise<void>): Promise<void> => {
    try {
      await write();
      memory.succeed(target, now);
    } catch (error) {
      if (!concernsOneObject(error)) throw error;
      memory.refuse(target, basis, error, now);
    }
  };
  switch (step.name) {
    case 'writeBundle':
      return attempt(bundleTargetOf(step), step.basis, () => writeBundle(step, context, { now, signal }));
    case 'annotate':
      return attempt(ingressTarget(step.ingress.uid), step.ingress.resourceVersion, () =>
        annotate(step.ingress, step.annotations, context, signal),
      );
    case 'withdraw':
      return attempt(ingressTarget(step.ingress.uid), step.ingress.resourceVersion, () =>
        annotate(step.ingress, undefined, context, signal),
      );
    case 'deleteBundle':
      return deleteBundle(step.bundle, context, signal);
  }
}

function bundleTargetOf({ namespace, wanted }: { namespace: string; wanted: Wanted }): string {
  return bundleTarget(namespace, bundleName(wanted.scope));
}

/** Anything else, such as an API server that does not answer, is everybody's trouble and paced by the pass. */
function concernsOneObject(error: unknown): boolean {
  if (!(error instanceof KubeError)) return error instanceof OperatorError && error.retry.class === 'terminal';
  return [400, 403, 404, 409, 422].includes(error.status);
}

async function writeBundle(
  { namespace, wanted, current }: TerminatorStep & { name: 'writeBundle' },
  { client, bundles, memory }: StepContext,
  { now, signal }: { now: number; signal: AbortSignal },
): Promise<void> {
  // A bundle that trusts nobody stays the one that it is: each new one would be a reload of every terminator.
  const kept = current?.ca !== undefined && isEmptyTrust(current.ca) ? current.ca : undefined;
  const ca = wanted.ca ?? kept ?? (await emptyTrust(now));
  const content = { namespace, scope: wanted.scope, server: wanted.server, ca };
  if (current !== undefined) {
    bundles.remember(await client.update(secrets, bundleSecret(content, current), { signal }));
    const target = bundleTargetOf({ namespace, wanted });
    memory.bundleWritten(target, bundleContent(wanted), now);
    if (current.ca !== ca) memory.trustChanged(target, now);
    return;
  }
  try {
    bundles.remember(await client.create(secrets, bundleSecret(content), { signal }));
    memory.bundleWritten(bundleTargetOf({ namespace, wanted }), bundleContent(wanted), now);
  } catch (error) {
    if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error;
    const name = bundleName(wanted.scope);
    const there = await client.get(secrets, { namespace, name }, { signal });
    // Ours, and not in the cache yet: a former leader's, or an answer that was lost.
    if (there?.metadata.labels?.[ROLE_LABEL] === Role.trustBundle) bundles.remember(there);
    else if (there !== undefined) throw nameTaken(namespace, name);
  }
}

function nameTaken(namespace: string, name: string): OperatorError {
  const message = `Secret ${namespace}/${name} exists and is not the operator's: delete it, so that the trust bundle can be written under this name.`;
  return new OperatorError('BundleNameTaken', message, { retry: { class: 'terminal' } });
}

/** Applies our whole set; none withdraws what we own alone and nothing else. */
async function annotate(
  ingress: IngressProjection,
  annotations: Readonly<Record<string, string>> | undefined,
  { client, ingresses, memory }: StepContext,
  signal: AbortSignal,
): Promise<void> {
  const { namespace, name, uid } = ingress;
  // With the uid an Ingress that has vanished is answered 409; without it, apply would create an empty one.
  const metadata = { namespace, name, uid, ...(annotations === undefined ? {} : { annotations: { ...annotations } }) };
  try {
    const answer = await client.apply(ingressResource, { metadata }, { fieldManager: FIELD_MANAGER }, { signal });
    if (annotations === undefined) memory.forgetIngress(uid);
    else memory.applied(uid, writtenOut(annotations));
    ingresses.remember(answer);
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    if (error.causes.some(({ field }) => field === 'metadata.uid')) throw replaced(error);
    if (error.conflictingManagers.length === 0) throw error;
    const wanted = annotations === undefined ? '' : `, or write there: ${writtenOut(annotations)}`;
    throw new OperatorError(
      'AnnotationConflict',
      `Field manager ${error.conflictingManagers.join(', ')} sets our annotations differently. Remove them there${wanted}.`,
      { cause: error, retry: { class: 'terminal' } },
    );
  }
}

/** Another Ingress has its name by now: the same news as its absence, which the watch brings. */
function replaced(cause: KubeError): OperatorError {
  const message = 'The Ingress was deleted and another has its name; that one is looked at instead.';
  return new OperatorError('KubernetesConflict', message, { cause, retry: { class: 'terminal' } });
}

async function deleteBundle(bundle: BundleProjection, context: StepContext, signal: AbortSignal): Promise<void> {
  const { client, bundles, memory } = context;
  const { namespace, name, uid, resourceVersion } = bundle;
  try {
    await client.delete(secrets, { namespace, name }, { uid, resourceVersion }, { signal });
  } catch (error) {
    // Changed since, or replaced: the next pass looks at what is there now.
    if (error instanceof KubeError && error.status === 409) return bundles.forget({ namespace, name }, uid);
    throw error;
  }
  bundles.forget({ namespace, name }, uid);
  memory.forgetBundle(namespace, name);
}

import { ROLE_LABEL } from '../api/annotations.ts';
import { OperatorError } from '../errors.ts';
import { KubeError, type KubeClient } from '../kube/client.ts';
import type { KindUnion } from '../kube/kind-union.ts';
import { remove, write } from '../kube/made-by-us.ts';
import type { KubernetesObject, Resource } from '../kube/resource.ts';
import { type BundleProjection, bundleObject, bundleResources } from './bundle.ts';
import { companionObject, type CompanionProjection } from './companion.ts';
import { bundleContent, companionContent, type Wanted, writtenOut } from './desired.ts';
import type { Companion, Settings } from './driver.ts';
import { FIELD_MANAGER } from './field-managers.ts';
import { type Frontend, frontendResources } from './frontends/frontend.ts';
import { frontendTarget, objectTarget, type TerminatorMemory } from './memory.ts';
import { applied } from './frontends/settings.ts';
import { trustedPem } from '../x509/trust.ts';

export type TerminatorStep =
  | { name: 'writeBundle'; namespace: string; wanted: Wanted; current: BundleProjection | undefined; basis: string }
  | {
      name: 'writeCompanion';
      namespace: string;
      wanted: Wanted;
      companion: Companion;
      current: CompanionProjection | undefined;
      basis: string;
    }
  | { name: 'configure'; frontend: Frontend; settings: Settings }
  | { name: 'withdraw'; frontend: Frontend }
  | { name: 'deleteCompanion'; companion: CompanionProjection }
  | { name: 'deleteBundle'; bundle: BundleProjection };

export interface StepContext {
  client: Pick<KubeClient, 'get' | 'create' | 'update' | 'replace' | 'apply' | 'delete'>;
  frontends: Pick<KindUnion<Frontend>, 'remember'>;
  bundles: Pick<KindUnion<BundleProjection>, 'remember' | 'forget'>;
  companions: Pick<KindUnion<CompanionProjection>, 'remember' | 'forget'>;
  memory: TerminatorMemory;
}

export async function runStep(
  step: TerminatorStep,
  context: StepContext,
  { now, signal }: { now: number; signal: AbortSignal },
): Promise<void> {
  const { memory } = context;
  const attempt = async (target: string, basis: string, doIt: () => Promise<void>): Promise<void> => {
    try {
      await doIt();
      memory.succeed(target, now);
    } catch (error) {
      if (!concernsOneObject(error)) throw error;
      memory.refuse(target, basis, error, now);
    }
  };
  const apply = (frontend: Frontend, settings: Settings | undefined): Promise<void> =>
    attempt(frontendTarget(frontend.uid), frontend.resourceVersion, async () => {
      await configure(frontend, settings, context, signal);
      if (settings === undefined) memory.withdrew(frontend.namespace, now);
    });
  switch (step.name) {
    case 'writeBundle': {
      const made = await bundleMade(step, now);
      return attempt(targetOf(made), step.basis, async () => {
        await writeMade(made, context, { now, signal });
        const changed = step.current !== undefined && step.current.ca !== made.ca;
        if (changed) memory.trustChanged(targetOf(made), now);
      });
    }
    case 'writeCompanion': {
      const made = companionMade(step);
      return attempt(targetOf(made), step.basis, () => writeMade(made, context, { now, signal }));
    }
    case 'configure':
      return apply(step.frontend, step.settings);
    case 'withdraw':
      return apply(step.frontend, undefined);
    case 'deleteCompanion':
      return withdraw(step.companion.resource, step.companion, context.companions, context, signal);
    case 'deleteBundle':
      return withdraw(bundleResources[step.bundle.kind], step.bundle, context.bundles, context, signal);
  }
}

/** Anything else, such as an API server that does not answer, is everybody's trouble and paced by the pass. */
function concernsOneObject(error: unknown): boolean {
  if (!(error instanceof KubeError)) return error instanceof OperatorError && error.retry.class === 'terminal';
  return [400, 403, 404, 409, 422].includes(error.status);
}

/** An object of ours as it is to be. */
interface Made {
  resource: Resource;
  object: KubernetesObject;
  /** Written again and again, it is the same. */
  content: string;
  cache: 'bundles' | 'companions';
}

const targetOf = ({ resource, object: { metadata } }: Made): string =>
  objectTarget(resource.kind, metadata.namespace ?? '', metadata.name);

async function bundleMade(
  { namespace, wanted, current }: TerminatorStep & { name: 'writeBundle' },
  now: number,
): Promise<Made & { ca: string }> {
  const ca = await trustedPem(wanted.ca, current?.ca, now);
  const { bundleKind: kind, scope, server } = wanted;
  return {
    resource: bundleResources[kind],
    object: bundleObject({ kind, namespace, scope, server, ca }, current),
    content: bundleContent(wanted),
    cache: 'bundles',
    ca,
  };
}

function companionMade({ namespace, wanted, companion, current }: TerminatorStep & { name: 'writeCompanion' }): Made {
  const { scope, server } = wanted;
  return {
    resource: companion.resource,
    object: companionObject(companion, { namespace, scope, server }, current),
    content: companionContent(companion),
    cache: 'companions',
  };
}

async function writeMade(
  made: Made,
  context: StepContext,
  { now, signal }: { now: number; signal: AbortSignal },
): Promise<void> {
  const { client, memory } = context;
  const { resource, object } = made;
  const taken = () => nameTaken(made);
  const { object: there, wrote } = await write(client, resource, object, { label: ROLE_LABEL, taken, signal });
  if (wrote) memory.rewrote(targetOf(made), made.content, now);
  // What is not ours to know yet: a former leader's, or an answer that was lost.
  if (there !== undefined) context[made.cache].remember(resource.kind, there);
}

function nameTaken({ resource, object: { metadata }, cache }: Made): OperatorError {
  const [code, what] = cache === 'bundles' ? ['BundleNameTaken', 'the trust bundle'] : ['CompanionNameTaken', 'it'];
  const message = `${resource.kind} ${metadata.namespace ?? ''}/${metadata.name} exists and is not the operator's: delete it, so that ${what} can be written under this name.`;
  return new OperatorError(code, message, { retry: { class: 'terminal' } });
}

/** Applies our whole set; none withdraws what we own alone and nothing else. */
async function configure(
  frontend: Frontend,
  settings: Settings | undefined,
  { client, frontends, memory }: StepContext,
  signal: AbortSignal,
): Promise<void> {
  const { kind, namespace, name, uid } = frontend;
  const { annotations, spec } = applied(settings ?? {});
  const object = {
    // With the uid a frontend that has vanished is answered 409; without it, apply would create an empty one.
    metadata: { namespace, name, uid, ...(annotations === undefined ? {} : { annotations }) },
    ...(spec === undefined ? {} : { spec }),
  };
  try {
    const answer = await client.apply(frontendResources[kind], object, { fieldManager: FIELD_MANAGER }, { signal });
    if (settings === undefined) memory.forgetFrontend(uid);
    else memory.applied(uid, writtenOut(settings));
    frontends.remember(kind, answer);
  } catch (error) {
    if (!(error instanceof KubeError)) throw error;
    if (error.causes.some(({ field }) => field === 'metadata.uid')) throw replaced(kind, error);
    const unknown = unknownField(error);
    if (unknown !== undefined) throw fieldUnknown(kind, unknown, error);
    if (error.conflictingManagers.length === 0) throw error;
    const wanted = settings === undefined ? '' : `, or write there: ${writtenOut(settings)}`;
    throw new OperatorError(
      'ConfigurationConflict',
      `Field manager ${error.conflictingManagers.join(', ')} sets differently what the operator sets. Remove it there${wanted}.`,
      { cause: error, retry: { class: 'terminal' } },
    );
  }
}

/** What the kind's CRD does not have. The API server says it with 500, as if it had failed itself. */
function unknownField({ message }: KubeError): string | undefined {
  return /\s\.(\S+): field not declared in schema/.exec(message)?.[1];
}

function fieldUnknown(kind: string, field: string, cause: KubeError): OperatorError {
  const message = `The CustomResourceDefinition of ${kind} in this cluster is too old and does not know ${field}: install the version that docs/terminators.md asks for. The ${kind} is not protected.`;
  return new OperatorError('FieldUnknown', message, { cause, retry: { class: 'terminal' } });
}

/** Another one has its name by now: the same news as its absence, which the watch brings. */
function replaced(kind: string, cause: KubeError): OperatorError {
  const message = `The ${kind} was deleted and another has its name; that one is looked at instead.`;
  return new OperatorError('KubernetesConflict', message, { cause, retry: { class: 'terminal' } });
}

async function withdraw(
  resource: Resource,
  made: BundleProjection | CompanionProjection,
  cache: StepContext['bundles' | 'companions'],
  { client, memory }: StepContext,
  signal: AbortSignal,
): Promise<void> {
  const gone = await remove(client, resource, made, { signal });
  const { namespace, name, uid } = made;
  cache.forget(resource.kind, { namespace, name }, uid);
  if (gone) memory.forgetObject(objectTarget(resource.kind, namespace, name));
}

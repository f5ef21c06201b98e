import { OWNER, OWNER_UID, ROLE_LABEL, Role } from '../../api/annotations.ts';
import { oauthClients } from '../../api/resources.ts';
import { OperatorError } from '../../errors.ts';
import { KubeError } from '../../kube/client.ts';
import { apiVersionOf, secrets, type KubernetesObject } from '../../kube/resource.ts';
import { z } from 'zod';
import { certificateHeld, certificateIn, type ClientRecord } from '../record.ts';
import { changedMeanwhile, type LoadedRecord } from '../record-store.ts';
import { certificateValues, contextValues, occasionalKeys, projectSecret } from '../published-secret.ts';
import { replacedLate } from '../schedule.ts';
import type { ClientView } from '../step.ts';
import { recordOf, required, tell, type ClientAction, type StepContext } from './context.ts';

const TLS = 'kubernetes.io/tls';
/** Somebody who writes the Secret over and over may be quicker now and then. */
const mostRaces = 4;

/** One write: an application never sees the key of one certificate beside the chain of another. */
export function publish(content: string): ClientAction {
  return (context, view, signal) => write(context, view, content, signal);
}

async function write(context: StepContext, view: ClientView, content: string, signal: AbortSignal): Promise<void> {
  const ref = { namespace: view.observed.client.metadata.namespace, name: view.desired.secretName };
  let record = await context.records.load(recordOf(view), signal);
  const { uid } = view.observed.client.metadata;
  for (let races = 0; ; races++) {
    // Where there was none a moment ago one is made without a look.
    const unseen = races === 0 && view.observed.published === undefined;
    const found = unseen ? undefined : await context.kube.get(secrets, ref, { signal });
    record = await drainingFromNow(context, record, found, signal);
    const data = dataOf(record, view);
    try {
      const written =
        found === undefined
          ? await context.kube.create(secrets, fresh(view, data), { signal })
          : await replace(context, view, found, data, signal);
      context.published.remember(written);
      break;
    } catch (error) {
      const raced = error instanceof KubeError && error.status === 409;
      // Who is always quicker is in the same contest as who undoes it afterwards.
      if (raced && races === mostRaces) context.rewrites.wrote(uid, content, context.clock.now());
      if (!raced || races === mostRaces) throw error;
    }
  }
  context.rewrites.wrote(uid, content, context.clock.now());
  // Of the first one the event Ready says the same a moment later.
  if (view.observed.client.status?.clientId === undefined) return;
  tell(context, view, 'Normal', 'Published', `Secret ${ref.name} holds certificate ${thumbprint(record)}.`);
}

function dataOf(record: LoadedRecord, view: ClientView): Record<string, string> {
  const encoded = Object.entries(values(record, view)).map(([key, value]) => [
    key,
    Buffer.from(value).toString('base64'),
  ]);
  const keystores = view.desired.keystores ? record.material.certificates[thumbprint(record)]?.keystores : {};
  return { ...Object.fromEntries(encoded), ...keystores };
}

/** P3: applications read the old certificate until the Secret is written, however long ago the new one was proved. */
async function drainingFromNow(
  context: StepContext,
  loaded: LoadedRecord,
  found: KubernetesObject | undefined,
  signal: AbortSignal,
): Promise<LoadedRecord> {
  const now = context.clock.now();
  const held = found === undefined ? undefined : certificateHeld(loaded.state, projectSecret(found).digests);
  if (held === undefined || !replacedLate(held, now)) return loaded;
  const replaced = { ...held, replacedAt: new Date(now).toISOString() };
  const certificates = loaded.state.certificates.map((c) => (c === held ? replaced : c));
  return context.records.save(loaded, { ...loaded, state: { ...loaded.state, certificates } }, signal);
}

function thumbprint(record: ClientRecord): string {
  return required(certificateIn(record.state, 'Published'), 'a published certificate').x5tS256;
}

function values(record: ClientRecord, view: ClientView): Record<string, string> {
  const x5tS256 = thumbprint(record);
  const material = required(record.material.certificates[x5tS256], 'the published key');
  const context = required(view.desired.context ?? record.state.context, 'what to publish');
  return {
    ...certificateValues({
      privateKeyPem: material.privateKeyPem,
      chainPem: material.chainPem,
      clientCaPem: material.caPem,
      x5tS256,
    }),
    ...contextValues(context),
  };
}

function fresh({ observed: { client }, desired }: ClientView, data: Record<string, string>): KubernetesObject {
  const { namespace, name, uid } = client.metadata;
  return {
    metadata: {
      name: desired.secretName,
      namespace,
      labels: { [ROLE_LABEL]: Role.published },
      annotations: { [OWNER]: `${namespace}/${name}`, [OWNER_UID]: uid },
      ownerReferences: [
        {
          apiVersion: apiVersionOf(oauthClients),
          kind: oauthClients.kind,
          name,
          uid,
          controller: true,
          blockOwnerDeletion: false,
        },
      ],
    },
    type: TLS,
    data,
  };
}

/** Our marks with the client's new uid; the values stay. */
export const adoptSecret: ClientAction = async (context, view, signal) => {
  const { namespace, name, resourceVersion } = required(view.observed.published, 'a published Secret');
  const found = await context.kube.get(secrets, { namespace, name }, { signal });
  if (found === undefined || found.metadata.resourceVersion !== resourceVersion) throw changedMeanwhile();
  const { annotations, labels, ownerReferences = [] } = fresh(view, {}).metadata;
  const metadata = {
    ...found.metadata,
    annotations: { ...found.metadata.annotations, ...annotations },
    labels: { ...found.metadata.labels, ...labels },
    ownerReferences,
  };
  context.published.remember(await context.kube.update(secrets, { ...found, metadata }, { signal }));
};

const writable = z.object({
  type: z.string().optional(),
  immutable: z.boolean().optional(),
  data: z.record(z.string(), z.string()).nullish(),
});

function withoutOccasional(data: Record<string, string>): Record<string, string> {
  const ours: readonly string[] = occasionalKeys;
  return Object.fromEntries(Object.entries(data).filter(([key]) => !ours.includes(key)));
}

async function replace(
  context: StepContext,
  view: ClientView,
  found: KubernetesObject,
  data: Record<string, string>,
  signal: AbortSignal,
): Promise<KubernetesObject> {
  if (found.metadata.annotations?.[OWNER_UID] !== view.observed.client.metadata.uid) {
    context.published.remember(found);
    throw new OperatorError(
      'SecretNameTaken',
      `Secret "${view.desired.secretName}" was not made for this client; it is left as it is.`,
    );
  }
  const wanted = fresh(view, data);
  const { type, immutable, data: others } = writable.parse(found);
  if (type !== TLS || immutable === true) {
    // Neither can be changed in place. It is ours, so it is made anew; the uid guards against a rival in between.
    const { uid, resourceVersion } = found.metadata;
    const preconditions = {
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    };
    await context.kube.delete(
      secrets,
      { namespace: found.metadata.namespace, name: found.metadata.name },
      preconditions,
      { signal },
    );
    return context.kube.create(secrets, wanted, { signal });
  }
  return context.kube.update(
    secrets,
    {
      ...found,
      metadata: {
        ...found.metadata,
        labels: { ...found.metadata.labels, ...wanted.metadata.labels },
        annotations: { ...found.metadata.annotations, ...wanted.metadata.annotations },
        ...(wanted.metadata.ownerReferences === undefined ? {} : { ownerReferences: wanted.metadata.ownerReferences }),
      },
      data: { ...withoutOccasional(others ?? {}), ...data },
    },
    { signal },
  );
}

import { FINALIZER } from '../../api/annotations.ts';
import { acquireClaim, releaseClaim as release, type ClaimRequest } from '../../authserver/claims.ts';
import { addFinalizer as add, removeFinalizer as remove } from '../../kube/finalizers.ts';
import { secrets } from '../../kube/resource.ts';
import { orphanOf } from '../checks/deletion.ts';
import type { ClientView } from '../step.ts';
import { callTokenEndpoint } from './proof.ts';
import {
  deniedByTermination,
  recordOf,
  required,
  serverOf,
  tell,
  type ClientAction,
  type StepContext,
} from './context.ts';
import { adoptSecret } from './publication.ts';
import { removalStored, removeRegistration } from './registration.ts';
import { OperatorError, asOperatorError } from '../../errors.ts';

export const addFinalizer: ClientAction = ({ kube, clients }, { observed: { client } }, signal) =>
  add({ client: kube, cache: clients }, client.metadata, FINALIZER, signal);

export const removeFinalizer: ClientAction = async (context, view, signal) => {
  const { kube, clients, reproofs, rewrites } = context;
  const { client } = view.observed;
  const orphan = orphanOf(view);
  if (orphan !== undefined) tellOrphaned(context, view, orphan);
  await remove({ client: kube, cache: clients }, client.metadata, FINALIZER, signal);
  reproofs.forget(client.metadata.uid);
  rewrites.forget(client.metadata.uid);
};

function tellOrphaned(
  context: StepContext,
  view: ClientView,
  { clientId, why }: { clientId: string; why: string },
): void {
  tell(context, view, 'Warning', 'Orphaned', `Client ${clientId} stays registered at the server (${why}).`);
}

/** The same client under a new uid: what it had goes on, the published Secret first, for the record tells whose it was. */
export const adoptRecord: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  const { uid } = view.observed.client.metadata;
  if (view.observed.published?.ownerUid === loaded.state.owner.uid) await adoptSecret(context, view, signal);
  const owner = { ...loaded.state.owner, uid };
  await context.records.save(loaded, { ...loaded, state: { ...loaded.state, owner } }, signal);
};

export const claimIdentity: ClientAction = async (context, view, signal) => {
  const { identity } = view.desired;
  if (!identity.ok) throw new TypeError('a step ran without an identity');
  const claimed = await acquireClaim(
    context.kube,
    claimRequest(context, view, serverOf(view).spec.issuer, identity),
    view.now,
    signal,
  );
  context.claims.remember(claimed);
};

/** It stays taken until the last certificate that names it has ended. */
export const releaseClaim: ClientAction = async (context, view, signal) => {
  const state = view.observed.record?.state;
  const ends = (state?.certificates ?? []).map((c) => Date.parse(c.notAfter));
  const exposed = Date.parse(state?.compromisedUntil ?? '') || 0;
  const identity = state?.identity ?? (view.desired.identity.ok ? view.desired.identity : undefined);
  const issuer = state?.server.issuer ?? serverOf(view).spec.issuer;
  const request = claimRequest(context, view, issuer, required(identity, 'an identity'));
  const until = Math.max(view.now, exposed, ...ends);
  const released = await release(context.kube, request, { until, compromised: exposed > view.now }, signal);
  if (released !== undefined) context.claims.remember(released);
};

function claimRequest(
  context: StepContext,
  view: ClientView,
  issuer: string,
  identity: ClaimRequest['identity'],
): ClaimRequest {
  const { namespace, name, uid } = view.observed.client.metadata;
  return { operatorNamespace: context.operatorNamespace, issuer, identity, holder: { namespace, name, uid } };
}

/**
 * RFC 7592 §2.3. A server answers 401 both for a token it no longer knows and for a client that is gone: then the
 * published certificate is tried, and a client that authenticates nobody is gone.
 */
export const deregister: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  try {
    await removeRegistration(context, view, loaded, signal);
  } catch (thrown) {
    if (asOperatorError(thrown).code !== 'RegistrationAccessTokenLost') throw thrown;
    const published = loaded.state.certificates.find((c) => c.role === 'Published');
    const outcome =
      published === undefined ? undefined : await callTokenEndpoint(context, view, loaded, published.x5tS256, signal);
    if (outcome?.outcome !== 'refused') throw stillThere(view, loaded.state.registration?.clientId, thrown);
  }
  const { registration: _gone, intent: _void, ...state } = loaded.state;
  const { registration: _credentials, ...material } = loaded.material;
  await context.records.save(loaded, { state, material }, signal);
  removalStored(context, loaded);
  const { registration, server } = loaded.state;
  tell(context, view, 'Normal', 'Deregistered', `Client ${registration?.clientId} is gone at ${server.issuer}.`);
};

function stillThere({ observed }: ClientView, clientId: string | undefined, cause: unknown): OperatorError {
  const then =
    observed.client.metadata.deletionTimestamp === undefined
      ? 'then its Secret goes by itself.'
      : 'then this object goes by itself; or set deletionPolicy: Orphan, where the platform allows it, to leave it behind.';
  return new OperatorError(
    'RegistrationAccessTokenLost',
    `Client ${clientId} can't be deregistered: the server no longer accepts its registration access token. Delete the client at ` +
      `the server, ${then}`,
    { cause, retry: { class: 'after', milliseconds: 10 * 60_000 } },
  );
}

export const withdrawSecret: ClientAction = async (context, { observed }, signal) => {
  const { namespace, name, uid } = required(observed.published, 'a published Secret');
  await context.kube.delete(secrets, { namespace, name }, { uid }, { signal }).catch((error: unknown) => {
    if (!deniedByTermination(error, observed.namespace)) throw error;
  });
  context.published.forget({ namespace, name }, uid);
};

export const forgetRecord: ClientAction = async (context, view, signal) => {
  const record = recordOf(view);
  const { intent, registration } = record.state ?? {};
  if (intent?.operation === 'create' && registration === undefined && !context.unsentIntents.has(intent.id)) {
    tell(
      context,
      view,
      'Warning',
      'OrphanSuspected',
      'The server may hold a client of this name that nobody can use: the answer to its registration was lost.',
    );
  }
  // What status names is told at the very end.
  if (registration !== undefined && registration.clientId !== view.observed.client.status?.clientId) {
    tellOrphaned(context, view, { clientId: registration.clientId, why: 'deletionPolicy: Orphan' });
  }
  await context.records.remove(record, signal);
};

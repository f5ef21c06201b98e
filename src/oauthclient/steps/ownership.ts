import { FINALIZER } from '../../api/annotations.ts';
import { acquireClaim, claimedClientId, releaseClaim as release, type ClaimRequest } from '../../authserver/claims.ts';
import { addFinalizer as add, removeFinalizer as remove } from '../../kube/finalizers.ts';
import { secrets } from '../../kube/resource.ts';
import { orphanOf, type Orphan } from '../checks/deletion.ts';
import { overdue, untilWhen } from '../deadline.ts';
import { withLeftBehind } from '../left-behind.ts';
import type { LoadedRecord } from '../record-store.ts';
import type { ClientView } from '../step.ts';
import { callTokenEndpoint } from './proof.ts';
import {
  deniedByTermination,
  recordOf,
  required,
  serverIn,
  serverOf,
  tell,
  type ClientAction,
  type StepContext,
} from './context.ts';
import { adoptSecret } from './publication.ts';
import { tellOrphaned } from './orphan.ts';
import { removalStored, removeRegistration } from './registration.ts';
import { OperatorError, asOperatorError } from '../../errors.ts';

export const addFinalizer: ClientAction = ({ kube, clients }, { observed: { client } }, signal) =>
  add({ client: kube, cache: clients }, client.metadata, FINALIZER, signal);

export const removeFinalizer: ClientAction = async (context, view, signal) => {
  const { kube, clients, reproofs, rewrites, comparisons } = context;
  const { client } = view.observed;
  const orphan = orphanOf(view);
  if (orphan !== undefined) tellOrphaned(context, view, orphan);
  await remove({ client: kube, cache: clients }, client.metadata, FINALIZER, signal);
  reproofs.forget(client.metadata.uid);
  rewrites.forget(client.metadata.uid);
  comparisons.forget(client.metadata.uid);
};

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

export const claimClientId: ClientAction = async (context, view, signal) => {
  const request = clientIdRequest(context, view, serverOf(view).spec.issuer);
  context.claims.remember(await acquireClaim(context.kube, request, view.now, signal));
};

/** The server itself keeps the id from others where the client was left there. */
export const releaseClientId: ClientAction = async (context, view, signal) => {
  const issuer = view.observed.record?.state?.server.issuer ?? serverOf(view).spec.issuer;
  const ended = { until: view.now, compromised: false };
  const released = await release(context.kube, clientIdRequest(context, view, issuer), ended, signal);
  if (released !== undefined) context.claims.remember(released);
};

function clientIdRequest(context: StepContext, view: ClientView, issuer: string): ClaimRequest {
  const clientId = required(view.observed.client.spec.clientId, 'a clientId');
  return claimRequest(context, view, issuer, claimedClientId(clientId));
}

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

export function claimRequest(
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
  let left: Orphan | undefined;
  try {
    left = await removeRegistration(context, view, loaded, signal);
  } catch (thrown) {
    const gone =
      asOperatorError(thrown).code === 'RegistrationAccessTokenLost' &&
      (await authenticatesNobody(context, view, loaded, signal));
    if (!gone) return notDeregistered(context, view, loaded, signal, asOperatorError(thrown));
  }
  const { registration: _gone, intent: _void, ...state } = loaded.state;
  const { registration: _credentials, ...material } = loaded.material;
  const stays = left === undefined ? state : withLeftBehind(state, left.clientId, view.now);
  await context.records.save(loaded, { state: stays, material }, signal);
  removalStored(context, loaded);
  if (left !== undefined) return tellOrphaned(context, view, left);
  const { registration, server } = loaded.state;
  tell(context, view, 'Normal', 'Deregistered', `Client ${registration?.clientId} is gone at ${server.issuer}.`);
};

async function authenticatesNobody(
  context: StepContext,
  view: ClientView,
  loaded: LoadedRecord,
  signal: AbortSignal,
): Promise<boolean> {
  const published = loaded.state.certificates.find((c) => c.role === 'Published');
  if (published === undefined) return false;
  return (await callTokenEndpoint(context, view, loaded, published.x5tS256, signal)).outcome === 'refused';
}

/**
 * It is tried again, or left behind where its time is over. What the platform allows is stored with the first failure: its object
 * may be gone when that is needed.
 */
async function notDeregistered(
  context: StepContext,
  view: ClientView,
  loaded: LoadedRecord,
  signal: AbortSignal,
  error: OperatorError,
): Promise<void> {
  if (error.code === 'Cancelled') throw error;
  if (overdue(view)) return abandon(context, view, loaded, signal);
  const server = serverIn(view);
  const { state } = loaded;
  if (state.server.deregistrationDeadline !== server.deregistrationDeadline) {
    await context.records.save(loaded, { ...loaded, state: { ...state, server } }, signal);
  }
  const lost = error.code === 'RegistrationAccessTokenLost';
  const deleting = view.observed.client.metadata.deletionTimestamp !== undefined;
  const why = lost
    ? `Client ${state.registration?.clientId} can't be deregistered: the server no longer accepts its registration access token. Delete ` +
      `the client at the server, ${deleting ? 'then this object goes by itself' : 'then its Secret and keys go by themselves'}.`
    : error.message;
  const { retry } = error;
  throw new OperatorError(error.code, deleting ? `${why} ${untilWhen(view)}` : why, { cause: error, retry });
}

/** Its time is over, and there is no server to ask. */
export const leaveBehind: ClientAction = async (context, view, signal) =>
  abandon(context, view, await context.records.load(recordOf(view), signal), signal);

/** Told before it is stored: told twice is better than not at all. */
async function abandon(
  context: StepContext,
  view: ClientView,
  loaded: LoadedRecord,
  signal: AbortSignal,
): Promise<void> {
  const { registration, intent: _void, ...state } = loaded.state;
  const { registration: _credentials, ...material } = loaded.material;
  const { clientId } = required(registration, 'a registration');
  const why = 'the deregistrationDeadline has passed, and the server has not let it go: delete it there';
  tellOrphaned(context, view, { clientId, cause: 'Deadline', why });
  await context.records.save(loaded, { state, material }, signal);
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
    const why = 'deletionPolicy: Orphan';
    tellOrphaned(context, view, { clientId: registration.clientId, cause: 'DeletionPolicy', why });
  }
  await context.records.remove(record, signal);
};

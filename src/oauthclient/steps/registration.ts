import { configurable } from '../../authserver/registration/client-configuration.ts';
import { changedMembers, platformMetadata } from '../../authserver/registration/client-metadata.ts';
import type { ClientMetadata, Registration } from '../../authserver/driver.ts';
import { asOperatorError } from '../../errors.ts';
import type { Orphan } from '../checks/deletion.ts';
import { withoutKeys } from '../checks/registration.ts';
import { digestOf } from '../digest.ts';
import { withLeftBehind } from '../left-behind.ts';
import type { ClientRecord, RecordState } from '../record.ts';
import type { LoadedRecord } from '../record-store.ts';
import type { ClientView } from '../step.ts';
import { newIntent, newKeySetId } from './certificate.ts';
import {
  accessOf,
  driverOf,
  recordOf,
  required,
  serverOf,
  tell,
  type ClientAction,
  type StepContext,
} from './context.ts';
import {
  readRegistration,
  registrationMaterial,
  replacedByRead,
  withEitherToken,
  withRegistration,
} from './registration-answer.ts';
import { tellOrphaned } from './orphan.ts';
import { createOrTakeOver, findOurs } from './registration-lookup.ts';

export function intend(operation: 'create' | 'update'): ClientAction {
  return async (context, view, signal) => {
    const loaded = await context.records.load(recordOf(view), signal);
    const intent = newIntent(operation, view.now);
    context.unsentIntents.add(intent.id);
    await context.records.save(loaded, { ...loaded, state: { ...loaded.state, intent } }, signal);
  };
}

/** RFC 7591 §3: one call, no retry; the answer is stored, the registration access token with it, before anything else. */
export const register: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  const asked = required(view.desired.metadata, 'metadata');
  const create = await createAtServer(context, view, asked, signal);
  await answered(context, intentOf(loaded), asked, create);
  await store(context, view, loaded, signal);
};

const intentOf = ({ state }: ClientRecord): string => required(state.intent, 'an intent').id;

/** The call, which is all that is left to do. */
export async function createAtServer(
  context: StepContext,
  view: ClientView,
  asked: ClientMetadata,
  signal: AbortSignal,
): Promise<() => Promise<Registration>> {
  const driver = driverOf(context, view);
  const access = accessOf(context, view, signal);
  // Read first: that the API server does not answer says nothing of the authorization server.
  await access.credentials();
  return async () => {
    const { adoption, renewRequested } = view.desired;
    const recovering = renewRequested !== undefined;
    const { registration, adopted } = await createOrTakeOver(driver, access, asked, { adoption, recovering });
    if (adopted) tellAdopted(context, view, registration.clientId);
    return registration;
  };
}

function tellAdopted(context: StepContext, view: ClientView, clientId: string): void {
  const note =
    `Client ${clientId}, which somebody else had made, is this OAuthClient's now: it authenticates by certificate alone, and whoever used ` +
    'another way reads the published Secret instead. It is deleted with this OAuthClient, unless deletionPolicy is Orphan.';
  tell(context, view, 'Warning', 'Adopted', note);
}

/** The API server did not take it before. */
export const storeAnswer: ClientAction = async (context, view, signal) => {
  const { record, answeredIntent } = view.observed;
  if (record !== undefined) return store(context, view, await context.records.load(record, signal), signal);
  const intent = required(answeredIntent, 'an intent');
  const { begun } = required(context.unstored.registrationOf(intent), 'an answer');
  // No key outlives its step: it gets another certificate, which its subject makes as good.
  const state = required(begun, 'a record');
  await storeFirst(context, view, intent, { state, material: { certificates: {} } }, signal);
};

/** The registration that the claim announced is the first that a record says. */
export async function storeFirst(
  context: StepContext,
  view: ClientView,
  intent: string,
  record: ClientRecord,
  signal: AbortSignal,
): Promise<void> {
  const { registration, asked } = required(context.unstored.registrationOf(intent), 'an answer');
  await context.records.create(withRegistration(record, registration, asked, context.clock.now()), signal);
  context.unstored.stored(intent);
  tellRegistered(context, view, record, registration);
}

function tellRegistered(
  context: StepContext,
  view: ClientView,
  { state: { server } }: ClientRecord,
  { clientId }: Registration,
): void {
  tell(context, view, 'Normal', 'Registered', `Registered at ${server.issuer} as client ${clientId}.`);
}

/** Of a call that was answered. Until it is stored, this process alone knows it. */
async function store(context: StepContext, view: ClientView, loaded: LoadedRecord, signal: AbortSignal): Promise<void> {
  const intent = required(loaded.state.intent, 'an intent');
  const { registration, asked } = required(context.unstored.registrationOf(intent.id), 'an answer');
  const record = withRegistration(loaded, registration, asked, context.clock.now());
  await context.records.save(loaded, record, signal);
  context.unstored.stored(intent.id);
  if (intent.operation === 'create') tellRegistered(context, view, loaded, registration);
}

/** RFC 7592 §2.2: PUT replaces, so the driver starts from what the server holds. */
export const updateRegistration: ClientAction = async (context, view, signal) => {
  const loaded = await withCurrentAnswer(context, view, await context.records.load(recordOf(view), signal), signal);
  const asked = required(view.desired.metadata, 'metadata');
  const driver = driverOf(context, view);
  const access = accessOf(context, view, signal);
  const update = () =>
    withEitherToken(driver, loaded, async (handle) => ({
      ...(await driver.update(access, { ...handle, lastAnswer: withoutFormer(loaded, asked) }, asked)),
      acceptedToken: handle.registrationAccessToken,
    }));
  await answered(context, intentOf(loaded), asked, update).catch((thrown: unknown) => {
    // Is it the token that is gone, or the client?
    if (['RegistrationAccessTokenLost', 'RegistrationNotFound'].includes(asOperatorError(thrown).code)) {
      context.reproofs.suspect(view.observed.client.metadata.uid, context.clock.now());
    }
    throw thrown;
  });
  await store(context, view, loaded, signal);
  context.reproofs.hasten(view.observed.client.metadata.uid, context.clock.now());
};

/** The server's last answer without what was asked for then and is no longer: it would be kept for ever. */
function withoutFormer({ state, material }: ClientRecord, asked: ClientMetadata): ClientMetadata {
  const former = Object.keys(state.registration?.accepted ?? {}).filter((member) => !(member in asked));
  const kept = Object.entries(material.registration?.lastAnswer ?? {}).filter(([member]) => !former.includes(member));
  return Object.fromEntries(kept);
}

/**
 * What others added to the registration since the server's last answer is theirs, and an update is to keep it. Where that can't be
 * read, the last answer has to do.
 */
async function withCurrentAnswer(
  context: StepContext,
  view: ClientView,
  loaded: LoadedRecord,
  signal: AbortSignal,
): Promise<LoadedRecord> {
  // A driver with a credential reads before it writes.
  const kept = driverOf(context, view).capabilities.managedBy === 'credential';
  if (view.observed.readsRotate || kept) return loaded;
  const { state, material } = loaded;
  try {
    const answer = await readRegistration(context, view, loaded, signal);
    if (answer === undefined) return loaded;
    const registration = registrationMaterial(material.registration, answer);
    const current = { ...loaded, material: { ...material, registration } };
    if (!replacedByRead(context, view, material.registration, registration)) return current;
    const stored = { ...required(state.registration, 'a registration'), readsRotate: true };
    return await context.records.save(loaded, { ...current, state: { ...state, registration: stored } }, signal);
  } catch (thrown) {
    // Who answers no read answers no update either; who refuses it may yet.
    if (!readRefused.has(asOperatorError(thrown).code)) throw thrown;
    return loaded;
  }
}

const readRefused = new Set(['RegistrationRefused', 'RegistrationAccessTokenLost', 'AnswerInvalid']);

/** The answer to an update was lost: what the server holds now is read, and compared as after any update. */
export const recoverUpdate: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  const asked = required(view.desired.metadata, 'metadata');
  const registration = await readRegistration(context, view, loaded, signal);
  if (registration === undefined) return updateAgain(context, loaded, signal);
  const record = recovered(loaded, registration, asked, context.clock.now());
  // A member that the server does not show may not have got there.
  const told = Object.keys(platformMetadata(serverOf(view))).every((member) => member in registration.metadata);
  await context.records.save(loaded, told ? record : askedAgain(record), signal);
};

/** RFC 7592 §2.2: an update replaces, so that the same one may be sent twice. */
async function updateAgain(context: StepContext, loaded: LoadedRecord, signal: AbortSignal): Promise<void> {
  const { intent: _lost, ...state } = loaded.state;
  await context.records.save(loaded, askedAgain({ ...loaded, state }), signal);
}

function askedAgain(record: ClientRecord): ClientRecord {
  const registration = { ...required(record.state.registration, 'a registration'), askedDigest: '' };
  return { ...record, state: { ...record.state, registration } };
}

/**
 * The answer to a create was lost: where a client can be looked up by the id that we chose, either it is there or the call
 * can be made again. One that is carried out later still meets the owner's mark.
 */
export const recoverCreate: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  const asked = required(view.desired.metadata, 'metadata');
  const found = await findOurs(driverOf(context, view), accessOf(context, view, signal), asked);
  if (found === undefined) {
    const { intent: _undone, ...state } = loaded.state;
    await context.records.save(loaded, { ...loaded, state }, signal);
    return;
  }
  await context.records.save(loaded, recovered(loaded, found, asked, context.clock.now()), signal);
  const at = loaded.state.server.issuer;
  tell(
    context,
    view,
    'Normal',
    'Registered',
    `Client ${found.clientId} is registered at ${at}: the answer was lost, the client was found.`,
  );
};

/** What was found in place of an answer is as it was asked for, or is asked for again. */
function recovered(loaded: LoadedRecord, found: Registration, asked: ClientMetadata, now: number): ClientRecord {
  const record = withRegistration(loaded, found, asked, now);
  const stored = required(record.state.registration, 'a registration');
  const current = changedMembers(asked, found.metadata).length === 0;
  const registration = { ...stored, askedDigest: current ? stored.askedDigest : '' };
  return { ...record, state: { ...record.state, registration } };
}

/**
 * RFC 7591 offers no way to find a client again whose answer was lost. Its key is destroyed, so that nobody can use it,
 * and it is reported; whether to register anew is the platform's decision.
 */
export const abandonRegistration: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  const { intent: _lost, ...state } = loaded.state;
  const since = new Date(view.now).toISOString();
  const suspectedOrphans = [...state.suspectedOrphans, since].slice(-16);
  await context.records.save(
    loaded,
    withoutNext({ state: { ...state, suspectedOrphans, keySetId: newKeySetId() }, material: loaded.material }),
    signal,
  );
  tell(
    context,
    view,
    'Warning',
    'OrphanSuspected',
    'The answer to a registration was lost: the server may hold a client that nobody can use, for its key was destroyed.',
  );
};

/** The key that was registered and never used is destroyed. */
function withoutNext({ state, material }: ClientRecord): ClientRecord {
  const next = state.certificates.filter((c) => c.role === 'Next').map((c) => c.x5tS256);
  const kept = Object.entries(material.certificates).filter(([thumbprint]) => !next.includes(thumbprint));
  return {
    state: { ...state, certificates: state.certificates.filter((c) => c.role !== 'Next') },
    material: { ...material, certificates: Object.fromEntries(kept) },
  };
}

/** What the server made of it is not what was asked for: it is removed again, and not tried until the request changes. */
export function rejectRegistration(message: string): ClientAction {
  return async (context, view, signal) => {
    const loaded = await context.records.load(recordOf(view), signal);
    const left = await removeRegistration(context, view, loaded, signal);
    const { registration: _removed, ...state } = loaded.state;
    const { registration: _credentials, ...material } = loaded.material;
    const rejected = { askedDigest: digestOf(withoutKeys(view.desired.metadata)), message };
    const stays = left === undefined ? state : withLeftBehind(state, left.clientId, view.now);
    await context.records.save(loaded, withoutNext({ state: { ...stays, rejected }, material }), signal);
    removalStored(context, loaded);
    tell(context, view, 'Warning', 'MetadataRejected', message);
    if (left !== undefined) tellOrphaned(context, view, left);
  };
}

/**
 * RFC 7592 §2.3, once: where the record could not be written afterwards, the server is not asked again.
 * @returns what stays behind at a server that deletes none
 */
export async function removeRegistration(
  context: StepContext,
  view: ClientView,
  loaded: LoadedRecord,
  signal: AbortSignal,
): Promise<Orphan | undefined> {
  const { issuer } = loaded.state.server;
  const { clientId } = required(loaded.state.registration, 'a registration');
  const left: Orphan = {
    clientId,
    cause: 'DeletionUnsupported',
    why: 'the server deletes no registration, RFC 7592 §2.3: delete it there',
  };
  if (context.unstored.isRemoved(issuer, clientId)) return undefined;
  if (!configurable(serverOf(view), 'DELETE')) return left;
  const driver = driverOf(context, view);
  const access = accessOf(context, view, signal);
  try {
    await withEitherToken(driver, loaded, (handle) => driver.remove(access, handle));
  } catch (thrown) {
    if (asOperatorError(thrown).code !== 'DeletionUnsupported') throw thrown;
    return left;
  }
  context.unstored.removed(issuer, clientId);
  return undefined;
}

/** @param loaded as it was before */
export function removalStored(context: StepContext, { state }: LoadedRecord): void {
  context.unstored.forgetRemoved(state.server.issuer, required(state.registration, 'a registration').clientId);
}

/**
 * Makes a call that the stored intent announced. From its beginning the intent is in doubt; it is settled again only by
 * an error that says that the server did nothing.
 */
export async function answered(
  context: StepContext,
  id: string,
  asked: ClientMetadata,
  call: () => Promise<Registration>,
  begun?: RecordState,
): Promise<void> {
  context.unsentIntents.delete(id);
  try {
    context.unstored.registered(id, { registration: await call(), asked, ...(begun === undefined ? {} : { begun }) });
  } catch (thrown) {
    if (nothingDone.has(asOperatorError(thrown).code)) context.unsentIntents.add(id);
    throw thrown;
  }
}

const nothingDone = new Set([
  'RegistrationRefused',
  'RegistrationUnauthorized',
  'RegistrationAccessTokenLost',
  'InitialAccessTokenSpent',
  'UpdateUnsupported',
  'RegistrationNotFound',
  'ClientIdTaken',
  'RegisteredByNamesake',
  'ServerUnavailable',
]);

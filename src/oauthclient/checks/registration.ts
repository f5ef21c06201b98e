import { capabilitiesOf } from '../../authserver/capabilities.ts';
import { configurable } from '../../authserver/registration/client-configuration.ts';
import { changedMembers, echoViolations, metadataRejected } from '../../authserver/registration/client-metadata.ts';
import type { Check } from '../../runtime/pass.ts';
import type { Desired } from '../desired.ts';
import { digestOf } from '../digest.ts';
import { leftBehindMessage } from '../left-behind.ts';
import { certificateIn } from '../record.ts';
import { Condition, UPDATE_UNSUPPORTED, act, stuck, waiting, type ClientStep, type ClientView } from '../step.ts';

type ClientCheck = Check<ClientView, ClientStep>;

/** P5: before anything else, for it is nowhere but in this process. */
export const answerStored: ClientCheck = {
  name: 'answerStored',
  find({ observed: { answeredIntent } }) {
    if (answeredIntent === undefined) return undefined;
    const message = 'What the server answered is being stored.';
    return act(Condition.registered, 'StoringAnswer', message, { name: 'storeAnswer' }, answeredIntent);
  },
};

/**
 * A registration was announced by the claim, and what became of it is in no record. Unless this process knows that the call
 * has not begun, its answer may be lost: the intent becomes the record's, and is settled there.
 */
export const announcementRecorded: ClientCheck = {
  name: 'announcementRecorded',
  find({ observed: { announced, claim, unsentIntent } }) {
    if (announced?.intent === undefined) return undefined;
    if (announced.intent === unsentIntent && announced.name === claim?.name) return undefined;
    const message = 'A registration was announced, and what came of it is being found out.';
    return act(Condition.registered, 'RegistrationAnswerLost', message, { name: 'recordIntent' }, announced.intent);
  },
};

/** An intent that this process did not just write: its call may have been carried out, and the answer is lost. */
const intentSettled: ClientCheck = {
  name: 'intentSettled',
  find(view) {
    const { observed, desired } = view;
    const intent = observed.record?.state?.intent;
    if (intent === undefined || intent.id === observed.unsentIntent) return undefined;
    const lookup = createLookedUp.find(view);
    if (lookup !== undefined) return lookup;
    if (intent.operation === 'create') {
      const message = 'The answer to a registration was lost.';
      return act(Condition.registered, 'RegistrationAnswerLost', message, { name: 'abandonRegistration' });
    }
    const message = 'The answer to an update of the registration was lost; what the server holds is being read.';
    const finding = act(Condition.registered, 'UpdateAnswerLost', message, { name: 'recoverUpdate' }, intent.id);
    return { ...finding, deferrable: canWait(desired) };
  },
};

/** Where client ids are ours, a client whose creation was not answered can be looked up. */
export const createLookedUp: ClientCheck = {
  name: 'createLookedUp',
  find({ observed: { record, server, unsentIntent }, desired: { metadata } }) {
    const intent = record?.state?.intent;
    if (intent?.operation !== 'create' || intent.id === unsentIntent || metadata === undefined) return undefined;
    if (server === undefined || capabilitiesOf(server)?.clientIdFrom !== 'us') return undefined;
    const message = 'The answer to a registration was lost; the client is being looked for.';
    return act(Condition.registered, 'RegistrationAnswerLost', message, { name: 'recoverCreate' }, intent.id);
  },
};

/** RFC 8705 §2.1: with a constant subject a rotation needs nothing of the registration; a key that is in it has to be first. */
function canWait({ method, keySetUri }: Desired): boolean {
  return method === 'tls_client_auth' || keySetUri !== undefined;
}

/** RFC 7591 has no way to look a client up: a lost answer is reported before anything else is tried. */
const noOrphanSuspected: ClientCheck = {
  name: 'noOrphanSuspected',
  find({ observed: { record, server, clusterId, client }, desired: { renewRequested }, now }) {
    const state = record?.state;
    const last = state?.suspectedOrphans.at(-1);
    if (state === undefined || last === undefined || state.registration !== undefined) return undefined;
    if (certificateIn(state, 'Next') !== undefined) return undefined;
    if (renewRequested !== undefined) return undefined;
    if (server?.spec.clients?.recovery === 'Recreate') {
      // A server whose answers are always lost must not be filled with orphans.
      const at = Date.parse(last) + Math.min(3_600_000, 5_000 * 2 ** (state.suspectedOrphans.length - 1));
      const message = `The answer to a registration was lost at ${last}; the client is registered anew at ${new Date(at).toISOString()}.`;
      return now >= at ? undefined : waiting(Condition.registered, 'OrphanSuspected', message, at);
    }
    const marker = `${clusterId}/${client.metadata.namespace}/${client.metadata.name}`;
    return stuck(
      Condition.registered,
      'OrphanSuspected',
      `The answer to a registration was lost at ${last}: the server may hold a client named "${marker}" that nobody can use, ` +
        'for its key was destroyed. Delete it there if it exists, then set the annotation certbound.dev/renew-requested to register ' +
        'anew; or let the platform set spec.clients.recovery: Recreate on the AuthorizationServer.',
    );
  },
};

const notRejected: ClientCheck = {
  name: 'notRejected',
  find({ observed: { record }, desired: { metadata, renewRequested } }) {
    const rejected = record?.state?.rejected;
    if (
      rejected === undefined ||
      renewRequested !== undefined ||
      rejected.askedDigest !== digestOf(withoutKeys(metadata))
    )
      return undefined;
    const left = record?.state && leftBehindMessage(record.state);
    const message = left === undefined ? rejected.message : `${rejected.message} ${left}`;
    return stuck(Condition.registered, 'MetadataRejected', message);
  },
};

const registered: ClientCheck = {
  name: 'registered',
  find({ observed: { record, server, client, credentials }, desired: { renewRequested } }) {
    const state = record?.state;
    if (state === undefined || state.registration !== undefined) return undefined;
    const version = server?.metadata.resourceVersion ?? '';
    const basis = `${client.metadata.generation} ${version} ${credentials} ${renewRequested ?? ''}`;
    const step: ClientStep = state.intent === undefined ? { name: 'intendCreate' } : { name: 'register' };
    return act(
      Condition.registered,
      'Registering',
      'The client is being registered at the authorization server.',
      step,
      basis,
    );
  },
};

/** A server may substitute values silently (RFC 7591 §3.2.1): what it answered is compared with what was asked. */
const echoed: ClientCheck = {
  name: 'echoed',
  find({ observed: { record }, desired: { metadata, adoption } }) {
    const state = record?.state;
    if (state?.registration === undefined || metadata === undefined) return undefined;
    if (state.registration.askedDigest !== digestOf(metadata)) return undefined;
    const violations = echoViolations(metadata, state.registration.accepted);
    if (violations.length === 0) return undefined;
    const { message } = metadataRejected(violations);
    // What is published works, and a rotation is proved before it is published: this must not hold it up.
    const works = certificateIn(state, 'Published') !== undefined;
    // One that may have been somebody else's is not removed for it.
    if (works || adoption === 'Listed') {
      return { ...stuck(Condition.registered, 'MetadataRejected', message), blocks: !works };
    }
    return act(Condition.registered, 'MetadataRejected', message, { name: 'rejectRegistration', message });
  },
};

const upToDate: ClientCheck = {
  name: 'upToDate',
  find({ observed: { record, server, client, unsentIntent }, desired }) {
    const { metadata } = desired;
    const state = record?.state;
    if (state?.registration === undefined || metadata === undefined) return undefined;
    if (state.registration.askedDigest === digestOf(metadata)) return undefined;
    if (!configurable(server, 'PUT')) {
      const changed = changedMembers(metadata, state.registration.accepted);
      if (changed.length === 0) return undefined;
      // A key that can't be registered can't be published either.
      return { ...stuck(Condition.registered, UPDATE_UNSUPPORTED, unchangeable(changed)), blocks: !canWait(desired) };
    }
    // An earlier call is in doubt: that is settled first.
    if (state.intent !== undefined && state.intent.id !== unsentIntent) return undefined;
    const basis = `${client.metadata.generation} ${server?.metadata.resourceVersion ?? ''} ${digestOf(metadata)}`;
    const step: ClientStep = state.intent === undefined ? { name: 'intendUpdate' } : { name: 'updateRegistration' };
    const message = 'The registration is being updated at the server.';
    const finding = act(Condition.registered, 'UpdatingRegistration', message, step, basis);
    return { ...finding, deferrable: canWait(desired) };
  },
};

const unchangeable = (changed: readonly string[]): string =>
  'The authorization server changes no registration (RFC 7592 §2.2), so that the client stays as it was registered: of ' +
  `${changed.join(', ')} it knows the old value. Undo the change; or create a second OAuthClient with it, switch the application to its ` +
  'Secret, then delete this one.';

/** The part of the metadata that a tenant decides; keys change with every rotation, and the CA with some. */
export function withoutKeys(metadata: Record<string, unknown> | undefined): Record<string, unknown> {
  const { jwks: _jwks, tls_client_auth_ca_subject_dn: _ca, ...rest } = metadata ?? {};
  return rest;
}

export const recoveryChecks: readonly ClientCheck[] = [intentSettled, noOrphanSuspected, notRejected];
export const registrationChecks: readonly ClientCheck[] = [registered, echoed, upToDate];

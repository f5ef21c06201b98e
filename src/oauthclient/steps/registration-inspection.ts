import { changedMembers, changesByOthers } from '../../authserver/registration/client-metadata.ts';
import { asOperatorError } from '../../errors.ts';
import { digestOf } from '../digest.ts';
import { newKeySetId } from './certificate.ts';
import { recordOf, required, tell, type ClientAction } from './context.ts';
import { readRegistration, registrationMaterial, replacedByRead } from './registration-answer.ts';
import { tellChanged } from './registration-comparison.ts';

/**
 * The server refuses the certificate: whether it still knows the client, and as what. One that was restored from a backup has
 * forgotten a key: what it holds otherwise than asked for is asked for again, but only after the second refusal, for a standby
 * that lags behind would take every update and forget it again.
 */
export const inspectRegistration: ClientAction = async (context, view, signal) => {
  const { uid } = view.observed.client.metadata;
  const asked = required(view.desired.metadata, 'metadata');
  const loaded = await context.records.load(recordOf(view), signal);
  const { state, material } = loaded;
  const stored = required(state.registration, 'a registration');
  try {
    const answer = await readRegistration(context, view, loaded, signal);
    if (answer === undefined) return context.reproofs.looked(uid, 'unreadable');
    const before = material.registration;
    const registration = registrationMaterial(before, answer);
    const changes = changesByOthers(asked, before?.lastAnswer ?? {}, answer.metadata);
    const differs = changes.length > 0 || changedMembers(asked, answer.metadata).length > 0;
    const now = context.clock.now();
    const contest = context.comparisons.contest(uid, digestOf(asked), now);
    const braked = contest !== undefined && now < contest.nextAt;
    const again = differs && view.observed.reproof.refusals === 2 && !braked;
    const replaced = replacedByRead(context, view, before, registration);
    if (again || replaced) {
      const askedDigest = again ? '' : stored.askedDigest;
      const habits = replaced ? { readsRotate: true } : {};
      const change = { state: { ...state, registration: { ...stored, askedDigest, ...habits } } };
      await context.records.save(loaded, { ...change, material: { ...material, registration } }, signal);
    }
    if (again && changes.length > 0) {
      context.comparisons.repaired(uid, digestOf(asked), now);
      tellChanged(context, view, changes);
    }
    context.reproofs.looked(uid, 'present');
  } catch (thrown) {
    const { code } = asOperatorError(thrown);
    if (code === 'RegistrationNotFound') context.reproofs.looked(uid, 'absent');
    else if (code === 'RegistrationAccessTokenLost') context.reproofs.looked(uid, 'unreadable');
    else throw thrown;
  }
};

/** The client is gone at the server, and with it all that its keys were good for: as if it had never been registered. */
export const forgetRegistration: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  const { registration, intent: _settled, ...state } = loaded.state;
  await context.records.save(
    loaded,
    { state: { ...state, certificates: [], keySetId: newKeySetId() }, material: { certificates: {} } },
    signal,
  );
  context.reproofs.forget(view.observed.client.metadata.uid);
  context.comparisons.forget(view.observed.client.metadata.uid);
  const note = `Client ${registration?.clientId} is gone at the server; another one is registered in its place.`;
  tell(context, view, 'Warning', 'RegistrationGone', note);
};

import { verifyIntervalMs } from '../../api/intervals.ts';
import { wholeSeconds } from '../../api/time.ts';
import { changesByOthers, membersShown, type EchoViolation } from '../../authserver/registration/client-metadata.ts';
import type { Registration } from '../../authserver/driver.ts';
import { asOperatorError, OperatorError } from '../../errors.ts';
import type { Contest } from '../../runtime/contest.ts';
import { digestOf } from '../digest.ts';
import type { ClientRecord } from '../record.ts';
import type { LoadedRecord } from '../record-store.ts';
import type { ClientView } from '../step.ts';
import { newIntent } from './certificate.ts';
import { recordOf, required, serverOf, tell, type ClientAction, type StepContext } from './context.ts';
import { readRegistration, registrationMaterial, replacedByRead } from './registration-answer.ts';

/**
 * RFC 7592 §2.1, now and then: what others changed of our members at the server is put back by an update, and told. What
 * they added besides is theirs, and an update keeps it. Only changes are stored: a look is no write.
 */
export const compareRegistration: ClientAction = async (context, view, signal) => {
  const { comparisons } = context;
  const { uid } = view.observed.client.metadata;
  const asked = required(view.desired.metadata, 'metadata');
  const loaded = await context.records.load(recordOf(view), signal);
  const answer = await look(context, view, loaded, signal);
  if (answer === undefined) return;
  const changes = changesByOthers(asked, loaded.material.registration?.lastAnswer ?? {}, answer.metadata);
  const now = context.clock.now();
  const content = digestOf(asked);
  const contest = comparisons.contest(uid, content, now);
  const braked = contest !== undefined && now < contest.nextAt ? contest : undefined;
  const repair = changes.length > 0 && braked === undefined;
  const change = afterLook(context, view, loaded, { answer, repair });
  if (change !== undefined) await context.records.save(loaded, change, signal);
  if (changes.length === 0) return comparisons.same(uid, now, verifyIntervalMs(view.observed.server));
  if (braked === undefined) {
    comparisons.repaired(uid, content, now);
    return tellChanged(context, view, changes);
  }
  comparisons.braked(uid, braked.nextAt, revertedMessage(changes, braked));
  // What is registered now may authenticate nobody, and then Ready has to say so.
  context.reproofs.suspect(uid, now);
};

const tokenLostMs = 10 * 60_000;

/** Undefined where nothing was learnt: that is no reason to do anything. */
async function look(
  context: StepContext,
  view: ClientView,
  loaded: LoadedRecord,
  signal: AbortSignal,
): Promise<Registration | undefined> {
  const { uid } = view.observed.client.metadata;
  const intervalMs = verifyIntervalMs(view.observed.server);
  try {
    const answer = await readRegistration(context, view, loaded, signal);
    // There is nothing to look at.
    if (answer === undefined) context.comparisons.same(uid, context.clock.now(), intervalMs);
    return answer;
  } catch (thrown) {
    const { code, message } = asOperatorError(thrown);
    if (code === 'Cancelled') throw thrown;
    const now = context.clock.now();
    const lost = code === 'RegistrationAccessTokenLost';
    // Is it the token that is gone, or the client?
    if (lost || code === 'RegistrationNotFound') context.reproofs.suspect(uid, now);
    if (!lost) {
      context.comparisons.postponed(uid, now, intervalMs);
      return undefined;
    }
    const retry = { class: 'after', milliseconds: Math.max(tokenLostMs, intervalMs) } as const;
    throw new OperatorError(code, message, { cause: thrown, retry });
  }
}

/** What is to be stored, in one write: a token that was replaced; and what the server holds, for an update to keep what is others'. */
function afterLook(
  context: StepContext,
  view: ClientView,
  { state, material }: LoadedRecord,
  { answer, repair }: { answer: Registration; repair: boolean },
): ClientRecord | undefined {
  const before = material.registration;
  const found = registrationMaterial(before, answer);
  const replaced = replacedByRead(context, view, before, found);
  if (!repair && !replaced) return undefined;
  const stored = required(state.registration, 'a registration');
  const registration = { ...stored, ...(replaced ? { readsRotate: true } : {}) };
  if (!repair) {
    // What differs is still others': it is not the server's answer to us.
    const lastAnswer = before?.lastAnswer ?? answer.metadata;
    return { state: { ...state, registration }, material: { ...material, registration: { ...found, lastAnswer } } };
  }
  const intent = newIntent('update', context.clock.now());
  context.unsentIntents.add(intent.id);
  return {
    state: { ...state, registration: { ...registration, askedDigest: '' }, intent },
    material: { ...material, registration: found },
  };
}

function revertedMessage(changes: readonly EchoViolation[], { times, nextAt }: Contest): string {
  return (
    `Somebody changes this client at the authorization server again and again: it was put back ${times} times in ten minutes, and now ` +
    `differs in ${membersShown(changes)}. Change the OAuthClient instead, or keep others from writing this client there. It is put ` +
    `back at ${wholeSeconds(nextAt)}, then less and less often.`
  );
}

/** Who is on call learns what somebody else did, and that it does not last. */
export function tellChanged(context: StepContext, view: ClientView, changes: readonly EchoViolation[]): void {
  const clientId = view.observed.record?.state?.registration?.clientId;
  context.connection(serverOf(view)).restored(changes.map(({ member }) => member));
  const note =
    `Client ${clientId} is not as it was registered: somebody changed it at the authorization server, or an older copy was restored ` +
    `there. It is put back: ${membersShown(changes)}. To change it, change the OAuthClient.`;
  tell(context, view, 'Warning', 'RegistrationRestored', note);
}

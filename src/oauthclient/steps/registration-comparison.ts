import { wholeSeconds } from '../../api/time.ts';
import { changesByOthers, membersShown, type EchoViolation } from '../../authserver/client-metadata.ts';
import type { Registration } from '../../authserver/driver.ts';
import { asOperatorError, OperatorError } from '../../errors.ts';
import type { Contest } from '../../runtime/contest.ts';
import { verifyIntervalMs } from '../desired.ts';
import { digestOf } from '../digest.ts';
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
  await storeLook(context, view, loaded, answer, repair, signal);
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
    return await readRegistration(context, view, loaded, signal);
  } catch (thrown) {
    const { code, message } = asOperatorError(thrown);
    if (code === 'Cancelled') throw thrown;
    const now = context.clock.now();
    if (code !== 'RegistrationAccessTokenLost') {
      context.comparisons.postponed(uid, now, intervalMs);
      return undefined;
    }
    // Is it the token that is gone, or the client?
    context.reproofs.suspect(uid, now);
    const retry = { class: 'after', milliseconds: Math.max(tokenLostMs, intervalMs) } as const;
    throw new OperatorError(code, message, { cause: thrown, retry });
  }
}

/** In one write: a token that was replaced, what the server holds, so that an update keeps what is others', and its intent. */
async function storeLook(
  context: StepContext,
  view: ClientView,
  loaded: LoadedRecord,
  answer: Registration,
  repair: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { state, material } = loaded;
  const found = registrationMaterial(material.registration, answer);
  const replaced = replacedByRead(context, view, material.registration, found);
  if (!repair && !replaced) return;
  const registration = {
    ...required(state.registration, 'a registration'),
    ...(repair ? { askedDigest: '' } : {}),
    ...(replaced ? { readsRotate: true } : {}),
  };
  const intent = repair ? newIntent('update', context.clock.now()) : undefined;
  if (intent !== undefined) context.unsentIntents.add(intent.id);
  const kept =
    repair || material.registration === undefined ? found : { ...found, lastAnswer: material.registration.lastAnswer };
  await context.records.save(
    loaded,
    {
      state: { ...state, registration, ...(intent === undefined ? {} : { intent }) },
      material: { ...material, registration: kept },
    },
    signal,
  );
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

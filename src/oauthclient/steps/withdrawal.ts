import { withdrawalMessage } from '../checks/withdrawal.ts';
import { withdrawalEnd, withdrawnGrants } from '../withdrawal.ts';
import type { ClientRecord, RecordState } from '../record.ts';
import type { ClientView } from '../step.ts';
import { newKeySetId } from './certificate.ts';
import { succeedIdentity } from './compromise.ts';
import { recordOf, tell, type ClientAction, type StepContext } from './context.ts';

/** The grace begins when the operator learns of it, and a restart does not begin it anew. */
export const beginWithdrawal: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  const since = new Date(view.now).toISOString();
  await context.records.save(loaded, { ...loaded, state: { ...loaded.state, withdrawal: { since } } }, signal);
  const until = withdrawalEnd(view.observed, since);
  tell(context, view, 'Warning', 'NotGranted', withdrawalMessage(view, withdrawnGrants(view) ?? [], until));
};

export const endWithdrawal: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  const { withdrawal: _over, ...state } = loaded.state;
  const record = keptOut(view, state)
    ? await underAnotherSubject(context, view, { ...loaded, state }, signal)
    : { ...loaded, state };
  await context.records.save(loaded, record, signal);
  const then =
    state.registration === undefined ? 'The client is registered anew.' : 'The client goes on as it was registered.';
  tell(context, view, 'Normal', 'Granted', `What the client was registered for is granted again. ${then}`);
};

/** The server would go on to take the client's certificates for what it was granted before (RFC 8705 §2.1). */
function keptOut({ desired: { identity, method } }: ClientView, { registration, leftBehind }: RecordState): boolean {
  if (registration !== undefined || leftBehind === undefined || method !== 'tls_client_auth') return false;
  return identity.ok && 'dn' in identity.subject;
}

async function underAnotherSubject(
  context: StepContext,
  view: ClientView,
  { state, material }: ClientRecord,
  signal: AbortSignal,
): Promise<ClientRecord> {
  const { claim } = view.observed;
  const ends = state.certificates.map(({ notAfter }) => Date.parse(notAfter));
  const until = claim?.expires ?? Math.max(view.now, ...ends);
  const successor = await succeedIdentity(context, view, state, { until, compromised: false }, signal);
  return {
    state: { ...state, ...successor, certificates: [], keySetId: newKeySetId() },
    material: { ...material, certificates: {} },
  };
}

/** Of a client that is registered no longer, with all that they were good for; the rest of the record stays. */
export const destroyKeys: ClientAction = async (context, view, signal) => {
  const loaded = await context.records.load(recordOf(view), signal);
  await context.records.save(
    loaded,
    {
      state: { ...loaded.state, certificates: [], keySetId: newKeySetId() },
      material: { ...loaded.material, certificates: {} },
    },
    signal,
  );
  context.reproofs.forget(view.observed.client.metadata.uid);
};

import { withdrawalMessage } from '../checks/withdrawal.ts';
import { withdrawalEnd, withdrawnGrants } from '../withdrawal.ts';
import { newKeySetId } from './certificate.ts';
import { recordOf, tell, type ClientAction } from './context.ts';

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
  await context.records.save(loaded, { ...loaded, state }, signal);
  const then =
    state.registration === undefined ? 'The client is registered anew.' : 'The client goes on as it was registered.';
  tell(context, view, 'Normal', 'Granted', `What the client was registered for is granted again. ${then}`);
};

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

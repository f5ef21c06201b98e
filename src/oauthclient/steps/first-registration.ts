import { randomUUID } from 'node:crypto';
import { announceClaim, announcedIn, projectClaim, type ClaimRequest } from '../../authserver/claims.ts';
import { configMaps } from '../../kube/resource.ts';
import type { ClientRecord } from '../record.ts';
import { changedMeanwhile } from '../record-store.ts';
import type { ClientView } from '../step.ts';
import { identityIn, issue, newState } from './certificate.ts';
import { claimRequest } from './ownership.ts';
import { answered, createAtServer, storeFirst } from './registration.ts';
import { required, serverIn, serverOf, type ClientAction, type StepContext } from './context.ts';

/**
 * The claim announces the registration, and the first record is written with its answer (ADR 16). What may fail without the
 * server comes first: from the claim on the intent is in doubt if the process ends.
 */
export const claimAndRegister: ClientAction = async (context, view, signal) => {
  const { certificate, material } = await issue(context, view, 'Issuing', signal);
  const asked = required(view.desired.metadata, 'metadata');
  const create = await createAtServer(context, view, asked, signal);
  const begun = newState(context, view, identityIn(view));
  const intent = await announce(context, view, signal);
  await answered(context, intent, asked, create, begun);
  const record: ClientRecord = {
    state: { ...begun, certificates: [certificate] },
    material: { certificates: { [certificate.x5tS256]: material } },
  };
  await storeFirst(context, view, intent, record, signal);
};

/** @throws OperatorError `ChangedMeanwhile` where there is a claim that is not ours, or announces another call */
async function announce(context: StepContext, view: ClientView, signal: AbortSignal): Promise<string> {
  const { announced, unsentIntent } = view.observed;
  if (announced?.intent !== undefined && announced.intent === unsentIntent) return unsentIntent;
  const intent = randomUUID();
  // Also where the answer to this write is lost: nothing was sent yet.
  context.unsentIntents.add(intent);
  const request: ClaimRequest = claimRequest(context, view, serverOf(view).spec.issuer, identityIn(view));
  const claim = await announceClaim(context.kube, request, intent, signal);
  if (claim !== undefined) context.claims.remember(claim);
  if (claim === undefined || projectClaim(claim)?.intent !== intent) throw changedMeanwhile();
  return intent;
}

/** As it was announced, whatever the platform would have the identity be by now: it is what may be registered. */
export const recordIntent: ClientAction = async (context, view, signal) => {
  const { client, announced, server } = view.observed;
  const { name } = required(announced, 'a claim');
  const found = await context.kube.get(configMaps, { namespace: context.operatorNamespace, name }, { signal });
  const claimed = found && announcedIn(found);
  if (found === undefined || claimed === undefined || claimed.intent !== announced?.intent) {
    if (found !== undefined) context.claims.remember(found);
    throw changedMeanwhile();
  }
  const { issuer, intent: id } = claimed;
  // A server that is gone is asked nothing.
  const at = server === undefined ? { name: client.spec.authorizationServerRef.name } : serverIn(view);
  const since = found.metadata.creationTimestamp ?? new Date(view.now).toISOString();
  const state = {
    ...newState(context, view, claimed, { ...at, issuer }),
    intent: { id, operation: 'create' as const, since },
  };
  await context.records.create({ state, material: { certificates: {} } }, signal);
};

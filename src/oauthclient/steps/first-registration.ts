import { randomUUID } from 'node:crypto';
import { announceClaim, announcedIn, projectClaim, type ClaimRequest } from '../../authserver/claims.ts';
import type { ClientMetadata } from '../../authserver/driver.ts';
import { configMaps } from '../../kube/resource.ts';
import { desired } from '../desired.ts';
import { recordName, type RecordState } from '../record.ts';
import { changedMeanwhile } from '../record-store.ts';
import type { ClientView } from '../step.ts';
import { handledIn, identityIn, issue, newState } from './certificate.ts';
import { claimRequest } from './ownership.ts';
import { answered, createAtServer, storeFirst } from './registration.ts';
import { required, serverIn, serverOf, type ClientAction, type StepContext } from './context.ts';

/**
 * The claim announces the registration, and the first record is written with its answer (ADR 16). What may fail without the
 * server comes first: from the claim on the intent is in doubt if the process ends.
 */
export const claimAndRegister: ClientAction = async (context, view, signal) => {
  const { certificate, material } = await issue(context, view, 'Issuing', signal);
  const begun = newState(context, view, identityIn(view));
  const state: RecordState = { ...begun, certificates: [certificate], ...handledIn(view) };
  const asked = metadataFor(view, state);
  const create = await createAtServer(context, view, asked, signal);
  const intent = await announce(context, view, signal);
  await answered(context, intent, asked, create, begun);
  const keys = { [certificate.x5tS256]: material };
  await storeFirst(context, view, intent, { state, material: { certificates: keys } }, signal);
};

/** As soon as the record is there it is asked for: a server may be told of the certificate's CA. */
function metadataFor({ observed, now }: ClientView, state: RecordState): ClientMetadata {
  const { namespace, name } = state.owner;
  const unstored = { name: recordName(namespace, name), uid: '', resourceVersion: '', digest: '', owner: undefined };
  return required(desired({ ...observed, record: { ...unstored, state } }, now).metadata, 'metadata');
}

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

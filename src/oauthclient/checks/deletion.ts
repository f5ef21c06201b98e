import { FINALIZER } from '../../api/annotations.ts';
import type { Check } from '../../runtime/pass.ts';
import { overdue, untilWhen } from '../deadline.ts';
import { recordDamaged } from '../record.ts';
import { withdrawnGrants } from '../withdrawal.ts';
import { announcementRecorded, answerStored, createLookedUp } from './registration.ts';
import { Condition, act, stuck, waiting, type ClientStep, type ClientView } from '../step.ts';

type ClientCheck = Check<ClientView, ClientStep>;

/**
 * Deleting a CRD marks every object deleted. Nobody asked for that many deregistrations: hold, and keep every Secret.
 */
const definitionTerminating: ClientCheck = {
  name: 'definitionTerminating',
  find({ observed }) {
    if (!observed.definitionTerminating) return undefined;
    return stuck(
      Condition.registered,
      'CustomResourceDefinitionDeleted',
      'The CustomResourceDefinition oauthclients.certbound.dev is being deleted, which marks every OAuthClient deleted. ' +
        'Nothing is deregistered and no Secret is removed. To give this client up, remove its finalizer by hand; ' +
        'to uninstall cleanly, delete OAuthClients before the definition.',
    );
  },
};

/** As far as the platform allows it now: a tenant alone leaves nothing behind. A server that is gone can't be asked. */
function leftBehind(view: ClientView): boolean {
  const { server, record } = view.observed;
  if (view.desired.deletionPolicy !== 'Orphan') return false;
  const registeredAt = record?.state?.server.issuer;
  if (server === undefined || (registeredAt !== undefined && server.spec.issuer !== registeredAt)) return true;
  return server.spec.clients?.deletion?.includes('Orphan') === true && (withdrawnGrants(view) ?? []).length === 0;
}

/** A client that nobody knows of would stay behind. */
const created: ClientCheck = {
  name: 'created',
  find(view) {
    const { record, server } = view.observed;
    const sameServer = server?.spec.issuer === record?.state?.server.issuer;
    return sameServer && !leftBehind(view) && !overdue(view) ? createLookedUp.find(view) : undefined;
  },
};

/** What it holds may be a registration, and the only right to remove it. */
const readable: ClientCheck = {
  name: 'readable',
  find(view) {
    const { record } = view.observed;
    if (record === undefined || record.state !== undefined || leftBehind(view) || overdue(view)) return undefined;
    const { code, message } = recordDamaged(record.name, "the operator's namespace");
    return stuck(Condition.certificate, code, `${message} ${untilWhen(view)}`);
  },
};

const registered: ClientCheck = {
  name: 'registered',
  find(view) {
    const { observed } = view;
    const record = observed.record?.state;
    if (record?.registration === undefined || leftBehind(view)) return undefined;
    if (observed.server?.spec.issuer !== record.server.issuer) {
      const message =
        `Client ${record.registration.clientId} can't be deregistered: AuthorizationServer "${record.server.name}" is gone or stands for ` +
        'another issuer.';
      if (overdue(view)) {
        return act(Condition.registered, 'AuthorizationServerMissing', message, { name: 'leaveBehind' });
      }
      return stuck(
        Condition.registered,
        'AuthorizationServerMissing',
        `${message} Create it again, or set deletionPolicy: Orphan to leave the registration behind. ${untilWhen(view)}`,
      );
    }
    return act(
      Condition.registered,
      'Deregistering',
      'The client is being deregistered at the authorization server.',
      { name: 'deregister' },
      // Once more when its time is over, however long ago the last attempt was.
      `${observed.server?.metadata.resourceVersion} ${overdue(view)}`,
    );
  },
};

const published: ClientCheck = {
  name: 'published',
  find({ observed }) {
    if (observed.published?.ownerUid !== observed.client.metadata.uid) return undefined;
    return act(Condition.certificate, 'WithdrawingSecret', 'The published Secret is being removed.', {
      name: 'withdrawSecret',
    });
  },
};

const claimed: ClientCheck = {
  name: 'claimed',
  find({ observed }) {
    if (observed.claim?.holderUid !== observed.client.metadata.uid || observed.claim.expires !== undefined)
      return undefined;
    return act(Condition.registered, 'ReleasingIdentity', 'The identity is being released.', { name: 'releaseClaim' });
  },
};

const named: ClientCheck = {
  name: 'named',
  find({ observed: { client, clientIdClaim } }) {
    if (clientIdClaim?.holderUid !== client.metadata.uid || clientIdClaim.expires !== undefined) return undefined;
    const step: ClientStep = { name: 'releaseClientId' };
    return act(Condition.registered, 'ReleasingClientId', 'The clientId is being released.', step);
  },
};

/** Status forgets a client that is gone before its record does: what it names without a record was left behind. */
const toldGone: ClientCheck = {
  name: 'toldGone',
  find({ observed: { record, client }, now }) {
    if (record?.state === undefined || record.state.registration !== undefined) return undefined;
    if (client.status?.clientId === undefined) return undefined;
    return waiting(Condition.registered, 'Deregistered', 'The client is not registered any more.', now);
  },
};

/** A registration that outlives its OAuthClient. */
export interface Orphan {
  clientId: string;
  cause: 'DeletionPolicy' | 'RecordLost' | 'Deadline' | 'DeletionUnsupported';
  /** For people. */
  why: string;
}

/** What is still registered at the server when nothing else of the client is left, and why. */
export function orphanOf(view: ClientView): Orphan | undefined {
  const { record, client } = view.observed;
  const clientId = client.status?.clientId;
  if (record !== undefined || clientId === undefined) return undefined;
  if (leftBehind(view)) return { clientId, cause: 'DeletionPolicy', why: 'deletionPolicy: Orphan' };
  const why = "the operator's own Secret, and the right to remove it with that, were gone: delete it there";
  return { clientId, cause: 'RecordLost', why };
}

const recorded: ClientCheck = {
  name: 'recorded',
  find({ observed }) {
    if (observed.record === undefined) return undefined;
    return act(Condition.certificate, 'DestroyingKeys', 'The keys are being destroyed.', { name: 'forgetRecord' });
  },
};

const finalized: ClientCheck = {
  name: 'finalized',
  find({ observed }) {
    if (!observed.client.metadata.finalizers.includes(FINALIZER)) return undefined;
    return act(Condition.ready, 'Deleting', 'Nothing of the client is left.', { name: 'removeFinalizer' });
  },
};

export const deletionChecks: readonly ClientCheck[] = [
  definitionTerminating,
  readable,
  answerStored,
  announcementRecorded,
  created,
  registered,
  published,
  claimed,
  named,
  toldGone,
  recorded,
  finalized,
];

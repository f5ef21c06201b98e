import { FINALIZER, ROLE_LABEL, Role } from '../../api/annotations.ts';
import { wholeSeconds } from '../../api/time.ts';
import type { Check } from '../../runtime/pass.ts';
import { contestOf, type Contest } from '../../runtime/contest.ts';
import { digestOf } from '../digest.ts';
import { outdatedBy, RECORD_OUTDATED, succeeding } from '../outdated.ts';
import { certificateIn, recordDamaged, type CertificateState } from '../record.ts';
import { contextValues, digests, sameValues, type SecretProjection } from '../published-secret.ts';
import { CLIENT_ID_TAKEN, claimState, clientIdTakenMessage } from '../../authserver/claims.ts';
import { announcementRecorded } from './registration.ts';
import {
  Condition,
  SECRET_REVERTED,
  act,
  stuck,
  waiting,
  type ClientFinding,
  type ClientStep,
  type ClientView,
} from '../step.ts';

type ClientCheck = Check<ClientView, ClientStep>;

const namespaceTerminating: ClientCheck = {
  name: 'namespaceTerminating',
  find({ observed: { namespace, client } }) {
    if (namespace?.terminating !== true) return undefined;
    return waiting(
      Condition.ready,
      'NamespaceTerminating',
      `Namespace "${client.metadata.namespace}" is being deleted; nothing is written there any more.`,
    );
  },
};

const readable: ClientCheck = {
  name: 'readable',
  find({ observed: { record } }) {
    if (record === undefined || record.state !== undefined) return undefined;
    return stuck(
      Condition.certificate,
      'RecordDamaged',
      recordDamaged(record.name, "the operator's namespace").message,
    );
  },
};

/** The same client under a new uid (a cluster rebuilt from Git, or a finalizer removed by hand) goes on with what it has. */
const owned: ClientCheck = {
  name: 'owned',
  find({ observed: { record, client, server }, desired }) {
    const state = record?.state;
    if (state === undefined || state.owner.uid === client.metadata.uid) return undefined;
    const same =
      state.method === desired.method &&
      state.server.issuer === server?.spec.issuer &&
      desired.identity.ok &&
      (desired.method !== 'tls_client_auth' || desired.identity.value === state.identity.value);
    if (same) {
      return act(
        Condition.certificate,
        'AdoptingRecord',
        'The keys and the registration of this name are taken over.',
        {
          name: 'adoptRecord',
        },
      );
    }
    return stuck(
      Condition.registered,
      'PredecessorRegistered',
      'An OAuthClient of this name was registered with another server, method or identity and never deregistered. ' +
        `Delete its registration at the server, then the Secret ${record?.name} in the operator's namespace.`,
    );
  },
};

const lookForSecretMs = 15_000;

/** A Secret without our mark is never written to, whatever it holds. */
const secretFree: ClientCheck = {
  name: 'secretFree',
  find({ observed: { published, secretRival, client }, desired: { secretName }, now }) {
    if (published?.ownerUid === client.metadata.uid) return undefined;
    if (published === undefined && secretRival === undefined) return undefined;
    // The Secret of a predecessor of the same name, which the garbage collector has yet to remove, is foreign too.
    const holder =
      secretRival === undefined ? 'exists and was not made for this client' : `belongs to OAuthClient "${secretRival}"`;
    return {
      ...stuck(
        Condition.certificate,
        'SecretNameTaken',
        `Secret "${secretName}" ${holder}; it is left as it is. Delete or rename it, or create an OAuthClient with another secret.name.`,
      ),
      // Without our label it is in no cache, so nobody tells when it is gone.
      at: now + lookForSecretMs,
    };
  },
};

/** What works is left alone. With a constant subject a successor needs nothing but itself; a registered key is another matter. */
const recordCurrent: ClientCheck = {
  name: 'recordCurrent',
  find(view) {
    const held = outdatedBy(view);
    if (held === undefined) return undefined;
    const { record } = view.observed;
    const { method, renewRequested, secretName } = view.desired;
    const says =
      `Secret "${secretName}" holds certificate ${held.x5tS256}, which the operator's own Secret ${record?.name} does not know: ` +
      'that was restored from an older copy. What is published is left as it is';
    if (method === 'tls_client_auth' || renewRequested !== undefined || succeeding(view, held)) {
      const message = `${says} until its successor is accepted.`;
      return { condition: Condition.certificate, status: 'Unknown', reason: RECORD_OUTDATED, message };
    }
    return stuck(
      Condition.certificate,
      RECORD_OUTDATED,
      `${says}. Restore a newer copy. Or set the annotation certbound.dev/renew-requested: a new key then takes the place of ` +
        'those that are registered, and what is published is refused from then on until its successor is published.',
    );
  },
};

/** Without the label the operator would not see it change. */
function intact(secret: SecretProjection): boolean {
  return secret.type === 'kubernetes.io/tls' && secret.labels[ROLE_LABEL] === Role.published;
}

/** Made once for each certificate, and again when what the server's clients are to trust changes. */
const keystored: ClientCheck = {
  name: 'keystored',
  find({ observed: { record }, desired: { keystores, context } }) {
    const state = record?.state;
    const certificate = certificateIn(state, 'Published');
    const says = context ?? state?.context;
    if (!keystores || certificate === undefined || says === undefined) return undefined;
    const trust = digestOf(says.serverCaPem ?? '');
    if (certificate.keystores?.trust === trust) return undefined;
    const message = 'The PKCS#12 keystores are being made.';
    return act(Condition.certificate, 'MakingKeystores', message, { name: 'makeKeystores', trust }, trust);
  },
};

function keystoreDigests(certificate: CertificateState, wanted: boolean): Record<string, string> {
  return wanted ? (certificate.keystores?.digests ?? {}) : {};
}

function revertedMessage(name: string, { times, nextAt }: Contest, writer: string | undefined, holds: boolean): string {
  const who = writer === undefined ? '' : `; the last other writer is field manager "${writer}"`;
  const then = holds
    ? 'It is as it must be for now.'
    : `It is written again at ${wholeSeconds(nextAt)}, then less and less often.`;
  return (
    `Secret "${name}" was changed or deleted ${times} times in ten minutes after it had been written${who}. ` +
    `Keep others from writing it, or create an OAuthClient with another secret.name. ${then}`
  );
}

/** SHA-256 (hex) of each value that the published Secret is to hold; undefined before there is anything to publish. */
function wantedDigests({ observed: { record }, desired: { context, keystores } }: ClientView) {
  const certificate = certificateIn(record?.state, 'Published');
  const says = context ?? record?.state?.context;
  if (certificate === undefined || says === undefined) return undefined;
  return { ...certificate.digests, ...keystoreDigests(certificate, keystores), ...digests(contextValues(says)) };
}

/** Whoever keeps undoing it is not answered at their own pace. */
function reverted({ observed, desired, now }: ClientView, content: string, holds: boolean): ClientFinding | undefined {
  const contest = contestOf(observed.rewritten, content, now);
  const at = holds ? contest?.keptAt : contest?.nextAt;
  if (contest === undefined || at === undefined || now >= at) return undefined;
  const message = revertedMessage(desired.secretName, contest, observed.published?.lastWriter, holds);
  return { condition: Condition.certificate, status: 'False', reason: SECRET_REVERTED, message, at };
}

/** The published Secret is what the record says, whatever state the server is in. */
const published: ClientCheck = {
  name: 'published',
  find(view) {
    const wanted = wantedDigests(view);
    if (wanted === undefined || outdatedBy(view) !== undefined) return undefined;
    const { record, published: secret, server } = view.observed;
    const content = digestOf(wanted);
    const holds = secret !== undefined && intact(secret) && sameValues(wanted, secret.digests);
    const contested = reverted(view, content, holds);
    if (contested !== undefined || holds) return contested;
    return act(
      Condition.certificate,
      secret === undefined ? 'Publishing' : 'Republishing',
      `Secret "${view.desired.secretName}" is being written.`,
      { name: 'publish', content },
      `${certificateIn(record?.state, 'Published')?.x5tS256} ${secret?.resourceVersion ?? ''} ${server?.metadata.resourceVersion ?? ''}`,
    );
  },
};

const expired: ClientCheck = {
  name: 'expired',
  find(view) {
    const certificate = certificateIn(view.observed.record?.state, 'Published');
    if (certificate === undefined || Date.parse(certificate.notAfter) > view.now) return undefined;
    if (outdatedBy(view) !== undefined) return undefined;
    return {
      condition: Condition.certificate,
      status: 'False',
      reason: 'Expired',
      message: `The published certificate ended at ${certificate.notAfter} and could not be replaced; the other conditions say why.`,
    };
  },
};

const finalizer: ClientCheck = {
  name: 'finalizer',
  find({ observed: { client } }) {
    if (client.metadata.finalizers.includes(FINALIZER)) return undefined;
    return act(Condition.ready, 'Preparing', 'The client is being taken on.', { name: 'addFinalizer' });
  },
};

/** Without its record a registered client can't be managed; a second registration would leave the first behind. */
const notLost: ClientCheck = {
  name: 'notLost',
  find({ observed: { record, client, server }, desired: { renewRequested } }) {
    const clientId = client.status?.clientId;
    if (record !== undefined || clientId === undefined) return undefined;
    if (server?.spec.clients?.recovery === 'Recreate' || renewRequested !== undefined) return undefined;
    return stuck(
      Condition.registered,
      'RecordLost',
      `The operator's own Secret of this client is gone, with its keys and the right to manage client "${clientId}". ` +
        'Restore it from a backup. Or delete that client at the server and set the annotation certbound.dev/renew-requested to register anew.',
    );
  },
};

/**
 * Nothing is known of the client, and nobody ever held its identity: the claim can announce the registration (ADR 16). The
 * key is named nowhere in it, so it is stored together with the answer.
 */
function registeredWithClaim({ observed }: ClientView): boolean {
  const { record, claim, client, announced } = observed;
  if (record !== undefined || client.status?.clientId !== undefined) return false;
  return claim === undefined || (claim.name === announced?.name && announced.intent === observed.unsentIntent);
}

const identityHeld: ClientCheck = {
  name: 'identityHeld',
  find(view) {
    const { observed, desired, now } = view;
    const { claim, client, server, issuer, credentials } = observed;
    const { method, identity, renewRequested } = desired;
    if (method !== 'tls_client_auth' || !identity.ok) return undefined;
    if (registeredWithClaim(view)) {
      const versions = [server, issuer].map((object) => object?.metadata.resourceVersion ?? '');
      const basis = `${client.metadata.generation} ${versions.join(' ')} ${credentials} ${renewRequested ?? ''}`;
      const message = 'The client is being registered at the authorization server.';
      return act(Condition.registered, 'Registering', message, { name: 'claimAndRegister' }, basis);
    }
    const claimed = claimState(claim, client.metadata, now);
    if (claimed.state === 'held') return undefined;
    if (claimed.state === 'taken') {
      const finding = stuck(
        Condition.registered,
        'IdentityTaken',
        `The identity ${identity.value} is in use at this server, by another client or by a certificate that is still valid. ` +
          'Create an OAuthClient with another certificate.subject, or wait until the other one is gone.',
      );
      return claimed.until === undefined ? finding : { ...finding, at: claimed.until };
    }
    return act(
      Condition.registered,
      'ClaimingIdentity',
      'The identity is being claimed.',
      { name: 'claimIdentity' },
      digestOf(claim ?? ''),
    );
  },
};

const clientIdHeld: ClientCheck = {
  name: 'clientIdHeld',
  find({ observed: { clientIdClaim, client }, now }) {
    const { clientId } = client.spec;
    if (clientId === undefined) return undefined;
    const claimed = claimState(clientIdClaim, client.metadata, now);
    if (claimed.state === 'held') return undefined;
    if (claimed.state === 'taken') return stuck(Condition.registered, CLIENT_ID_TAKEN, clientIdTakenMessage);
    const message = 'The clientId is being claimed.';
    const step: ClientStep = { name: 'claimClientId' };
    return act(Condition.registered, 'ClaimingClientId', message, step, digestOf(clientIdClaim ?? ''));
  },
};

/** Before anything about the server is looked at: what is published stays published. */
export const keepingChecks: readonly ClientCheck[] = [
  namespaceTerminating,
  readable,
  owned,
  secretFree,
  recordCurrent,
  keystored,
  published,
  expired,
];

/** After the grants, before the first write. The identity comes last, for the call may follow it in the same step. */
export const beginningChecks: readonly ClientCheck[] = [
  notLost,
  finalizer,
  announcementRecorded,
  clientIdHeld,
  identityHeld,
];

import { durationString } from '../../api/duration.ts';
import type { Check } from '../../runtime/pass.ts';
import { outdatedBy, RECORD_OUTDATED } from '../outdated.ts';
import { certificateIn, claimedStill, type CertificateState } from '../record.ts';
import { renewalOf, retirementOf } from '../schedule.ts';
import { Condition, act, stuck, waiting, type ClientFinding, type ClientStep, type ClientView } from '../step.ts';

type ClientCheck = Check<ClientView, ClientStep>;

const mostLiveCertificates = 3;
const COMPROMISED = 'Compromised';

interface Cause {
  reason: string;
  message: string;
}

/** Why a new certificate is needed now, or nothing. */
function causeOfIssuance(view: ClientView): Cause | undefined {
  const { observed, desired, now } = view;
  const { record } = observed;
  const state = record?.state;
  if (certificateIn(state, 'Next') !== undefined) return undefined;
  const current = certificateIn(state, 'Published');
  if (current === undefined) return { reason: 'Issuing', message: 'The first certificate is being issued.' };
  if (current.compromised === true || desired.compromised.includes(current.x5tS256)) {
    return reportedCompromise(current);
  }
  if (outdatedBy(view) !== undefined) {
    const message = 'The published certificate is not in the record, and is being replaced.';
    return { reason: RECORD_OUTDATED, message };
  }
  if (renewalOf(current, desired) <= now) {
    return { reason: 'RenewalDue', message: `The certificate ends at ${current.notAfter} and is being renewed.` };
  }
  if (desired.renewRequested !== undefined) {
    return { reason: 'RenewRequested', message: 'A renewal was asked for by annotation.' };
  }
  return changedRequest(current, desired);
}

const reportedCompromise = ({ x5tS256 }: CertificateState): Cause => ({
  reason: COMPROMISED,
  message: `Certificate ${x5tS256} was reported compromised and is being replaced.`,
});

function changedRequest(current: CertificateState, desired: ClientView['desired']): Cause | undefined {
  const { durationMs, algorithm, size } = desired.certificate;
  if (current.issuer !== desired.issuerName) {
    return { reason: 'IssuerChanged', message: `The issuer changes from ${current.issuer} to ${desired.issuerName}.` };
  }
  if (current.requested.algorithm !== algorithm || current.requested.size !== size) {
    return { reason: 'PrivateKeyChanged', message: `The key becomes ${algorithm} with ${size} bits.` };
  }
  if (current.requested.durationMs !== durationMs) {
    return { reason: 'DurationChanged', message: `The duration becomes ${durationString(durationMs)}.` };
  }
  return undefined;
}

/** Only the reason: the issuer's own message names what only the platform may know of. */
function issuerProblem({ observed: { issuer }, desired: { issuerName } }: ClientView): Cause | undefined {
  const ready = issuer?.status?.conditions?.find((c) => c.type === 'Ready');
  if (ready?.status === 'True') return undefined;
  const [reason, why] =
    ready?.status === 'False'
      ? [ready.reason, `can't sign (${ready.reason}); the platform team sees in its status what to do`]
      : ['IssuerNotReady', 'is not ready yet'];
  return {
    reason,
    message: `ClientCertificateIssuer "${issuerName}" ${why}. This client goes on by itself once it can sign.`,
  };
}

/** A client that can get no certificate takes nothing, not even its identity. */
const issuerReady: ClientCheck = {
  name: 'issuerReady',
  find(view): ClientFinding | undefined {
    const problem = view.observed.record === undefined ? issuerProblem(view) : undefined;
    return problem === undefined ? undefined : stuck(Condition.certificate, problem.reason, problem.message);
  },
};

/** What was begun is no longer what is asked for, and nobody uses it yet: it makes way, if another can be had. */
const superseded: ClientCheck = {
  name: 'superseded',
  find(view) {
    const next = certificateIn(view.observed.record?.state, 'Next');
    if (next === undefined || issuerProblem(view) !== undefined) return undefined;
    const cause = next.compromised === true ? reportedCompromise(next) : changedRequest(next, view.desired);
    if (cause === undefined) return undefined;
    const step: ClientStep = { name: 'retire', x5tS256: next.x5tS256 };
    const message = `${cause.message} The certificate that was begun before is not used.`;
    return act(Condition.certificate, cause.reason, message, step, next.x5tS256);
  },
};

/**
 * Others that live long may still drain when the published one ends (a duration that was shortened), and P1 comes before their
 * number: a renewal that is due waits for half of what is left.
 */
function latestBeginning(published: CertificateState, desired: ClientView['desired']): number {
  return (renewalOf(published, desired) + Date.parse(published.notAfter)) / 2;
}

const certificateNeeded: ClientCheck = {
  name: 'certificateNeeded',
  find(view): ClientFinding | undefined {
    const cause = causeOfIssuance(view);
    if (cause === undefined) return undefined;
    const { observed, desired, now } = view;
    const problem = issuerProblem(view);
    if (problem !== undefined) {
      // A renewal that can't be made yet takes nothing away from the certificate that is published.
      const first = certificateIn(observed.record?.state, 'Published') === undefined;
      return {
        ...waiting(Condition.certificate, problem.reason, problem.message),
        blocks: first,
        status: first ? 'False' : 'Unknown',
      };
    }
    const live = (observed.record?.state?.certificates ?? []).filter((c) => Date.parse(c.notAfter) > now);
    const published = certificateIn(observed.record?.state, 'Published');
    const latest = published === undefined ? now : latestBeginning(published, desired);
    // Nothing else goes unbounded: whoever may write the published Secret can make a record look outdated again and again.
    const most = cause.reason === COMPROMISED ? Infinity : mostLiveCertificates + (now < latest ? 0 : 1);
    if (live.length >= most) {
      const gone = Math.min(...live.map((c) => retirementOf(c, desired)));
      const at = now < latest ? Math.min(latest, gone) : gone;
      return {
        ...waiting(
          Condition.certificate,
          'RotationWaits',
          `${cause.message} It waits until ${new Date(at).toISOString()}: ${live.length} certificates are still valid and trusted. ` +
            'A shorter certificate.drain lets rotations follow each other faster.',
          // One that should be gone by now waits for the registration, which tells itself when to look again.
          at > now ? at : undefined,
        ),
        blocks: false,
      };
    }
    const basis = `${observed.client.metadata.generation} ${observed.issuer?.metadata.resourceVersion ?? ''}`;
    const step: ClientStep = { name: 'stageCertificate', reason: cause.reason };
    return {
      ...act(Condition.certificate, cause.reason, cause.message, step, basis),
      deferrable: published !== undefined,
    };
  },
};

/**
 * Each stays claimed until its certificates end. Whoever may annotate a client can ask for one after the other: beyond this
 * many it stays as it is, as one that is a subject alternative name, and status says until when the server accepts the key.
 */
const mostFormerIdentities = 16;

/** Where the server knows the client by a DN, another DN is the revocation; not before a certificate for it can be had. */
const identityRenewed: ClientCheck = {
  name: 'identityRenewed',
  find(view) {
    const { observed, desired } = view;
    const { record } = observed;
    if (desired.method !== 'tls_client_auth' || !desired.identity.ok || !('dn' in desired.identity.subject))
      return undefined;
    const state = record?.state;
    const reported = state?.certificates.find((c) => c.compromised !== true && desired.compromised.includes(c.x5tS256));
    if (state === undefined || reported === undefined || issuerProblem(view) !== undefined) return undefined;
    if (claimedStill(state, view.now).length >= mostFormerIdentities) return undefined;
    const { message } = reportedCompromise(reported);
    return act(Condition.certificate, COMPROMISED, message, { name: 'renewIdentity' }, reported.x5tS256);
  },
};

/** With a successor there the server is told to refuse it, before anything else is done for the successor. */
const compromiseRecorded: ClientCheck = {
  name: 'compromiseRecorded',
  find({ observed: { record }, desired: { compromised } }) {
    const certificates = record?.state?.certificates ?? [];
    const succeeded = certificateIn(record?.state, 'Next') !== undefined;
    const reported = certificates.find(
      (c) => c.compromised !== true && compromised.includes(c.x5tS256) && (c.role !== 'Published' || succeeded),
    );
    if (reported === undefined) return undefined;
    const { x5tS256 } = reported;
    const message = `Certificate ${x5tS256} was reported compromised; the server is told to refuse it.`;
    return act(Condition.certificate, COMPROMISED, message, { name: 'recordCompromise', x5tS256 }, x5tS256);
  },
};

/** What the server may have read of the key set before the next key was in it ends first: on every one of its replicas. */
const keySetRead: ClientCheck = {
  name: 'keySetRead',
  find({ observed: { record }, desired: { keySetUri, propagationMs }, now }) {
    const next = certificateIn(record?.state, 'Next');
    if (next === undefined || keySetUri === undefined) return undefined;
    // Nothing was read of a client that has had no other key.
    if (record?.state?.certificates.length === 1) return undefined;
    const at = Date.parse(next.stagedAt) + propagationMs;
    if (now >= at) return undefined;
    const message = `The authorization server may know the keys of before until ${new Date(at).toISOString()}.`;
    return waiting(Condition.registered, 'KeySetPropagating', message, at);
  },
};

/** Everything in front of the server trusts what the next certificate needs, before anything is tried with it. */
const distributed: ClientCheck = {
  name: 'distributed',
  find({ observed: { record, distribution }, desired: { propagationMs }, now }) {
    const next = certificateIn(record?.state, 'Next');
    if (next === undefined) return undefined;
    const current = certificateIn(record?.state, 'Published');
    const patience = current === undefined ? undefined : thirdLeft(current, next);
    if (distribution.state === 'distributed') {
      const until = Math.min((distribution.since ?? -Infinity) + propagationMs, patience ?? -Infinity);
      return propagating(distribution.since, until, now) ?? beingProved(distribution.proving, patience, now);
    }
    // What can't be reached blocks only until a third of the remaining life (protocols, §1 "Distributed").
    const overdue = patience !== undefined && now >= patience;
    return {
      condition: Condition.terminators,
      status: distribution.state === 'blocked' ? 'False' : 'Unknown',
      reason: distribution.reason,
      message: distribution.message,
      blocks: !overdue,
      ...(patience === undefined || overdue ? {} : { at: patience }),
    };
  },
};

/**
 * Terminators that share an address answer for each other: that three calls got through says nothing of the one that has not
 * loaded the bundle yet, and what is published works on all of them. So a proof counts from when a change has reached them.
 */
function propagating(since: number | undefined, at: number, now: number): ClientFinding | undefined {
  // A clock that was set back is no reason to wait for longer.
  if (since === undefined || now < since || now >= at) return undefined;
  const message = `The terminators were changed at ${new Date(since).toISOString()}, and may not all have loaded it before ${new Date(at).toISOString()} (spec.propagation).`;
  return waiting(Condition.terminators, 'Propagating', message, at);
}

/** Whatever they do comes out in seconds; a new certificate is not to be published in the meantime. */
function beingProved(
  terminators: readonly string[] | undefined,
  patience: number | undefined,
  now: number,
): ClientFinding | undefined {
  if (terminators === undefined || (patience !== undefined && now >= patience)) return undefined;
  const message = `Live connections are to show first what these do: ${terminators.join(', ')}.`;
  return waiting(Condition.terminators, 'TerminatorsBeingProved', message, now + 5_000);
}

/** When a third is left of the life that the published certificate had as its successor was begun. */
function thirdLeft(current: CertificateState, next: CertificateState): number {
  const end = Date.parse(current.notAfter);
  return end - (end - Date.parse(next.stagedAt)) / 3;
}

const proved: ClientCheck = {
  name: 'proved',
  find({ observed: { record, server, client, distribution } }) {
    const next = certificateIn(record?.state, 'Next');
    if (next === undefined) return undefined;
    // What was refused before a terminator was put right says nothing.
    const since = distribution.state === 'distributed' ? (distribution.since ?? '') : '';
    const registeredAt = record?.state?.registration?.updatedAt ?? '';
    return act(
      Condition.proved,
      'Proving',
      'The next certificate is being proved at the token endpoint.',
      { name: 'prove', x5tS256: next.x5tS256 },
      `${next.x5tS256} ${client.metadata.generation} ${server?.metadata.resourceVersion ?? ''} ${since} ${registeredAt}`,
    );
  },
};

export const issuerChecks: readonly ClientCheck[] = [issuerReady];
export const issuanceChecks: readonly ClientCheck[] = [
  identityRenewed,
  superseded,
  certificateNeeded,
  compromiseRecorded,
];
export const provingChecks: readonly ClientCheck[] = [keySetRead, distributed, proved];

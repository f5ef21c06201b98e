import { durationString } from '../../api/duration.ts';
import type { Check } from '../../runtime/pass.ts';
import { outdatedBy, RECORD_OUTDATED } from '../outdated.ts';
import { certificateIn, type CertificateState } from '../record.ts';
import { renewalOf, retirementOf } from '../schedule.ts';
import { Condition, act, stuck, waiting, type ClientFinding, type ClientStep, type ClientView } from '../step.ts';

type ClientCheck = Check<ClientView, ClientStep>;

const mostLiveCertificates = 3;
/** With those that a due renewal may not wait for. */
const mostLiveWhenDue = 5;

const RENEWAL_DUE = 'RenewalDue';

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
  if (outdatedBy(view) !== undefined) {
    const message = 'The published certificate is not in the record, and is being replaced.';
    return { reason: RECORD_OUTDATED, message };
  }
  if (renewalOf(current, desired) <= now) {
    return { reason: RENEWAL_DUE, message: `The certificate ends at ${current.notAfter} and is being renewed.` };
  }
  if (desired.renewRequested !== undefined) {
    return { reason: 'RenewRequested', message: 'A renewal was asked for by annotation.' };
  }
  return changedRequest(current, desired);
}

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
    const cause = changedRequest(next, view.desired);
    if (cause === undefined) return undefined;
    const step: ClientStep = { name: 'retire', x5tS256: next.x5tS256 };
    const message = `${cause.message} The certificate that was begun before is not used.`;
    return act(Condition.certificate, cause.reason, message, step, next.x5tS256);
  },
};

/**
 * Others that live long may still drain when the published one ends (a duration that was shortened): P1 comes before their number.
 * A renewal that is due waits for half of what is left, and what was merely asked for waits for as long as it takes.
 */
function latestBeginning({ observed: { record }, desired }: ClientView, { reason }: Cause): number {
  const current = certificateIn(record?.state, 'Published');
  if (reason === RECORD_OUTDATED) return -Infinity;
  if (reason !== RENEWAL_DUE || current === undefined) return Infinity;
  return (renewalOf(current, desired) + Date.parse(current.notAfter)) / 2;
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
    const at = Math.min(...live.map((c) => retirementOf(c, desired)));
    const most = at > latestBeginning(view, cause) ? mostLiveWhenDue : mostLiveCertificates;
    if (live.length >= most) {
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
    const renewal = certificateIn(observed.record?.state, 'Published') !== undefined;
    return { ...act(Condition.certificate, cause.reason, cause.message, step, basis), deferrable: renewal };
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
      return propagating(distribution.since, until, now);
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
    return act(
      Condition.proved,
      'Proving',
      'The next certificate is being proved at the token endpoint.',
      { name: 'prove', x5tS256: next.x5tS256 },
      `${next.x5tS256} ${client.metadata.generation} ${server?.metadata.resourceVersion ?? ''} ${since}`,
    );
  },
};

export const issuerChecks: readonly ClientCheck[] = [issuerReady];
export const issuanceChecks: readonly ClientCheck[] = [superseded, certificateNeeded];
export const provingChecks: readonly ClientCheck[] = [distributed, proved];

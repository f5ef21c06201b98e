import { wholeSeconds } from '../api/time.ts';
import { mergeConditions, type Verdict } from '../api/conditions.ts';
import { capabilitiesOf } from '../authserver/capabilities.ts';
import type { OAuthClientStatus, RotationPhase } from '../api/oauth-client.ts';
import { REFUSED_AGAIN_MS } from '../errors.ts';
import { isShownLive } from '../terminator/proof/verdict.ts';
import { isUnpinned, longestRenewRequest } from './desired.ts';
import { leftBehindMessage } from './left-behind.ts';
import { refusalOf } from './observed.ts';
import { RECORD_OUTDATED } from './outdated.ts';
import { contextValues, digests } from './published-secret.ts';
import { certificateHeld, certificateIn, type CertificateState, type RecordState } from './record.ts';
import { renewalOf, retirementOf, type Schedule } from './schedule.ts';
import {
  Condition,
  REGISTRATION_REVERTED,
  SECRET_REVERTED,
  UPDATE_UNSUPPORTED,
  type ClientFinding,
  type ClientView,
} from './step.ts';

/** The status that a pass leaves behind; equal input gives an equal status, so that nothing is written at rest. */
export function statusOf(view: ClientView, findings: readonly ClientFinding[]): OAuthClientStatus {
  const { client, record } = view.observed;
  const { desired, now } = view;
  const state = record?.state;
  const certificates = (state?.certificates ?? [])
    .toSorted(byImportance)
    .slice(0, mostShown)
    .map((c) => certificateStatus(c, desired));
  const rotation = state === undefined ? undefined : rotationOf(view, state, findings);
  // What a server or its template would have it be tells whether the server exists; what was stored is the client's own.
  const withheld = state === undefined && findings.some((f) => f.reason === 'AuthorizationServerNotGranted');
  const issuer = withheld ? client.spec.certificate?.issuerRef?.name : desired.issuerName;
  return {
    observedGeneration: client.metadata.generation,
    ...rememberedOf(view),
    secretName: desired.secretName,
    tokenEndpointAuthMethod: desired.method,
    ...(desired.identity.ok && !withheld
      ? { subject: `${desired.identity.parameter}=${desired.identity.value}`.slice(0, 1024) }
      : {}),
    ...(issuer === undefined ? {} : { issuer }),
    ...(certificates.length === 0 ? {} : { certificates }),
    ...(rotation === undefined ? {} : { rotation }),
    conditions: mergeConditions(
      client.status?.conditions ?? [],
      verdicts(view, findings),
      client.metadata.generation,
      now,
    ),
  };
}

/** Without the record, status is all that remembers what was registered. */
function rememberedOf({
  observed: { client, record },
}: ClientView): Pick<OAuthClientStatus, 'clientId' | 'lastHandledRenew'> {
  const state = record?.state;
  const remembered = state === undefined ? client.status : undefined;
  const clientId = state?.registration?.clientId ?? remembered?.clientId;
  const handled = state?.lastHandledRenew?.slice(0, longestRenewRequest) ?? remembered?.lastHandledRenew;
  return {
    ...(clientId === undefined ? {} : { clientId }),
    ...(handled === undefined ? {} : { lastHandledRenew: handled }),
  };
}

/** The schema's limit; while the server can't be reached, drained certificates stay until it no longer names them. */
const mostShown = 4;
const importance = { Published: 0, Next: 1, Draining: 2 } as const;

function byImportance(a: CertificateState, b: CertificateState): number {
  return importance[a.role] - importance[b.role] || b.stagedAt.localeCompare(a.stagedAt);
}

function certificateStatus(
  c: CertificateState,
  schedule: Schedule,
): NonNullable<OAuthClientStatus['certificates']>[number] {
  return {
    x5tS256: c.x5tS256,
    role: c.role,
    serialNumber: c.serialNumber,
    subject: c.subject.slice(0, 1024),
    notBefore: c.notBefore,
    notAfter: c.notAfter,
    ...(c.role === 'Draining'
      ? { retireAt: wholeSeconds(retirementOf(c, schedule)) }
      : { renewalTime: wholeSeconds(renewalOf(c, schedule)) }),
  };
}

/** protocols §1: how far the newest certificate is, derived from what is stored. */
function rotationOf(
  view: ClientView,
  state: RecordState,
  findings: readonly ClientFinding[],
): OAuthClientStatus['rotation'] {
  const next = certificateIn(state, 'Next');
  const newest = next ?? certificateIn(state, 'Published');
  if (newest === undefined) return undefined;
  const phase = phaseOf(state, next, findings);
  const before = view.observed.client.status?.rotation;
  const same = before?.phase === phase && before.reason === newest.reason;
  return {
    phase,
    reason: newest.reason,
    since: same ? before.since : wholeSeconds(view.now),
  };
}

function phaseOf(
  state: RecordState,
  next: CertificateState | undefined,
  findings: readonly ClientFinding[],
): RotationPhase {
  if (next === undefined) {
    if (findings.some((f) => f.step?.name === 'publish')) return 'Proved';
    return state.certificates.some((c) => c.role === 'Draining') ? 'Draining' : 'Settled';
  }
  const registering = findings.some((f) => f.condition === Condition.registered);
  if (state.registration === undefined || registering) return 'Staged';
  return findings.some((f) => f.condition === Condition.terminators && f.blocks === true)
    ? 'Registered'
    : 'Distributed';
}

function verdicts(view: ClientView, findings: readonly ClientFinding[]): Verdict[] {
  const parts = [certificateVerdict, registeredVerdict, provedVerdict, terminatorsVerdict].map((verdict) =>
    reported(verdict(view), findings, view.observed.client.metadata.deletionTimestamp !== undefined),
  );
  const [ready, ...abnormal] = readyVerdicts(view, findings);
  return [ready, ...parts, refreshVerdict(view), unpinnedVerdict(view), ...abnormal].filter((v) => v !== undefined);
}

/** There only while it is true; before there is a record it would tell that the server exists. */
function refreshVerdict({ observed: { server, record }, desired }: ClientView): Verdict | undefined {
  if (server === undefined || record?.state === undefined || !desired.grantTypes.includes('refresh_token'))
    return undefined;
  if (capabilitiesOf(server)?.bindsRefreshTokens !== true) return undefined;
  return {
    type: Condition.refreshTokens,
    status: 'True',
    reason: 'BoundToCertificate',
    message:
      'The authorization server binds refresh tokens to the certificate that they were issued for: after a rotation users log in ' +
      'again. Use a long certificate.duration, and have the application begin a new authorization when a refresh is refused.',
  };
}

/** Keycloak 26.7 lets such clients in and warns in its log; 27 is to refuse them (keycloak/keycloak#50939). */
function unpinnedVerdict({ observed: { server, record } }: ClientView): Verdict | undefined {
  if (server?.spec.keycloak === undefined || !isUnpinned(record?.state)) return undefined;
  return {
    type: Condition.caUnpinned,
    status: 'True',
    reason: 'CertificateAuthorityChanged',
    message:
      "Keycloak does not compare the CA of this client's certificate (x509.casubjectdn): certificates of CAs with different names are or were in " +
      'use. It works, but whoever gets a certificate with its subject from another CA in Keycloak’s truststores is let in as well, and Keycloak 27 is ' +
      'to refuse clients without it. When its certificates come from one CA again, restart Keycloak with that CA in its truststores; then the platform team writes ' +
      'spec.keycloak.caSubject: Always into the AuthorizationServer.',
  };
}

/** What a finding says of a condition comes before what is true otherwise. */
function reported(otherwise: Verdict, findings: readonly ClientFinding[], deleting: boolean): Verdict {
  const about = findings.filter((f) => f.condition === otherwise.type);
  const finding = about.find(isStuck) ?? about[0];
  if (finding === undefined) return otherwise;
  // A step that is under way or fails for now takes nothing away from what holds already; of a deletion it is all there is to say.
  if (!deleting && otherwise.status === 'True' && finding.status === 'Unknown' && !isStuck(finding)) return otherwise;
  // With the token lost nobody can tell what is registered; the client itself may be as it was.
  const untold = finding.error?.code === 'RegistrationAccessTokenLost';
  return {
    type: otherwise.type,
    status: isStuck(finding) && !untold ? 'False' : finding.status,
    reason: finding.reason,
    message: finding.message,
  };
}

const pending = (type: string, message: string): Verdict => ({ type, status: 'Unknown', reason: 'Pending', message });

function certificateVerdict({ observed: { record }, desired }: ClientView): Verdict {
  const type = Condition.certificate;
  const published = certificateIn(record?.state, 'Published');
  const newest = published ?? certificateIn(record?.state, 'Next');
  if (newest === undefined) return pending(type, 'No certificate was issued yet.');
  const message =
    `Certificate ${newest.x5tS256} is valid until ${newest.notAfter}` +
    (published === undefined ? '.' : ` and is renewed from ${wholeSeconds(renewalOf(published, desired))}.`);
  return { type, status: 'True', reason: 'Issued', message };
}

function registeredVerdict({ observed: { record }, now }: ClientView): Verdict {
  const type = Condition.registered;
  const registration = record?.state?.registration;
  if (registration === undefined) return pending(type, 'The client is not registered yet.');
  const until = record?.state?.compromisedUntil;
  const exposed =
    until === undefined || Date.parse(until) <= now
      ? ''
      : ` Whoever has the key that was reported compromised is accepted until ${until}: the server knows this client by its ` +
        'subject. To end that now, switch to a second OAuthClient with another subject and delete this one.';
  const left = record?.state === undefined ? undefined : leftBehindMessage(record.state);
  return {
    type,
    status: 'True',
    reason: 'Registered',
    message: `Registered as client ${registration.clientId}.${exposed}${left === undefined ? '' : ` ${left}`}`,
  };
}

function provedVerdict({ observed: { record, reproof } }: ClientView): Verdict {
  const type = Condition.proved;
  const published = certificateIn(record?.state, 'Published');
  if (published === undefined) return pending(type, 'No certificate was proved at the token endpoint yet.');
  const refusal = refusalOf(reproof);
  if (refusal !== undefined) return { type, status: 'False', ...refusal };
  return {
    type,
    status: 'True',
    reason: 'Proved',
    message: 'The token endpoint accepted the published certificate before it was published.',
  };
}

function terminatorsVerdict({ observed: { distribution, record, client } }: ClientView): Verdict {
  const type = Condition.terminators;
  if (record?.state === undefined) return pending(type, 'Nothing is to be distributed yet.');
  if (distribution.state !== 'distributed') {
    const status = distribution.state === 'blocked' ? 'False' : 'Unknown';
    return { type, status, reason: distribution.reason, message: distribution.message };
  }
  // Since a restart nothing else was seen: it is what it was, until it is seen to be otherwise.
  const before = client.status?.conditions?.find((condition) => condition.type === type);
  if (distribution.proving !== undefined && before?.status === 'False' && isShownLive(before.reason)) {
    return { type, status: before.status, reason: before.reason, message: before.message };
  }
  const lagging =
    distribution.lagging.length === 0
      ? ''
      : ` These Ingresses of resource servers do not yet: ${distribution.lagging.join(', ')}.`;
  return {
    type,
    status: 'True',
    reason: 'Distributed',
    message: `Every terminator in front of the server trusts the certificate.${lagging}`,
  };
}

/** Nothing but somebody's action helps, or the next try is far away. */
function isStuck(finding: ClientFinding): boolean {
  const retry = finding.error?.retry;
  if (retry === undefined) return finding.status === 'False';
  // However long the server asks for patience, nobody has to act.
  if (finding.error?.code === 'ServerUnavailable') return false;
  return retry.class === 'terminal' || (retry.class === 'after' && retry.milliseconds >= REFUSED_AGAIN_MS);
}

/** P9: a transient fault does not flip Ready; kstatus's Reconciling and Stalled are there only while they are true. */
function readyVerdicts(view: ClientView, findings: readonly ClientFinding[]): Verdict[] {
  const working = workingCertificate(view, findings);
  const works = working !== undefined;
  // A terminator that holds up a rotation takes nothing from the certificate that is published.
  // Nor does somebody who rewrites the Secret or the registration, as long as what is published works; nor a registration that
  // stays as it was.
  const harmless = (f: ClientFinding) => works && (f.condition === Condition.terminators || keepsWorking.has(f.reason));
  const stuckFinding = findings.find((f) => isStuck(f) && !harmless(f));
  if (stuckFinding !== undefined && !(works && stuckFinding.error?.retry.class === 'after')) {
    return notReady(stuckFinding);
  }
  const refusal = works ? refusalOf(view.observed.reproof) : undefined;
  if (refusal !== undefined) return notReady(refusal);
  // What was registered goes on working, but not as the spec has it now: only somebody's action changes that.
  const forSomebody = works ? findings.find((f) => keepsWorking.has(f.reason) || isRefusedChange(f)) : undefined;
  if (working !== undefined && forSomebody !== undefined) return [readyNow(view, working), stalled(forSomebody)];
  const busy = findings.find((f) => f.step !== undefined || f.blocks === true) ?? findings[0];
  const progress: Verdict[] =
    busy === undefined
      ? []
      : [{ type: Condition.reconciling, status: 'True', reason: busy.reason, message: busy.message }];
  if (works) return [readyNow(view, working), ...progress];
  return [
    {
      type: Condition.ready,
      status: 'Unknown',
      reason: busy?.reason ?? 'Pending',
      message: busy?.message ?? 'Waiting for the first certificate.',
    },
    ...progress,
  ];
}

const keepsWorking = new Set([SECRET_REVERTED, REGISTRATION_REVERTED, UPDATE_UNSUPPORTED]);

function isRefusedChange(finding: ClientFinding): boolean {
  return finding.condition === Condition.registered && finding.error !== undefined && isStuck(finding);
}

type Cause = Pick<Verdict, 'reason' | 'message'>;

const notReady = (cause: Cause): Verdict[] => [
  { type: Condition.ready, status: 'False', reason: cause.reason, message: cause.message },
  stalled(cause),
];

const stalled = ({ reason, message }: Cause): Verdict => ({
  type: Condition.stalled,
  status: 'True',
  reason,
  message,
});

/** What applications have, as long as the server accepts it. */
function workingCertificate(view: ClientView, findings: readonly ClientFinding[]): CertificateState | undefined {
  const { observed, now } = view;
  const { record, client } = observed;
  if (client.metadata.deletionTimestamp !== undefined) return undefined;
  if (findings.some((f) => f.reason === 'NamespaceTerminating' || f.reason === RECORD_OUTDATED)) return undefined;
  const unwritten = findings.some(
    (f) => f.step?.name === 'publish' || f.step?.name === 'makeKeystores' || f.reason === SECRET_REVERTED,
  );
  const certificate = unwritten ? heldMeanwhile(view) : certificateIn(record?.state, 'Published');
  if (certificate === undefined || certificate.compromised === true) return undefined;
  return Date.parse(certificate.notAfter) > now ? certificate : undefined;
}

/**
 * While the Secret can't be written, what it holds goes on working: a certificate drains from publication on. A promise is
 * kept by it, never made: what it replaces may have been refused.
 */
function heldMeanwhile({ observed, desired }: ClientView): CertificateState | undefined {
  const { record, published: secret, client } = observed;
  const says = desired.context ?? record?.state?.context;
  const wasReady = client.status?.conditions?.some((c) => c.type === Condition.ready && c.status === 'True');
  if (record?.state === undefined || says === undefined || secret?.ownerUid !== client.metadata.uid) return undefined;
  const current = Object.entries(digests(contextValues(says))).every(([key, digest]) => secret.digests[key] === digest);
  return wasReady === true && current ? certificateHeld(record.state, secret.digests) : undefined;
}

function readyNow({ desired }: ClientView, working: CertificateState): Verdict {
  return {
    type: Condition.ready,
    status: 'True',
    reason: 'Ready',
    message: `Secret "${desired.secretName}" holds a certificate that the authorization server accepts until ${working.notAfter}.`,
  };
}

/** What is written to the status of an issuer. Pure. */
import { wholeSeconds } from '../api/time.ts';
import type { ClientCertificateIssuerStatus } from '../api/client-certificate-issuer.ts';
import { mergeConditions, type Verdict } from '../api/conditions.ts';
import { durationString } from '../api/duration.ts';
import type { Authority } from './authority.ts';
import { generationsOf, remedyOf } from './checks.ts';
import { Condition, type IssuerFinding, type IssuerView } from './step.ts';

type Findings = readonly IssuerFinding[];

/**
 * Where the CA can't be used, what the status said of it stays: its certificates are out there, and terminators go on
 * trusting them.
 */
export function statusOf(view: IssuerView, findings: Findings): ClientCertificateIssuerStatus {
  const { issuer, secret } = view.observed;
  const { status, metadata } = issuer;
  const verdicts = verdictsOf(view, findings);
  const usable = !findings.some(({ condition }) => condition === Condition.ready) ? secret?.authority : undefined;
  const trusted =
    usable === undefined
      ? { generations: generationsOf(issuer), caCertificate: status?.caCertificate }
      : { generations: [generationOf(usable)], caCertificate: usable.chainPem };
  return {
    observedGeneration: metadata.generation,
    ...(trusted.generations.length === 0 ? {} : { generations: trusted.generations }),
    ...(trusted.caCertificate === undefined ? {} : { caCertificate: trusted.caCertificate }),
    conditions: mergeConditions(status?.conditions ?? [], verdicts, metadata.generation, view.now),
  };
}

function generationOf({ sha256, subject, notBefore, notAfter }: Authority) {
  return {
    sha256,
    subject,
    notBefore: wholeSeconds(notBefore),
    notAfter: wholeSeconds(notAfter),
    phase: 'Active' as const,
  };
}

function verdictsOf(view: IssuerView, findings: Findings): Verdict[] {
  const ready = findings.find(({ condition }) => condition === Condition.ready);
  const deletable = findings.find(({ condition }) => condition === Condition.deletable);
  return [
    ready === undefined ? readyVerdict(view) : verdictOf(ready),
    ...(deletable === undefined ? [] : [verdictOf(deletable)]),
  ];
}

function verdictOf({ condition: type, status, reason, message }: IssuerFinding): Verdict {
  return { type, status, reason, message };
}

function readyVerdict({ observed, desired, now }: IssuerView): Verdict {
  const ready = { type: Condition.ready, status: 'True' } as const;
  const authority = observed.secret?.authority;
  if (authority === undefined) {
    return { ...ready, reason: 'SelfSigned', message: 'Every client signs its certificates with its own key.' };
  }
  const end = wholeSeconds(authority.notAfter);
  if (now < noticeAt(authority, desired.maxDurationMs)) {
    return { ...ready, reason: 'AuthorityUsable', message: `The CA ${authority.subject} signs until ${end}.` };
  }
  return {
    ...ready,
    reason: 'CAExpiresSoon',
    message:
      `The CA ${authority.subject} expires at ${end}, within the longest life of a certificate (${durationString(desired.maxDurationMs)}): ` +
      `no certificate lives longer than it. ${remedyOf(desired.authority.kind)}`,
  };
}

/** From here on certificates may have to be shortened. */
function noticeAt({ notAfter }: Authority, longestMs: number): number {
  return notAfter - longestMs;
}

/** When the verdict changes although nothing else does; epoch milliseconds. */
export function nextChangeAt({ observed: { secret }, desired, now }: IssuerView): number | undefined {
  const authority = secret?.authority;
  if (authority === undefined) return undefined;
  const times = [authority.notBefore, noticeAt(authority, desired.maxDurationMs), authority.notAfter];
  return times.filter((time) => time > now).toSorted((a, b) => a - b)[0];
}

/** All rules, and what they say of one Ingress together. */
import { backendExposed, hostShared, plainHttp, reportOnly } from './advice-rules.ts';
import { bundleHolds, differingKeys, holdsTrustedCas } from './desired.ts';
import type { Member } from './observed.ts';
import {
  invalidAnnotation,
  issuerNotReady,
  noHost,
  noTls,
  notGranted,
  scopeConflict,
  selfSignedOnSharedHost,
  trustBundle,
  unknownIngressClass,
} from './opt-in-rules.ts';
import type { Problem, Rule, ScopeView } from './rule.ts';
import {
  annotationConflict,
  annotationReverted,
  annotationsRefused,
  bundleNameTaken,
  bundleRefused,
  bundleReverted,
} from './write-rules.ts';

/** In the order in which an owner has to deal with them; the first with `bundle` set is the last one judged. */
export const rules: readonly Rule[] = [
  invalidAnnotation,
  notGranted,
  unknownIngressClass,
  noHost,
  noTls,
  scopeConflict,
  selfSignedOnSharedHost,
  trustBundle,
  issuerNotReady,
  hostShared,
  backendExposed,
  plainHttp,
  reportOnly,
  bundleNameTaken,
  bundleRefused,
  bundleReverted,
  annotationConflict,
  annotationReverted,
  annotationsRefused,
];

/** Everything there is to say of an Ingress, up to the first problem that keeps it from being annotated. */
export function judge(member: Member, view: ScopeView): Problem[] {
  const problems: Problem[] = [];
  if (!member.optedIn) {
    const refused = annotationsRefused.find(member, view);
    return refused === undefined
      ? []
      : [{ rule: annotationsRefused.name, reason: annotationsRefused.name, ...refused }];
  }
  for (const rule of rules) {
    const said = rule.find(member, view);
    if (said === undefined) continue;
    problems.push({ rule: rule.name, reason: rule.name, ...said });
    if (said.bundle !== undefined) break;
  }
  return problems;
}

/** Annotations and bundle are what they should be. */
export function inEffect(member: Member, view: Pick<ScopeView, 'desired'>): boolean {
  const wanted = view.desired.wanted.get(member.ingress.uid);
  if (wanted === undefined || differingKeys(member.ingress, wanted).length > 0) return false;
  return member.ingress.optIn.mode === 'report' ? holdsTrustedCas(member) : bundleHolds(member.bundle, wanted);
}

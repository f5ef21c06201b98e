/** All rules, and what they say of one frontend together. */
import { backendExposed, hazardous, hostShared, plainHttp, reportOnly } from './advice-rules.ts';
import { bundleHolds, companionsToWrite, differingKeys, holdsTrustedCas } from '../desired.ts';
import type { Member } from '../observed.ts';
import {
  invalidAnnotation,
  issuerNotReady,
  modeUnsupported,
  noHost,
  noTls,
  notGranted,
  scopeConflict,
  selfSignedOnSharedHost,
  terminatorSwitchedOff,
  trustBundle,
} from './opt-in-rules.ts';
import {
  terminatorNotPrepared,
  terminatorNotProved,
  terminatorOutdated,
  trustStoreOutdated,
  unknownIngressClass,
} from './product-rules.ts';
import { proofRules } from './proof-rules.ts';
import type { Problem, Rule, ScopeView } from './rule.ts';
import {
  configurationConflict,
  configurationReverted,
  configurationRefused,
  bundleNameTaken,
  bundleRefused,
  bundleReverted,
  companionRefused,
  companionRejected,
  companionReverted,
} from './write-rules.ts';

/** In the order in which an owner has to deal with them; the first with `bundle` set is the last one judged. */
export const rules: readonly Rule[] = [
  invalidAnnotation,
  notGranted,
  terminatorSwitchedOff,
  unknownIngressClass,
  modeUnsupported,
  noHost,
  noTls,
  terminatorNotPrepared,
  terminatorOutdated,
  scopeConflict,
  selfSignedOnSharedHost,
  trustBundle,
  issuerNotReady,
  ...proofRules,
  hostShared,
  backendExposed,
  plainHttp,
  hazardous,
  reportOnly,
  bundleNameTaken,
  bundleRefused,
  bundleReverted,
  companionRefused,
  companionReverted,
  companionRejected,
  configurationConflict,
  configurationReverted,
  configurationRefused,
  trustStoreOutdated,
  terminatorNotProved,
];

/** Everything there is to say of an Ingress, up to the first problem that keeps it from being configured. */
export function judge(member: Member, view: ScopeView): Problem[] {
  const problems: Problem[] = [];
  if (!member.optedIn) {
    const refused = configurationRefused.find(member, view);
    return refused === undefined
      ? []
      : [{ rule: configurationRefused.name, reason: configurationRefused.name, ...refused }];
  }
  for (const rule of rules) {
    const said = rule.find(member, view);
    if (said === undefined) continue;
    problems.push({ rule: rule.name, reason: rule.name, ...said });
    if (said.bundle !== undefined && said.configure !== true) break;
  }
  return problems;
}

/**
 * Settings, companions and bundle are what they should be, and the controller has heard of them where it says so; where
 * nothing of that says it, a live connection has shown it.
 */
export function inEffect(member: Member, view: ScopeView): boolean {
  if (member.frontend.unobserved === true) return false;
  if (member.driver?.inEffectBy === 'proof' && !member.proved) return false;
  return isConfigured(member, view);
}

/** All that is seen of it in the cluster is what it should be. */
export function isConfigured(member: Member, view: ScopeView): boolean {
  const wanted = view.desired.wanted.get(member.frontend.uid);
  if (wanted === undefined || differingKeys(member.frontend, wanted).length > 0) return false;
  if (companionsToWrite(member, wanted).length > 0) return false;
  if (companionRejected.find(member, view) !== undefined) return false;
  if (trustStoreOutdated.find(member, view) !== undefined) return false;
  const { hostKey } = member.driver ?? {};
  if (hostKey !== undefined && member.neighbours.some(({ settings }) => settings[hostKey] !== wanted.settings[hostKey]))
    return false;
  return member.frontend.optIn.mode === 'report' ? holdsTrustedCas(member) : bundleHolds(member.bundle, wanted);
}

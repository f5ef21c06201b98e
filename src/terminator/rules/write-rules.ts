/** Reasons why a write does not succeed, or must not be tried again. */
import { bundleName } from '../bundle.ts';
import { pausedContest, unwritableOpaque } from '../../runtime/contest.ts';
import {
  bundleContent,
  bundleHolds,
  companionContent,
  companionsToWrite,
  differingKeys,
  type Wanted,
  writtenOut,
} from '../desired.ts';
import type { CompanionProjection } from '../companion.ts';
import type { Companion } from '../driver.ts';
import { frontendTarget, objectTarget, lossWindowMs, mostLosses, type Refusal } from '../memory.ts';
import type { Member } from '../observed.ts';
import type { Rule, Said } from './rule.ts';

export const bundleNameTaken: Rule = {
  name: 'BundleNameTaken',
  find({ frontend, bundle }) {
    if (frontend.optIn.mode !== 'manage' || bundle === undefined) return undefined;
    const message = unwritableOpaque(`${bundle.kind} ${frontend.namespace}/${bundle.name}`, bundle);
    return message === undefined ? undefined : { message, bundle: 'keep' };
  },
};

function held(refusal: Refusal | undefined, bundle: 'keep' | 'write'): Said | undefined {
  if (refusal === undefined) return undefined;
  const { code, message, until } = refusal;
  return { reason: code, message, bundle, at: until };
}

/** What the success of writing a bundle depends on. */
export function bundleBasis({ bundle }: Member, { server, ca }: Wanted): string {
  return `${bundle?.resourceVersion ?? ''} ${server} ${ca ?? ''}`;
}

export const bundleRefused: Rule = {
  name: 'BundleRefused',
  find(member, { observed, desired, now }) {
    const { namespace, uid } = member.frontend;
    const wanted = desired.wanted.get(uid);
    if (wanted === undefined) return undefined;
    const target = objectTarget(wanted.bundleKind, namespace, bundleName(observed.scope));
    return held(observed.memory.refusal(target, bundleBasis(member, wanted), now), 'keep');
  },
};

/** Whoever keeps undoing it is not answered at their own pace: each write is a reload of the terminator. */
export const bundleReverted: Rule = {
  name: 'BundleReverted',
  find({ frontend, bundle }, { observed, desired, now }) {
    const wanted = desired.wanted.get(frontend.uid);
    if (wanted === undefined || frontend.optIn.mode !== 'manage' || bundleHolds(bundle, wanted)) return undefined;
    const name = bundleName(observed.scope);
    const object = objectTarget(wanted.bundleKind, frontend.namespace, name);
    const rewritten = observed.memory.rewritten(object);
    const content = bundleContent(wanted);
    const paused = pausedContest({ object, content, rewritten, lastWriter: bundle?.lastWriter }, now);
    return paused && { ...paused, bundle: 'keep' };
  },
};

/** What the success of writing a companion depends on. */
export function companionBasis(
  companion: Companion,
  current: Pick<CompanionProjection, 'resourceVersion'> | undefined,
  { server }: Wanted,
): string {
  return `${current?.resourceVersion ?? ''} ${server} ${companionContent(companion)}`;
}

export const companionRefused: Rule = {
  name: 'CompanionRefused',
  find(member, { observed, desired, now }) {
    const wanted = desired.wanted.get(member.frontend.uid);
    if (wanted === undefined || member.frontend.optIn.mode !== 'manage') return undefined;
    for (const { companion, current } of companionsToWrite(member, wanted)) {
      const target = objectTarget(companion.resource.kind, member.frontend.namespace, companion.name);
      const refusal = observed.memory.refusal(target, companionBasis(companion, current, wanted), now);
      if (refusal !== undefined) return held(refusal, 'write');
    }
    return undefined;
  },
};

export const companionReverted: Rule = {
  name: 'CompanionReverted',
  find(member, { observed, desired, now }) {
    const { namespace, uid, optIn } = member.frontend;
    const wanted = desired.wanted.get(uid);
    if (wanted === undefined || optIn.mode !== 'manage') return undefined;
    for (const { companion, current } of companionsToWrite(member, wanted)) {
      const object = objectTarget(companion.resource.kind, namespace, companion.name);
      const rewritten = observed.memory.rewritten(object);
      const content = companionContent(companion);
      const paused = pausedContest({ object, content, rewritten, lastWriter: current?.lastWriter }, now);
      if (paused !== undefined) return { ...paused, bundle: 'keep' };
    }
    return undefined;
  },
};

/** The product says itself that it does not act on what was written. */
export const companionRejected: Rule = {
  name: 'CompanionRejected',
  find(member, { desired }) {
    const wanted = desired.wanted.get(member.frontend.uid);
    for (const { resource, name } of wanted?.companions ?? []) {
      const found = member.companions.find((each) => each.resource.kind === resource.kind && each.name === name);
      if (found?.rejected === undefined) continue;
      return {
        message: `${resource.kind} ${member.frontend.namespace}/${name} is not in effect: the controller says "${found.rejected.slice(0, 300)}". Of several that are for the same listeners the product takes one: remove the others.`,
        bundle: 'write',
        // By its settings alone the product verifies, and forwards nothing.
        configure: true,
      };
    }
    return undefined;
  },
};

export const configurationConflict: Rule = {
  name: 'ConfigurationConflict',
  find({ frontend }, { desired }) {
    const wanted = desired.wanted.get(frontend.uid);
    if (wanted === undefined || frontend.optIn.mode !== 'manage') return undefined;
    const taken = differingKeys(frontend, wanted).filter(
      (key) =>
        frontend.settings[key] !== undefined &&
        (frontend.otherOwners[key] !== undefined || !frontend.ownKeys.includes(key)),
    );
    if (taken.length === 0) return undefined;
    const managers = new Set(taken.flatMap((key) => frontend.otherOwners[key] ?? []));
    const who = managers.size === 0 ? 'Another writer' : `Field manager ${[...managers].toSorted().join(', ')}`;
    return {
      message: `${who} sets ${taken.join(', ')} differently. Remove it there, or write there: ${writtenOut(wanted.settings)}.`,
      bundle: 'write',
    };
  },
};

export const configurationReverted: Rule = {
  name: 'ConfigurationReverted',
  find({ frontend, losses }, { desired }) {
    const wanted = desired.wanted.get(frontend.uid);
    const [oldest] = losses;
    if (wanted === undefined || oldest === undefined || losses.length < mostLosses) return undefined;
    if (differingKeys(frontend, wanted).length === 0) return undefined;
    return {
      message: `What the operator set was removed ${losses.length} times in ten minutes; the last other writer is field manager ${frontend.lastWriter ?? 'unknown'}. Let it keep them, or write there: ${writtenOut(wanted.settings)}.`,
      bundle: 'write',
      at: oldest + lossWindowMs,
    };
  },
};

export const configurationRefused: Rule = {
  name: 'ConfigurationRefused',
  find: ({ frontend }, { observed, now }) =>
    held(observed.memory.refusal(frontendTarget(frontend.uid), frontend.resourceVersion, now), 'write'),
};

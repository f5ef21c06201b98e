/** Reasons why a write does not succeed, or must not be tried again. */
import { bundleName } from './bundle-secret.ts';
import { contestOf } from '../runtime/contest.ts';
import { bundleContent, bundleHolds, differingKeys, type Wanted, writtenOut } from './desired.ts';
import { bundleTarget, ingressTarget, lossWindowMs, mostLosses, type Refusal } from './memory.ts';
import type { Member } from './observed.ts';
import type { Rule, Said } from './rule.ts';

export const bundleNameTaken: Rule = {
  name: 'BundleNameTaken',
  find({ ingress, bundle }) {
    if (ingress.optIn.mode !== 'manage' || bundle === undefined) return undefined;
    if (bundle.type === 'Opaque' && !bundle.deleting) return undefined;
    const ref = `Secret ${ingress.namespace}/${bundle.name}`;
    return {
      message: bundle.deleting
        ? `${ref} is being deleted and something keeps it from going: remove its finalizers.`
        : `${ref} has type ${bundle.type}, which cannot be changed: delete it, and the operator writes it.`,
      bundle: 'keep',
    };
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
    const { namespace, uid } = member.ingress;
    const wanted = desired.wanted.get(uid);
    if (wanted === undefined) return undefined;
    const target = bundleTarget(namespace, bundleName(observed.scope));
    return held(observed.memory.refusal(target, bundleBasis(member, wanted), now), 'keep');
  },
};

/** Whoever keeps undoing it is not answered at their own pace: each write is a reload of the terminator. */
export const bundleReverted: Rule = {
  name: 'BundleReverted',
  find({ ingress, bundle }, { observed, desired, now }) {
    const wanted = desired.wanted.get(ingress.uid);
    if (wanted === undefined || ingress.optIn.mode !== 'manage' || bundleHolds(bundle, wanted)) return undefined;
    const name = bundleName(observed.scope);
    const rewritten = observed.memory.rewritten(bundleTarget(ingress.namespace, name));
    const contest = contestOf(rewritten, bundleContent(wanted), now);
    if (contest === undefined || now >= contest.nextAt) return undefined;
    const who = bundle?.lastWriter === undefined ? '' : `; the last other writer is field manager ${bundle.lastWriter}`;
    return {
      message: `Secret ${ingress.namespace}/${name} was changed or deleted again and again after it had been written${who}. Keep others from writing it; it is written again, ever less often.`,
      bundle: 'keep',
      at: contest.nextAt,
    };
  },
};

export const annotationConflict: Rule = {
  name: 'AnnotationConflict',
  find({ ingress }, { desired }) {
    const wanted = desired.wanted.get(ingress.uid);
    if (wanted === undefined || ingress.optIn.mode !== 'manage') return undefined;
    const taken = differingKeys(ingress, wanted).filter(
      (key) =>
        ingress.driverAnnotations[key] !== undefined &&
        (ingress.otherOwners[key] !== undefined || !ingress.ownKeys.includes(key)),
    );
    if (taken.length === 0) return undefined;
    const managers = new Set(taken.flatMap((key) => ingress.otherOwners[key] ?? []));
    const who = managers.size === 0 ? 'Another writer' : `Field manager ${[...managers].toSorted().join(', ')}`;
    return {
      message: `${who} sets ${taken.join(', ')} differently. Remove it there, or write there: ${writtenOut(wanted.annotations)}.`,
      bundle: 'write',
    };
  },
};

export const annotationReverted: Rule = {
  name: 'AnnotationReverted',
  find({ ingress, losses }, { desired }) {
    const wanted = desired.wanted.get(ingress.uid);
    const [oldest] = losses;
    if (wanted === undefined || oldest === undefined || losses.length < mostLosses) return undefined;
    if (differingKeys(ingress, wanted).length === 0) return undefined;
    return {
      message: `The annotations were removed ${losses.length} times in ten minutes; the last other writer is field manager ${ingress.lastWriter ?? 'unknown'}. Let it keep them, or write there: ${writtenOut(wanted.annotations)}.`,
      bundle: 'write',
      at: oldest + lossWindowMs,
    };
  },
};

export const annotationsRefused: Rule = {
  name: 'AnnotationsRefused',
  find: ({ ingress }, { observed, now }) =>
    held(observed.memory.refusal(ingressTarget(ingress.uid), ingress.resourceVersion, now), 'write'),
};

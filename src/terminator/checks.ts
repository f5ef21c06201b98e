import type { Check, Finding, View } from '../runtime/pass.ts';
import { bundleHolds, type Desired, differingKeys, leftoverKeys, type Wanted } from './desired.ts';
import type { Problem } from './rule.ts';
import { judge, rules } from './rules.ts';
import { bundleBasis } from './write-rules.ts';
import type { Member, Observed } from './observed.ts';
import type { TerminatorStep } from './steps.ts';

export type TerminatorViewOfScope = View<Observed, Desired>;
type TerminatorCheck = Check<TerminatorViewOfScope, TerminatorStep>;
type TerminatorFinding = Finding<TerminatorStep>;

const CONDITION = 'Ready';

const refOf = ({ ingress }: Member): string => `${ingress.namespace}/${ingress.name}`;

/** What a rule says of the scope's Ingresses, as one finding. It never blocks: the other Ingresses are still acted on. */
function told(rule: string): TerminatorCheck {
  return {
    name: rule,
    find(view) {
      const said = view.observed.members.flatMap((member) =>
        judge(member, view)
          .filter((problem) => problem.rule === rule)
          .map((problem) => ({ member, problem })),
      );
      const [first] = said;
      if (first === undefined) return undefined;
      const times = said.flatMap(({ problem }) => problem.at ?? []);
      return {
        condition: CONDITION,
        status: 'False',
        reason: first.problem.reason,
        message: said.map(({ member, problem }) => `Ingress ${refOf(member)}: ${problem.message}`).join(' '),
        ...(times.length === 0 ? {} : { at: Math.min(...times) }),
      };
    },
  };
}

/** The first Ingress that a step is due for. */
function due(
  name: TerminatorStep['name'],
  find: (member: Member, view: TerminatorViewOfScope) => TerminatorFinding | undefined,
): TerminatorCheck {
  return {
    name,
    find(view) {
      for (const member of view.observed.members) {
        const finding = find(member, view);
        if (finding !== undefined) return finding;
      }
      return undefined;
    },
  };
}

function pending(reason: string, message: string, step: TerminatorStep, basis: string): TerminatorFinding {
  return { condition: CONDITION, status: 'Unknown', reason, message, step, basis };
}

interface Managed {
  wanted: Wanted;
  blocking: Problem | undefined;
}

/** Undefined where nothing may be written for the Ingress. */
function managed(member: Member, view: TerminatorViewOfScope): Managed | undefined {
  const wanted = view.desired.wanted.get(member.ingress.uid);
  if (wanted === undefined || member.ingress.optIn.mode !== 'manage' || member.ingress.deleting) return undefined;
  return { wanted, blocking: judge(member, view).find(({ bundle }) => bundle !== undefined) };
}

const writeBundle = due('writeBundle', (member, view) => {
  const plan = managed(member, view);
  if (plan === undefined || bundleHolds(member.bundle, plan.wanted)) return undefined;
  const { wanted, blocking } = plan;
  if (blocking?.bundle === 'keep') return undefined;
  // Somebody's conflict must not take the CAs of a rollover from a host that is protected already.
  if (blocking?.bundle === 'maintain' && member.bundle?.server !== wanted.server) return undefined;
  const { namespace } = member.ingress;
  const basis = bundleBasis(member, wanted);
  return pending(
    'TrustBundlePending',
    `The trust bundle in namespace ${namespace} is being written.`,
    { name: 'writeBundle', namespace, wanted, current: member.bundle, basis },
    basis,
  );
});

const annotate = due('annotate', (member, view) => {
  const plan = managed(member, view);
  // The bundle first: an annotation that names a missing Secret turns away every request of the host.
  if (plan === undefined || plan.blocking !== undefined || !bundleHolds(member.bundle, plan.wanted)) return undefined;
  const { ingress } = member;
  if (differingKeys(ingress, plan.wanted).length + leftoverKeys(ingress, plan.wanted).length === 0) return undefined;
  return pending(
    'AnnotationsPending',
    `Ingress ${refOf(member)} is being annotated.`,
    { name: 'annotate', ingress, annotations: plan.wanted.annotations },
    `${ingress.uid} ${ingress.resourceVersion}`,
  );
});

const withdraw = due('withdraw', (member, view) => {
  const { ingress } = member;
  if (member.optedIn || ingress.deleting || ingress.ownKeys.length === 0) return undefined;
  if (judge(member, view).length > 0) return undefined;
  return pending(
    'WithdrawalPending',
    `Ingress ${refOf(member)} has opted out: our annotations are being removed.`,
    { name: 'withdraw', ingress },
    `${ingress.uid} ${ingress.resourceVersion}`,
  );
});

const deleteBundle: TerminatorCheck = {
  name: 'deleteBundle',
  find({ observed }) {
    const found = observed.bundles.find(({ bundle, needed }) => !needed && !bundle.deleting);
    if (found === undefined) return undefined;
    const { bundle } = found;
    return pending(
      'TrustBundleUnused',
      `The trust bundle ${bundle.namespace}/${bundle.name} is used by no Ingress and is being deleted.`,
      { name: 'deleteBundle', bundle },
      `${bundle.uid} ${bundle.resourceVersion}`,
    );
  },
};

/** Opt-in: bundle, then annotation. Opt-out: annotation, then bundle. */
export const checks: readonly TerminatorCheck[] = [
  ...rules.map(({ name }) => told(name)),
  writeBundle,
  annotate,
  withdraw,
  deleteBundle,
];

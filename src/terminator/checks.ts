import type { Check, Finding, View } from '../runtime/pass.ts';
import { bundleHolds, companionsToWrite, type Desired, differingKeys, leftoverKeys, type Wanted } from './desired.ts';
import { type Frontend, frontendName } from './frontends/frontend.ts';
import { objectTarget } from './memory.ts';
import type { Problem } from './rules/rule.ts';
import { judge, rules } from './rules/rules.ts';
import { bundleBasis, companionBasis } from './rules/write-rules.ts';
import type { Member, Observed } from './observed.ts';
import type { TerminatorStep } from './steps.ts';

export type TerminatorViewOfScope = View<Observed, Desired>;
type TerminatorCheck = Check<TerminatorViewOfScope, TerminatorStep>;
type TerminatorFinding = Finding<TerminatorStep>;

const CONDITION = 'Ready';

const judgements = new WeakMap<TerminatorViewOfScope, Map<Member, readonly Problem[]>>();

/** Once for all checks of a view: each of them asks. */
function judged(member: Member, view: TerminatorViewOfScope): readonly Problem[] {
  const known = judgements.get(view) ?? new Map<Member, readonly Problem[]>();
  judgements.set(view, known);
  const problems = known.get(member) ?? judge(member, view);
  known.set(member, problems);
  return problems;
}

/** What a rule says of the scope's frontends, as one finding. It never blocks: the others are still acted on. */
function told(rule: string): TerminatorCheck {
  return {
    name: rule,
    find(view) {
      const said = view.observed.members.flatMap((member) =>
        judged(member, view)
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
        message: said.map(({ member, problem }) => `${frontendName(member.frontend)}: ${problem.message}`).join(' '),
        ...(times.length === 0 ? {} : { at: Math.min(...times) }),
      };
    },
  };
}

/** The first frontend that a step is due for. */
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

/** What keeps most from being written. */
function blockingOf(problems: readonly Problem[]): Problem | undefined {
  const blocking = problems.filter(({ bundle }) => bundle !== undefined);
  return blocking.find(({ configure: all }) => all !== true) ?? blocking[0];
}

/** Undefined where nothing may be written for the frontend. */
function managed(member: Member, view: TerminatorViewOfScope): Managed | undefined {
  const wanted = view.desired.wanted.get(member.frontend.uid);
  if (wanted === undefined || member.frontend.optIn.mode !== 'manage' || member.frontend.deleting) return undefined;
  return { wanted, blocking: blockingOf(judged(member, view)) };
}

const writeBundle = due('writeBundle', (member, view) => {
  const plan = managed(member, view);
  if (plan === undefined || bundleHolds(member.bundle, plan.wanted)) return undefined;
  const { wanted, blocking } = plan;
  if (blocking?.bundle === 'keep') return undefined;
  // Somebody's conflict must not take the CAs of a rollover from a host that is protected already.
  if (blocking?.bundle === 'maintain' && member.bundle?.server !== wanted.server) return undefined;
  const { namespace } = member.frontend;
  const basis = bundleBasis(member, wanted);
  return pending(
    'TrustBundlePending',
    `The trust bundle in namespace ${namespace} is being written.`,
    { name: 'writeBundle', namespace, wanted, current: member.bundle, basis },
    basis,
  );
});

const writeCompanion = due('writeCompanion', (member, view) => {
  const plan = managed(member, view);
  if (plan === undefined || plan.blocking?.bundle === 'keep') return undefined;
  const { wanted, blocking } = plan;
  if (!bundleHolds(member.bundle, wanted)) return undefined;
  const [first] = companionsToWrite(member, wanted).filter(
    ({ current }) => blocking?.bundle !== 'maintain' || current?.server === wanted.server,
  );
  if (first === undefined) return undefined;
  const { companion, current } = first;
  const { namespace } = member.frontend;
  const basis = companionBasis(companion, current, wanted);
  return pending(
    'CompanionPending',
    `${companion.resource.kind} ${namespace}/${companion.name} is being written.`,
    { name: 'writeCompanion', namespace, wanted, companion, current, basis },
    basis,
  );
});

/** When the terminator knows of all companions, as far as is known; epoch milliseconds. */
function loadedAt({ driver, frontend }: Member, { observed }: TerminatorViewOfScope, { companions }: Wanted): number {
  const loadMs = driver?.companionsLoadMs;
  if (loadMs === undefined) return 0;
  const written = companions.map(({ resource, name }) =>
    observed.memory.writtenAt(objectTarget(resource.kind, frontend.namespace, name)),
  );
  return Math.max(...written.map((time) => (time === undefined ? 0 : time + loadMs)));
}

function loading(frontend: Frontend, at: number): TerminatorFinding {
  const message = `${frontendName(frontend)} is configured at ${new Date(at).toISOString()}, when its terminator has heard of what is named there.`;
  return { condition: CONDITION, status: 'Unknown', reason: 'CompanionsLoading', message, at };
}

const configure = due('configure', (member, view) => {
  const plan = managed(member, view);
  // What they name first: settings that name a missing object turn away every request of the host.
  if (plan === undefined || !bundleHolds(member.bundle, plan.wanted)) return undefined;
  if (plan.blocking !== undefined && plan.blocking.configure !== true) return undefined;
  if (companionsToWrite(member, plan.wanted).length > 0) return undefined;
  const { frontend } = member;
  if (differingKeys(frontend, plan.wanted).length + leftoverKeys(frontend, plan.wanted).length === 0) return undefined;
  const at = loadedAt(member, view, plan.wanted);
  if (frontend.ownKeys.length === 0 && view.now < at) return loading(frontend, at);
  return pending(
    'ConfigurationPending',
    `${frontendName(frontend)} is being configured.`,
    { name: 'configure', frontend, settings: plan.wanted.settings },
    `${frontend.uid} ${frontend.resourceVersion}`,
  );
});

const withdraw = due('withdraw', (member, view) => {
  const { frontend } = member;
  if (member.optedIn || frontend.deleting || frontend.ownKeys.length === 0) return undefined;
  if (judged(member, view).length > 0) return undefined;
  return pending(
    'WithdrawalPending',
    `${frontendName(frontend)} has opted out: our settings are being removed.`,
    { name: 'withdraw', frontend },
    `${frontend.uid} ${frontend.resourceVersion}`,
  );
});

const deleteCompanion: TerminatorCheck = {
  name: 'deleteCompanion',
  find({ observed, now }) {
    const found = observed.companions.find(({ object, needed }) => !needed && !object.deleting);
    if (found === undefined) return undefined;
    const { object: companion, keptUntil: at } = found;
    const { resource, namespace, name, uid, resourceVersion } = companion;
    const message = `${resource.kind} ${namespace}/${name} is needed no more and is being deleted.`;
    if (at !== undefined && now < at)
      return { condition: CONDITION, status: 'Unknown', reason: 'CompanionUnused', message, at };
    return pending('CompanionUnused', message, { name: 'deleteCompanion', companion }, `${uid} ${resourceVersion}`);
  },
};

const deleteBundle: TerminatorCheck = {
  name: 'deleteBundle',
  find({ observed }) {
    const found = observed.bundles.find(({ object, needed }) => !needed && !object.deleting);
    if (found === undefined) return undefined;
    const { object: bundle } = found;
    return pending(
      'TrustBundleUnused',
      `The trust bundle ${bundle.namespace}/${bundle.name} is used by nothing and is being deleted.`,
      { name: 'deleteBundle', bundle },
      `${bundle.uid} ${bundle.resourceVersion}`,
    );
  },
};

/** Opt-in: bundle, companions, then settings. Opt-out: settings, then companions, then bundle. */
export const checks: readonly TerminatorCheck[] = [
  ...rules.map(({ name }) => told(name)),
  writeBundle,
  writeCompanion,
  configure,
  withdraw,
  deleteCompanion,
  deleteBundle,
];

/** Where the operator can die: each point of an undisturbed run, and after each write that it does not know of yet. */
import assert from 'node:assert/strict';
import type { ApiRequest } from '../support/api-request.ts';
import type { ProxiedRequest } from '../support/fault-proxy.ts';
import { waitFor } from '../support/wait-for.ts';
import type { PassedPoint } from './crash-plan.ts';
import type { CrashScenario, CrashSubject } from './crash-subject.ts';
import type { CrashWorld } from './crash-world.ts';
import type { RegistrationCall } from './registration-calls.ts';
import { silence } from './world.ts';

interface Reached {
  /** Milliseconds from the beginning of the undisturbed run. */
  after: number;
  /** Which of those of this name. */
  nth: number;
}

/** At a step, or between what was carried out and its answer. */
export type Place = Reached &
  (
    | { where: 'step'; step: string; when: PassedPoint['when'] }
    | { where: 'kubernetes'; what: string }
    | { where: 'server'; what: string }
  );

export function nameOf(place: Place): string {
  const times = place.nth > 1 ? ` (${place.nth})` : '';
  return place.where === 'step'
    ? `${place.when} ${place.step}${times}`
    : `${place.what}${times} carried out, not answered`;
}

/** One undisturbed run. */
export interface Survey {
  places: Place[];
  outcome: unknown;
  writes: number;
}

const writing = new Set(['create', 'update', 'patch', 'delete']);

export const wordsOf = ({ verb, resource, subresource }: ApiRequest): string =>
  `${verb} ${resource}${subresource === '' ? '' : `/${subresource}`}`;

/** The operator's writes of what the subject is made of. */
export function writesOf(world: CrashWorld, subject: CrashSubject, since: number) {
  return world.proxy.requests().filter((asked) => asked.at >= since && isWriteOf(subject, asked));
}

export const isWriteOf = (subject: CrashSubject, asked: ApiRequest): boolean =>
  writing.has(asked.verb) && subject.owns(asked);

/** How often a proof is tried is the terminators' to say. */
const paced = new Set(['prove', 'provePublished']);

function numbered<T extends { at: number }>(all: readonly T[], wordOf: (one: T) => string, since: number) {
  const counts = new Map<string, number>();
  return all.map((one) => {
    const nth = (counts.get(wordOf(one)) ?? 0) + 1;
    counts.set(wordOf(one), nth);
    return { ...one, nth, after: one.at - since };
  });
}

export interface Surveyed {
  scenario: CrashScenario;
  survey: Survey;
}

/** Undisturbed runs, side by side. */
export async function surveyed(world: CrashWorld, scenarios: readonly CrashScenario[]): Promise<Surveyed[]> {
  const subjects = await Promise.all(
    scenarios.map(async (scenario) => {
      const subject = await scenario.subject(world, world.nextName('undisturbed'));
      await subject.prepare();
      return { scenario, subject };
    }),
  );
  // From here on points are counted.
  const plan = await world.plan({ mode: 'wait', halts: [] });
  return Promise.all(
    subjects.map(async ({ scenario, subject }) => ({ scenario, survey: await survey(world, scenario, subject, plan) })),
  );
}

async function survey(
  world: CrashWorld,
  scenario: CrashScenario,
  subject: CrashSubject,
  plan: string,
): Promise<Survey> {
  const since = Date.now();
  await subject.begin();
  await untilOver(scenario, subject);
  await silence(world);
  const outcome = await subject.outcome();
  await subject.verify();
  const passed = (await world.points(plan)).filter(({ kind, key }) => kind === subject.kind && key === subject.key);
  const writes = writesOf(world, subject, since);
  const calls = subject.marker === undefined ? [] : world.calls.of(subject.marker, since);
  assert.ok(passed.length >= 2 && writes.length >= 1, `${scenario.name}: nothing was done`);
  await subject.remove();
  return { places: placesOf({ passed, writes, calls, since }), outcome, writes: writes.length };
}

async function untilOver(scenario: CrashScenario, subject: CrashSubject): Promise<void> {
  let outcome: unknown;
  let last: unknown;
  await waitFor(async () => {
    outcome = await subject.outcome().catch((error: unknown) => {
      last = error;
      return undefined;
    });
    return outcome !== undefined && scenario.over(outcome);
  }, 90_000).catch(() => {
    throw new Error(`${scenario.name}, undisturbed, does not end: ${JSON.stringify(outcome)}`, { cause: last });
  });
}

interface Seen {
  passed: readonly PassedPoint[];
  writes: readonly ProxiedRequest[];
  calls: readonly RegistrationCall[];
  /** When it began. */
  since: number;
}

function placesOf({ passed, writes, calls, since }: Seen): Place[] {
  return [
    ...passed
      .filter(({ step, nth }) => nth === 1 || !paced.has(step))
      .map(({ step, when, nth, at }): Place => ({ where: 'step', step, when, nth, after: at - since })),
    ...numbered(writes, wordsOf, since).map(({ nth, after, ...asked }): Place => ({
      where: 'kubernetes',
      what: wordsOf(asked),
      nth,
      after,
    })),
    ...numbered(calls, ({ what }) => what, since).map(({ nth, after, what }): Place => ({
      where: 'server',
      what,
      nth,
      after,
    })),
  ];
}

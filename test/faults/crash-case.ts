/** One scenario, killed at every place of its undisturbed run, and again while it recovers. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { waitFor } from '../support/wait-for.ts';
import { dieThere, killRecovering, killThere, type Settled, type Victim } from './crash.ts';
import { nameOf, writesOf, type Place, type Survey, type Surveyed } from './crash-place.ts';
import type { CrashScenario, CrashSubject } from './crash-subject.ts';
import type { CrashWorld } from './crash-world.ts';
import { keepAllCalling } from './load.ts';
import { report } from './report.ts';
import { requestsSince, silence } from './world.ts';

const AREA = 'The operator is killed';
/** What a recovery looks at and writes anew, at most, for each death. */
const writesOfARecovery = 6;
const lookAgainMs = 100;

/** Points that each place's recovery passes. */
export type Recoveries = Map<string, number>;

interface Patient extends Victim {
  readonly scenario: CrashScenario;
  readonly survey: Survey;
  /** Of the same place in any run. */
  readonly id: string;
}

const words = ({ scenario, place }: Patient) => `${scenario.name}, killed ${nameOf(place)}`;

const patientAt = async (
  world: CrashWorld,
  { scenario, survey: undisturbed }: Surveyed,
  place: Place,
): Promise<Patient> => ({
  scenario,
  survey: undisturbed,
  place,
  id: `${scenario.name} ${nameOf(place)}`,
  subject: await scenario.subject(world, world.nextName(scenario.name)),
});

/** Undefined where it has come to what the undisturbed run came to. */
async function missing(patient: Patient): Promise<string | undefined> {
  try {
    const outcome = await patient.subject.outcome();
    if (isDeepStrictEqual(outcome, patient.survey.outcome)) return undefined;
    return `${words(patient)}: ${JSON.stringify(outcome)} instead of ${JSON.stringify(patient.survey.outcome)}`;
  } catch (error) {
    return `${words(patient)}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

async function recovered(patients: readonly Patient[]): Promise<void> {
  // Who has come to rest is looked at once more at the end: to keep asking would be a load of its own.
  let left = patients.map((patient) => ({ patient, why: 'not looked at' }));
  await waitFor(async () => {
    const found = await Promise.all(left.map(async ({ patient }) => ({ patient, why: await missing(patient) })));
    left = found.flatMap(({ patient, why }) => (why === undefined ? [] : [{ patient, why }]));
    if (left.length > 0) await sleep(lookAgainMs);
    return left.length === 0;
  }, 180_000).catch(() => {
    throw new Error(left.map(({ why }) => why).join('\n'));
  });
}

function assertFewWrites(world: CrashWorld, patient: Patient, since: number, deaths: number): void {
  const most = 2 * patient.survey.writes + deaths * writesOfARecovery;
  const writes = writesOf(world, patient.subject, since).map(({ verb, resource }) => `${verb} ${resource}`);
  assert.ok(writes.length <= most, `${words(patient)}: ${writes.length} writes: ${writes.join(', ')}`);
}

/** After the last death: as undisturbed, works, and then silence. */
async function verify(world: CrashWorld, patients: readonly Patient[], since: number, deaths: number): Promise<void> {
  await recovered(patients);
  await silence(world);
  for (const patient of patients) {
    assert.equal(await missing(patient), undefined, 'what was reached holds');
    await patient.subject.verify();
    assertFewWrites(world, patient, since, deaths);
  }
}

/** @returns the point of its recovery at which it dies again */
type Again = (id: string) => number | undefined;

export interface Death {
  /** For people. */
  what: string;
  outcome: string;
  /** Once more for each of these. */
  again?: readonly Again[];
}

/** Every place of every one of these scenarios, in one crash. */
export async function crashEverywhere(
  world: CrashWorld,
  all: readonly Surveyed[],
  { what, outcome, again = [] }: Death,
): Promise<Recoveries> {
  const patients = await Promise.all(
    all.flatMap((each) => each.survey.places.map((place) => patientAt(world, each, place))),
  );
  const subjects = patients.map(({ subject }) => subject);
  assert.ok(subjects.length > 0, 'the undisturbed run has failed');
  await Promise.all(subjects.map((subject) => subject.prepare()));
  const since = Date.now();
  const load = keepAllCalling(subjects);
  const settled = settledOf(patients);
  await killThere(world, patients, settled);
  for (const nthOf of again) await diedAgain(world, patients, { nthOf, settled });
  const plan = await world.plan({ mode: 'wait', halts: [] });
  const restarted = Date.now();
  await world.start();
  await recovered(patients);
  const recoveredMs = Date.now() - restarted;
  await verify(world, patients, since, 1 + again.length);
  await load.stop();
  const requests = requestsSince(world, restarted).length;
  const fault = `${what}: SIGKILL at ${patients.length} places, each another client’s or object’s`;
  report({ area: AREA, fault, outcome, recoveredMs, requests });
  const points = await world.points(plan);
  await Promise.all(subjects.map((subject) => subject.remove()));
  return new Map(patients.map(({ id, subject }) => [id, points.filter(({ key }) => key === subject.key).length]));
}

function settledOf(patients: readonly Patient[]): Settled {
  const bySubject = new Map(patients.map((patient) => [patient.subject, patient]));
  return async (subject) => {
    const patient = bySubject.get(subject);
    return patient !== undefined && (await missing(patient)) === undefined;
  };
}

async function diedAgain(
  world: CrashWorld,
  patients: readonly Patient[],
  { nthOf, settled }: { nthOf: Again; settled: Settled },
): Promise<void> {
  const chosen = new Map<CrashSubject, number>();
  for (const { id, subject } of patients) {
    const nth = nthOf(id);
    if (nth !== undefined) chosen.set(subject, nth);
  }
  const died = await killRecovering(world, chosen, settled);
  assert.ok(died > 0, 'nobody was recovering');
}

/** By its own hand, at one place and with nobody else. */
export async function crashAlone(world: CrashWorld, one: Surveyed, place: Place & { where: 'step' }): Promise<void> {
  const patient = await patientAt(world, one, place);
  await patient.subject.prepare();
  const since = Date.now();
  await dieThere(world, { ...patient, place });
  await world.plan({ mode: 'wait', halts: [] });
  await world.start();
  await verify(world, [patient], since, 1);
  await patient.subject.remove();
}

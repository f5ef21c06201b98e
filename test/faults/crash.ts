/** Many subjects, each held at a place of its own, and the SIGKILL that ends them all at once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { waitFor } from '../support/wait-for.ts';
import type { Halt, PassedPoint } from './crash-plan.ts';
import { isWriteOf, nameOf, wordsOf, type Place } from './crash-place.ts';
import type { CrashSubject } from './crash-subject.ts';
import type { CrashWorld } from './crash-world.ts';

export interface Victim {
  readonly subject: CrashSubject;
  readonly place: Place;
}

/** Whether it has come to what the undisturbed run came to. */
export type Settled = (subject: CrashSubject) => Promise<boolean>;

const lookAgainMs = 100;

interface Hold {
  /** It is there, and stays there. */
  waiting(): boolean;
}

const held = (points: readonly PassedPoint[], { kind, key }: CrashSubject): boolean =>
  points.some((point) => point.halted && point.kind === kind && point.key === key);

export function haltAt({ kind, key }: CrashSubject, place: Place & { where: 'step' }): Halt {
  return { kind, key, nth: place.nth, at: { step: place.step, when: place.when } };
}

/** What was carried out is held where it is answered: by the API server's proxy, or by the authorization server. */
function holdAnswer(world: CrashWorld, { subject, place }: Victim): Hold | undefined {
  if (place.where === 'step') return undefined;
  if (place.where === 'server') {
    const call = world.calls.hold(subject.marker ?? '', place.what, place.nth);
    return { waiting: () => call.waiting };
  }
  let count = 0;
  const injection = world.proxy.inject(
    (asked) => isWriteOf(subject, asked) && wordsOf(asked) === place.what && ++count === place.nth,
    { kind: 'silence', when: 'after' },
    1,
  );
  return { waiting: () => injection.unanswered === 1 };
}

/** How often a status is written on the way differs from run to run. */
const mayBeLeftOut = ({ place }: Victim): boolean =>
  place.where === 'kubernetes' && place.what.endsWith('/status') && place.nth > 1;

/** Until each of them is where it is to die; whoever gave up waiting for an answer meanwhile is not, and that fails. */
async function inPlace(
  world: CrashWorld,
  plan: string,
  { victims, holds, settled }: { victims: readonly Victim[]; holds: ReadonlyMap<Victim, Hold>; settled: Settled },
) {
  let missing: readonly Victim[] = victims;
  await waitFor(async () => {
    const points = await world.points(plan);
    missing = victims.filter((victim) => !(holds.get(victim)?.waiting() ?? held(points, victim.subject)));
    if (missing.length === 0) return true;
    if (!missing.every(mayBeLeftOut)) return false;
    await sleep(lookAgainMs);
    return (await Promise.all(missing.map(({ subject }) => settled(subject)))).every(Boolean);
  }, 60_000).catch((cause: unknown) => {
    const names = missing.map(({ subject, place }) => `${subject.name} ${nameOf(place)}`);
    throw new Error(`never came, or did not stay: ${names.join('; ')}`, { cause });
  });
}

async function killed(world: CrashWorld, subjects: readonly CrashSubject[]): Promise<void> {
  await world.operator.kill();
  world.proxy.endInjections();
  world.calls.release();
  for (const subject of subjects) await subject.died();
}

/** Begins them so that all come to their places at about the same time, and kills the operator there. */
export async function killThere(
  world: CrashWorld,
  victims: readonly Victim[],
  settled: Settled = () => Promise.resolve(false),
): Promise<void> {
  const halts = victims.flatMap(({ subject, place }) => (place.where === 'step' ? [haltAt(subject, place)] : []));
  const plan = await world.plan({ mode: 'wait', halts });
  const holds = new Map<Victim, Hold>();
  for (const victim of victims) {
    const hold = holdAnswer(world, victim);
    if (hold !== undefined) holds.set(victim, hold);
  }
  const patient = victims.filter((victim) => !holds.has(victim));
  await Promise.all(patient.map(({ subject }) => subject.begin()));
  await inPlace(world, plan, { victims: patient, holds, settled });
  // Nobody waits for an answer for ever, so that who comes late begins first.
  const latest = Math.max(0, ...[...holds.keys()].map(({ place }) => place.after));
  await Promise.all(
    [...holds.keys()].map(async ({ subject, place }) => {
      await sleep(latest - place.after);
      await subject.begin();
    }),
  );
  await inPlace(world, plan, { victims, holds, settled });
  await killed(
    world,
    victims.map(({ subject }) => subject),
  );
}

/** By its own hand, the moment that it comes to the first of these places; alone. */
export async function dieThere(world: CrashWorld, { subject, place }: Victim & { place: { where: 'step' } }) {
  await world.plan({ mode: 'die', halts: [haltAt(subject, place)] });
  await subject.begin();
  const signal = await Promise.race([world.operator.exited, sleep(60_000, 'it did not die', { ref: false })]);
  if (signal !== 'SIGKILL') throw new Error(`${nameOf(place)}: ${signal}`);
  await subject.died();
}

/**
 * While it makes up for the first death: each subject at a point of its recovery. Those that come to rest without passing
 * that many points are left alone.
 */
export async function killRecovering(
  world: CrashWorld,
  nthPoints: ReadonlyMap<CrashSubject, number>,
  settled: Settled,
): Promise<number> {
  const halts = [...nthPoints].map(([{ kind, key }, nth]) => ({ kind, key, nth }));
  const plan = await world.plan({ mode: 'wait', halts });
  await world.start();
  const subjects = [...nthPoints.keys()];
  let waiting = subjects;
  await waitFor(async () => {
    const points = await world.points(plan);
    waiting = subjects.filter((subject) => held(points, subject));
    const others = subjects.filter((subject) => !waiting.includes(subject));
    const done = (await Promise.all(others.map(settled))).every(Boolean);
    if (!done) await sleep(lookAgainMs);
    return done;
  }, 120_000);
  await killed(world, subjects);
  return waiting.length;
}

import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Injection } from '../support/fault-proxy.ts';
import { waitFor } from '../support/wait-for.ts';
import { report } from './report.ts';
import { stopRivals } from './rival.ts';
import { type Leftover, Work } from './work.ts';
import { emptied, requestsSince, silence, type FaultWorld } from './world.ts';

export interface FaultCase<W extends FaultWorld = FaultWorld> {
  /** A word or two, unique: also the prefix of its clients' names. */
  name: string;
  area: string;
  /** What is wrong, for people. */
  fault: string;
  /** What comes of it. */
  outcome: string;
  /** The operator may be another one afterwards. */
  setUp?(world: W): Promise<void>;
  /** Undone again, whatever came of it. */
  tearDown?(world: W): Promise<void>;
  /** Begins it; what is returned ends it, or has only to be waited for. */
  begin(world: W, work: Work): Promise<() => Promise<void>>;
  /** Milliseconds for which it lasts at least. */
  lastsMs?: number;
  /** Requests to the API server, from its beginning until silence, at most. Default: three times the undisturbed run's. */
  requestsAtMost?: number;
  /** Default: nothing. */
  leaves?: Leftover;
  /** Milliseconds from its end, by which it must be as if it had never been. Default: three minutes, a limit and no measure. */
  recoversWithinMs?: number;
}

/** Twice of what an undisturbed run needs. */
const requestsAtMost = 400;
const recoveryLimitMs = 180_000;

/** Ends it, once it was met. */
export async function over(injection: Pick<Injection, 'hits' | 'end'>): Promise<void> {
  await waitFor(() => injection.hits > 0, 60_000);
  injection.end();
}

/** One fault over the whole installation, and afterwards everything is as if it had never been. */
export async function runCase<W extends FaultWorld>(world: W, fault: FaultCase<W>): Promise<void> {
  await emptied(world);
  await fault.setUp?.(world);
  try {
    await suffer(world, fault);
  } finally {
    await stopRivals();
    world.proxy.endInjections();
    await fault.tearDown?.(world);
  }
}

async function suffer<W extends FaultWorld>(world: W, fault: FaultCase<W>): Promise<void> {
  const { pid } = world.operator;
  const leaves = fault.leaves ?? { orphans: 0, suspected: 0 };
  const work = new Work(world, fault.name.toLowerCase().replaceAll(' ', '-'), leaves);
  await work.prepare();
  await silence(world);
  const began = Date.now();
  const end = await fault.begin(world, work);
  const done = work.do();
  done.catch(() => undefined);
  await sleep(fault.lastsMs ?? 0);
  await end();
  await done;
  const ended = Date.now();
  const limitMs = fault.recoversWithinMs ?? recoveryLimitMs;
  let missing: string | undefined = 'not looked at';
  await waitFor(async () => (missing = await work.missing()) === undefined, limitMs).catch(() => {
    throw new Error(`${fault.name}: ${limitMs / 1000} s after its end: ${missing}`);
  });
  const recoveredMs = Date.now() - ended;
  await silence(world);
  const requests = requestsSince(world, began).length;
  assert.equal(await work.missing(), undefined, 'what was reached holds');
  // Five that were prepared, and the one that was created.
  assert.equal(work.registrations, 6 + leaves.orphans, 'POST /reg once a client');
  assert.equal(world.operator.pid, pid);
  assert.equal(await panics(world), 0, 'no reconcile threw what nobody expected');
  assert.ok(requests <= (fault.requestsAtMost ?? requestsAtMost), `${requests} requests to the API server`);
  await work.remove();
  report({ area: fault.area, fault: fault.fault, outcome: fault.outcome, recoveredMs, requests });
}

async function panics({ operator }: FaultWorld): Promise<number> {
  const text = await operator.metrics();
  const values = [...text.matchAll(/^controller_runtime_reconcile_panics_total\{[^}]*\} (\d+)/gm)];
  return values.reduce((sum, [, value]) => sum + Number(value), 0);
}

import { after, before, describe, it } from 'node:test';
import { runCase, type FaultCase } from './fault-case.ts';
import { report } from './report.ts';
import { requestsSince, silence, startFaultWorld, type FaultWorld } from './world.ts';

/** One that does not end as if it had never been. */
export interface OtherCase<W extends FaultWorld = FaultWorld> {
  name: string;
  area: string;
  /** What is wrong, for people. */
  fault: string;
  /** What comes of it. */
  outcome: string;
  run(world: W): Promise<void>;
}

/** One installation for all of them, one after the other: each makes its own clients, and removes them. */
export function faultSuite(cases: readonly FaultCase[]): void;
export function faultSuite<W extends FaultWorld>(
  cases: readonly FaultCase<W>[],
  start: () => Promise<W>,
  others?: readonly OtherCase<W>[],
): void;
export function faultSuite(
  cases: readonly FaultCase[],
  start: () => Promise<FaultWorld> = () => startFaultWorld(),
  others: readonly OtherCase[] = [],
): void {
  describe('with clients created, renewed, changed, deleted and damaged meanwhile', () => {
    let started: FaultWorld | undefined;
    const world = () => {
      if (started === undefined) throw new Error('the installation did not start');
      return started;
    };
    before(async () => {
      started = await start();
    });
    after(() => started?.installation.stop());
    for (const fault of cases) it(fault.name, () => runCase(world(), fault));
    for (const other of others) it(other.name, () => runOther(world(), other));
  });
}

/** It is over when the operator has nothing left to do. */
async function runOther(world: FaultWorld, other: OtherCase): Promise<void> {
  const { area, fault, outcome } = other;
  const began = Date.now();
  await other.run(world);
  const recoveredMs = Date.now() - began;
  await silence(world);
  report({ area, fault, outcome, recoveredMs, requests: requestsSince(world, began).length });
}

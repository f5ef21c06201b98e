import { after, before, describe, it } from 'node:test';
import { runCase, type FaultCase } from './fault-case.ts';
import { startFaultWorld, type FaultWorld } from './world.ts';

/** One installation for all of them, one after the other: each makes its own clients, and removes them. */
export function faultSuite(cases: readonly FaultCase[]): void;
export function faultSuite<W extends FaultWorld>(cases: readonly FaultCase<W>[], start: () => Promise<W>): void;
export function faultSuite(
  cases: readonly FaultCase[],
  start: () => Promise<FaultWorld> = () => startFaultWorld(),
): void {
  describe('with clients created, renewed, changed, deleted and damaged meanwhile', () => {
    let world: FaultWorld | undefined;
    before(async () => {
      world = await start();
    });
    after(() => world?.installation.stop());
    for (const fault of cases) {
      it(fault.name, async () => {
        if (world === undefined) throw new Error('the installation did not start');
        await runCase(world, fault);
      });
    }
  });
}

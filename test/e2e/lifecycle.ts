import { after, before, describe } from 'node:test';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import { creationCases, lifeCases } from './lifecycle-cases.ts';
import { startLifecycleWorld, type LifecycleWorld } from './lifecycle-world.ts';
import { repairCases, restartCases } from './recovery-cases.ts';

/** The same cases for every client authentication method. */
export function lifecycleSuite(method: AuthMethod): void {
  describe(method, () => {
    let started: LifecycleWorld | undefined;
    const world = () => {
      if (started === undefined) throw new Error('the installation did not start');
      return started;
    };
    before(async () => {
      started = await startLifecycleWorld(method);
    });
    after(() => started?.installation.stop());

    describe('creation', () => creationCases(world));
    describe('life', { concurrency: true }, () => lifeCases(world));
    describe('repair', () => repairCases(world));
    describe('restart', () => restartCases(world));
  });
}

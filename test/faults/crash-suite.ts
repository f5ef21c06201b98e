import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import type { TestClient } from '../support/oauth-client.ts';
import { SELF_SIGNED_SERVER } from '../support/self-signed-platform.ts';
import { newcomers } from './client-crashes.ts';
import { diesRegistering } from './manual-recovery.ts';
import { clientOf } from './world.ts';
import { crashAlone, crashEverywhere, type Recoveries } from './crash-case.ts';
import { surveyed, type Place, type Surveyed } from './crash-place.ts';
import type { CrashScenario } from './crash-subject.ts';
import { startCrashWorld, type CrashWorld } from './crash-world.ts';
import { Random, seedOf } from './random.ts';

/** What fails does not take down what comes after it. */
const survived = async <T>(world: CrashWorld, run: () => Promise<T>): Promise<T> => {
  try {
    return await run();
  } catch (error) {
    await world.revive();
    throw error;
  }
};

/** Scenarios that go on side by side, in one crash. */
export interface CrashGroup {
  /** For people: what goes on. */
  what: string;
  scenarios: readonly CrashScenario[];
}

const isStep = (place: Place): place is Place & { where: 'step' } => place.where === 'step';

/** Some of the places of each scenario, all in one crash. */
export function crashSample(scenarios: readonly CrashScenario[], places: number): void {
  it('killed with SIGKILL at places by chance, and started again', async (t) => {
    const world = await startCrashWorld();
    t.after(() => world.installation.stop());
    const seed = seedOf();
    t.diagnostic(`CERTBOUND_TEST_SEED=${seed}`);
    const random = new Random(seed);
    const all = (await surveyed(world, scenarios)).map(({ scenario, survey }) => {
      const some = Array.from({ length: places }, () => random.of(survey.places));
      return { scenario, survey: { ...survey, places: [...new Set(some)] } };
    });
    await crashEverywhere(world, all, { what: 'clients’ lives', outcome: 'goes on with what is stored' });
  });
}

/** One installation for all of them. */
export function crashSuite(groups: readonly CrashGroup[]): void {
  describe('killed with SIGKILL, and started again', () => {
    let started: CrashWorld | undefined;
    const world = () => {
      if (started === undefined) throw new Error('the installation did not start');
      return started;
    };
    before(async () => {
      started = await startCrashWorld();
    });
    after(() => started?.installation.stop());
    // Of all that dies around it, it notices nothing.
    let bystander: TestClient | undefined;
    let intact: Record<string, string> = {};
    before(async () => {
      bystander = clientOf(world(), 'bystander');
      await bystander.apply();
      await bystander.ready(120_000);
      intact = await bystander.values();
    });
    afterEach(async () => {
      assert.deepEqual(await bystander?.values(), intact, 'the client that nothing was done to');
      assert.equal(bystander?.registrations().length, 1);
    });

    for (const { what, scenarios } of groups) {
      describe(what, () => {
        let all: Surveyed[] = [];
        let recoveries: Recoveries = new Map();
        const passed = (id: string) => recoveries.get(id) ?? 0;

        it('undisturbed', async () => {
          all = await surveyed(world(), scenarios);
        });

        it('before and after each step, and between each write and its answer', async () => {
          recoveries = await survived(world(), () =>
            crashEverywhere(world(), all, { what, outcome: 'goes on with what is stored' }),
          );
        });

        it('the same, again at the first point of the recovery, and then at any', async (t) => {
          const seed = seedOf();
          t.diagnostic(`CERTBOUND_TEST_SEED=${seed}`);
          const random = new Random(seed);
          const death = {
            what: `${what}; killed again at the first point after the restart, and at a random one after the next`,
            outcome: 'the same',
            again: [
              (id: string) => (passed(id) > 0 ? 1 : undefined),
              (id: string) => (passed(id) > 0 ? 1 + random.below(passed(id)) : undefined),
            ],
          };
          await survived(world(), () => crashEverywhere(world(), all, death));
        });

        it('alone, at a step by chance', async (t) => {
          const seed = seedOf();
          t.diagnostic(`CERTBOUND_TEST_SEED=${seed}`);
          const random = new Random(seed);
          for (const one of all) {
            const place = random.of(one.survey.places.filter(isStep));
            await survived(world(), () => crashAlone(world(), one, place));
          }
        });
      });
    }

    it('in a registration, where the platform wants to look itself', async () => {
      await survived(world(), () => diesRegistering(world(), newcomers(world()), ['corporate', SELF_SIGNED_SERVER]));
    });
  });
}

import type { Figure, Measure, RunOptions } from './measure.ts';
import { b1 } from './measures/b1.ts';
import { b2 } from './measures/b2.ts';
import { b3 } from './measures/b3.ts';
import { scale } from './measures/scale.ts';
import { soak } from './measures/soak.ts';
import { startBenchWorld } from './world.ts';

/** By the names of the command line. */
export const measures = { B1: b1, B2: b2, B3: b3, scale, soak } satisfies Record<string, Measure>;

/** One run of one measure, in a world of its own. */
export async function runOnce(name: keyof typeof measures, options: RunOptions): Promise<Figure[]> {
  const world = await startBenchWorld();
  try {
    return await measures[name](world, options);
  } finally {
    await world.stop();
  }
}

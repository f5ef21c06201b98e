import type { Figure, Measure, RunOptions } from './measure.ts';
import { b1 } from './measures/b1.ts';
import { b2 } from './measures/b2.ts';
import { b3 } from './measures/b3.ts';
import { b7, b7World } from './measures/b7.ts';
import { b8 } from './measures/b8.ts';
import { scale } from './measures/scale.ts';
import { soak } from './measures/soak.ts';
import { startBenchWorld, type WorldOptions } from './world.ts';

/** By the names of the command line. */
export const measures = { B1: b1, B2: b2, B3: b3, B7: b7, B8: b8, scale, soak } satisfies Record<string, Measure>;

/** What a measure wants of its world besides the usual. */
const worlds: Partial<Record<keyof typeof measures, (options: RunOptions) => WorldOptions>> = { B7: b7World };

/** One run of one measure, in a world of its own. */
export async function runOnce(name: keyof typeof measures, options: RunOptions): Promise<Figure[]> {
  const world = await startBenchWorld(worlds[name]?.(options));
  try {
    return await measures[name](world, options);
  } finally {
    await world.stop();
  }
}

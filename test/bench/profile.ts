/** Where the time or the memory of a profiled process went, in lines that fit a note. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';

export type ProfileKind = 'cpu' | 'heap';

const cpuProfile = z.object({
  nodes: z.array(
    z.object({
      id: z.number(),
      callFrame: z.object({ functionName: z.string(), url: z.string(), lineNumber: z.number() }),
    }),
  ),
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
});

/** Self time by function, the largest first, in ms and percent of the time that was not idle. */
export async function hottest(dir: string, count = 40): Promise<string[]> {
  const [file] = (await readdir(dir)).filter((name) => name.endsWith('.cpuprofile'));
  if (file === undefined) throw new Error(`no .cpuprofile in ${dir}`);
  const { nodes, samples, timeDeltas } = cpuProfile.parse(JSON.parse(await readFile(join(dir, file), 'utf8')));
  const names = new Map(
    nodes.map(({ id, callFrame }) => [id, `${callFrame.functionName || '(anonymous)'}:${callFrame.lineNumber + 1}`]),
  );
  const self = new Map<string, number>();
  for (const [i, id] of samples.entries()) {
    const name = names.get(id) ?? '?';
    if (name.startsWith('(idle)')) continue;
    self.set(name, (self.get(name) ?? 0) + (timeDeltas[i] ?? 0) / 1000);
  }
  const total = [...self.values()].reduce((sum, each) => sum + each, 0);
  const lines = [...self].toSorted(([, a], [, b]) => b - a).slice(0, count);
  return [
    `busy ${Math.round(total)} ms`,
    ...lines.map(
      ([name, ms]) => `${ms.toFixed(0).padStart(8)} ms ${((ms / total) * 100).toFixed(1).padStart(5)} % ${name}`,
    ),
  ];
}

/** Where the time of a profiled process went, in lines that fit a note. */
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';

export type ProfileKind = 'cpu' | 'heap';

/** Of the last profiled run; Chrome's DevTools and `speedscope` open what is in it. */
export const PROFILES = resolve(import.meta.dirname, '../../dist/profiles');

/** Node's flags to write a profile when the process ends. */
export async function profileFlags(kind: ProfileKind | undefined): Promise<string[]> {
  if (kind === undefined) return [];
  await rm(PROFILES, { recursive: true, force: true });
  await mkdir(PROFILES, { recursive: true });
  return [`--${kind}-prof`, `--${kind}-prof-dir=${PROFILES}`];
}

const frame = z.object({ functionName: z.string(), lineNumber: z.number(), columnNumber: z.number() });
const cpuProfile = z.object({
  nodes: z.array(z.object({ id: z.number(), callFrame: frame, children: z.array(z.number()).default([]) })),
  samples: z.array(z.number()),
  timeDeltas: z.array(z.number()),
});

const nameOf = ({ functionName, lineNumber, columnNumber }: z.infer<typeof frame>): string =>
  `${functionName === '' ? '(anonymous)' : functionName}:${lineNumber + 1}:${columnNumber}`;

/** Functions by their own time and by that of all they called, the largest first. */
export async function hottest(count = 40): Promise<string[]> {
  const [file] = (await readdir(PROFILES)).filter((name) => name.endsWith('.cpuprofile'));
  if (file === undefined) throw new Error(`no .cpuprofile in ${PROFILES}`);
  const { nodes, samples, timeDeltas } = cpuProfile.parse(JSON.parse(await readFile(join(PROFILES, file), 'utf8')));
  const names = new Map(nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
  const parents = new Map(nodes.flatMap(({ id, children }) => children.map((child) => [child, id] as const)));
  const byNode = new Map<number, number>();
  for (const [i, id] of samples.entries()) byNode.set(id, (byNode.get(id) ?? 0) + (timeDeltas[i] ?? 0) / 1000);
  const self = new Map<string, number>();
  const whole = new Map<string, number>();
  let busy = 0;
  for (const [id, ms] of byNode) {
    const own = names.get(id) ?? '?';
    if (own.startsWith('(idle)')) continue;
    busy += ms;
    self.set(own, (self.get(own) ?? 0) + ms);
    const callers = new Set<string>();
    for (let node: number | undefined = id; node !== undefined; node = parents.get(node)) {
      callers.add(names.get(node) ?? '?');
    }
    for (const name of callers) whole.set(name, (whole.get(name) ?? 0) + ms);
  }
  const lines = (times: ReadonlyMap<string, number>) =>
    [...times]
      .toSorted(([, a], [, b]) => b - a)
      .slice(0, count)
      .map(([name, ms]) => `${ms.toFixed(0).padStart(8)} ms ${((ms / busy) * 100).toFixed(1).padStart(5)} % ${name}`);
  return [
    `busy ${Math.round(busy)} ms; by own time:`,
    ...lines(self),
    'with all that they called:',
    ...lines(whole),
    `the profile: ${join(PROFILES, file)}`,
  ];
}

/** What the test and the operator that it kills tell each other, by two files. */
import { appendFileSync, readFileSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';

/** Names the files in the operator's environment. */
export const PLAN_FILE = 'CERTBOUND_TEST_CRASH_PLAN';
export const POINTS_FILE = 'CERTBOUND_TEST_CRASH_POINTS';

const haltSchema = z.object({
  kind: z.string(),
  /** Of the object. */
  key: z.string(),
  /** Absent: any of this object's points counts. */
  at: z.object({ step: z.string(), when: z.enum(['before', 'after']) }).optional(),
  /** Which of them, from 1; counted from when the process first saw this plan. */
  nth: z.int(),
});
export type Halt = z.infer<typeof haltSchema>;

const planSchema = z.object({
  id: z.string(),
  /** `die`: SIGKILL at the first halt; `wait`: the pass of that object goes no further, and others do. */
  mode: z.enum(['die', 'wait']),
  halts: z.array(haltSchema),
});
export type CrashPlan = z.infer<typeof planSchema>;

const pointSchema = z.object({
  kind: z.string(),
  key: z.string(),
  step: z.string(),
  when: z.enum(['before', 'after']),
  /** Among the points of this step, and among all of this object's. */
  nth: z.int(),
  ordinal: z.int(),
  /** Of the plan that was in force. */
  plan: z.string(),
  halted: z.boolean(),
  /** Epoch milliseconds. */
  at: z.number(),
});
export type PassedPoint = z.infer<typeof pointSchema>;

export async function writePlan(file: string, plan: CrashPlan): Promise<void> {
  await writeFile(`${file}.new`, JSON.stringify(plan));
  await rename(`${file}.new`, file);
}

export function readPlan(file: string): CrashPlan {
  return planSchema.parse(JSON.parse(readFileSync(file, 'utf8')));
}

export function tellPoint(file: string, point: PassedPoint): void {
  appendFileSync(file, `${JSON.stringify(point)}\n`);
}

export async function readPoints(file: string): Promise<PassedPoint[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1);
  return lines.map((line) => pointSchema.parse(JSON.parse(line)));
}

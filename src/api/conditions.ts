import { z } from 'zod';
import { dateTime } from './fields.ts';
import { wholeSeconds } from './time.ts';

export const observedGeneration = (description: string) =>
  z.int().min(0).meta({ description, format: 'int64' }).optional();

/** metav1.Condition, with its limits (Kubernetes API conventions, "Typical status properties"). */
export const condition = z.object({
  type: z.string().max(316).meta({ description: 'What the condition speaks of.' }),
  status: z.enum(['True', 'False', 'Unknown']).meta({ description: 'True, False or Unknown.' }),
  observedGeneration: observedGeneration('The metadata.generation it was computed from.'),
  lastTransitionTime: dateTime('When status last changed.'),
  reason: z
    .string()
    .min(1)
    .max(1024)
    .regex(/^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$/)
    .meta({ description: 'A stable word for the cause.' }),
  message: z.string().max(32768).meta({ description: 'What happened, why, and what to do.' }),
});
export type Condition = z.infer<typeof condition>;

export const conditions = (description: string) =>
  z
    .array(condition)
    .max(16)
    .meta({ description, 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] });

/** What a pass concludes about one condition; times and generations are added when it is written. */
export interface Verdict {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason: string;
  message: string;
}

/** The schema's default can't know the time. */
const NEVER = '1970-01-01T00:00:00Z';

/**
 * The `status` default of every kind: kstatus would otherwise read an object that no controller has seen yet as ready.
 */
export const pendingStatus = {
  conditions: [
    {
      type: 'Ready',
      status: 'Unknown',
      reason: 'Pending',
      message: 'Waiting for the Certbound operator.',
      lastTransitionTime: NEVER,
    },
  ],
};

/**
 * Conditions as they are to be written: `lastTransitionTime` moves only where `status` changes, the order is stable, and
 * a verdict equal to what is there yields the very same entry, so that nothing is written at rest.
 */
export function mergeConditions(
  current: readonly Condition[],
  verdicts: readonly Verdict[],
  generation: number,
  now: number,
): Condition[] {
  return verdicts.map((verdict) => {
    const before = current.find((c) => c.type === verdict.type);
    return {
      type: verdict.type,
      status: verdict.status,
      observedGeneration: generation,
      lastTransitionTime: before?.status === verdict.status ? before.lastTransitionTime : wholeSeconds(now),
      reason: verdict.reason,
      message: verdict.message.slice(0, 4096),
    };
  });
}

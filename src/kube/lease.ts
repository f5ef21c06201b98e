import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { microTime } from './micro-time.ts';
import type { KubernetesObject, Resource } from './resource.ts';

export const leases: Resource = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  kind: 'Lease',
  namespaced: true,
};

/** client-go's defaults: others wait as long, by their own clocks, … */
const leaseDurationMs = 15_000;
/** … the holder stops after this, by its own clock, … */
export const renewDeadlineMs = 10_000;
/** … and tries this often. */
export const retryPeriodMs = 2_000;

/** One that may hold the Lease. */
export interface Candidate {
  /** Another for every process. */
  readonly identity: string;
  /** Of the Pod; undefined where others may go by the same name. A Pod's container starts when the one before it is gone. */
  readonly pod: string | undefined;
}

export function candidateOf(pod: string | undefined, host: string, random: string): Candidate {
  return { identity: `${pod ?? host}_${random}`, pod };
}

const specSchema = z.looseObject({
  /** Empty: released. */
  holderIdentity: z.string().default(''),
  leaseDurationSeconds: z.number().default(0),
  leaseTransitions: z.number().default(0),
  acquireTime: z.string().optional(),
  renewTime: z.string().optional(),
});

type LeaseSpec = z.infer<typeof specSchema>;

/** The Lease as we last saw it. */
export interface Sighting {
  /** Undefined: it was there, and is gone. */
  readonly object: KubernetesObject | undefined;
  readonly spec: LeaseSpec;
  /** When we saw that the record had changed, by our own monotonic clock: the times in it are another clock's. */
  readonly changedAt: number;
}

/** What a look at the Lease adds to what was seen before; undefined as long as there never was one. */
export function sighting(
  before: Sighting | undefined,
  object: KubernetesObject | undefined,
  monotonic: number,
): Sighting | undefined {
  if (object === undefined) return before === undefined ? undefined : { ...before, object };
  const spec = specSchema.parse(object['spec'] ?? {});
  const same = before !== undefined && isDeepStrictEqual(spec, before.spec);
  return { object, spec, changedAt: same ? before.changedAt : monotonic };
}

export type Move = 'create' | 'update' | 'wait';

/**
 * What to do now; for who holds it that is renewing. A Lease that somebody deleted is its holder's until it would have
 * expired, so that its holder makes it anew and nobody else works meanwhile.
 */
export function nextMove(seen: Sighting | undefined, { identity, pod }: Candidate, monotonic: number): Move {
  if (seen === undefined) return 'create';
  const { holderIdentity, leaseDurationSeconds } = seen.spec;
  const free =
    holderIdentity === '' ||
    holderIdentity === identity ||
    (pod !== undefined && holderIdentity.startsWith(`${pod}_`)) ||
    monotonic - seen.changedAt >= leaseDurationSeconds * 1000;
  if (!free) return 'wait';
  return seen.object === undefined ? 'create' : 'update';
}

/** The Lease with us as its holder. @param now wall clock, epoch milliseconds; for people to read */
export function claimed(
  seen: Sighting | undefined,
  ref: { namespace: string; name: string },
  { identity }: Candidate,
  now: number,
): KubernetesObject {
  const time = microTime(now);
  const ours = seen?.spec.holderIdentity === identity;
  const transitions = seen?.spec.leaseTransitions ?? 0;
  return {
    metadata: seen?.object?.metadata ?? { ...ref },
    spec: {
      ...seen?.spec,
      holderIdentity: identity,
      leaseDurationSeconds: leaseDurationMs / 1000,
      acquireTime: ours ? (seen.spec.acquireTime ?? time) : time,
      renewTime: time,
      leaseTransitions: seen === undefined || ours ? transitions : transitions + 1,
    },
  };
}

/** The Lease with no holder: the next look of another takes it. */
export function released(object: KubernetesObject, now: number): KubernetesObject {
  const spec = specSchema.parse(object['spec'] ?? {});
  const time = microTime(now);
  return { ...object, spec: { ...spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: time } };
}

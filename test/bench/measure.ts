/** What every measure is made of: one run in a world of its own, and figures. */
import type { AuditEvent } from '../support/audit-log.ts';
import { hottest, PROFILES, type ProfileKind } from './profile.ts';
import { clientRef, type BenchWorld, type ClientRef, type OperatorUnderTest } from './world.ts';

export interface Figure {
  measure: string;
  value: number;
  unit: string;
  /** What it was measured against, in the same run. */
  peer?: { name: string; value: number };
}

export interface RunOptions {
  /** Counted from 0: who goes first alternates. */
  run: number;
  /** Default: the measure's own. */
  clients?: number | undefined;
  profile?: ProfileKind | undefined;
  /** Of B6. */
  restSeconds: number;
  /** Of the soak. */
  minutes: number;
  /** Of B7, in all. Default 1,000. */
  rotations?: number | undefined;
  /** Of B7: the longest time to a reload. Default 10. */
  reloadSeconds?: number | undefined;
  say: (line: string) => void;
}

export type Measure = (world: BenchWorld, options: RunOptions) => Promise<Figure[]>;

const WRITES = new Set(['create', 'update', 'patch', 'delete', 'deletecollection']);

/** All but the Lease, whose writes tell nothing of clients. */
export const isWrite = ({ verb, resource }: AuditEvent) => WRITES.has(verb) && resource !== 'leases';

/** The first so many clients. */
export const refs = (count: number, prefix?: string): ClientRef[] =>
  Array.from({ length: count }, (_, i) => clientRef(i, prefix));

/** Seconds, of performance.now(). */
export const since = (started: number) => (performance.now() - started) / 1000;

export async function readyOperator(world: BenchWorld, options: RunOptions): Promise<OperatorUnderTest> {
  const operator = await world.startOperator(options.profile);
  await world.platformReady();
  return operator;
}

/** Stops it, and tells of its profile where there is one. */
export async function finish(operator: OperatorUnderTest, { profile, say }: RunOptions): Promise<void> {
  const lag = await operator.metric('nodejs_eventloop_lag_p99_seconds');
  say(`event-loop lag p99 ${(lag * 1000).toFixed(1)} ms`);
  const mb = async (name: string) => `${((await operator.metric(name)) / 1e6).toFixed(0)} MB`;
  say(
    `heap ${await mb('nodejs_heap_size_used_bytes')} of ${await mb('nodejs_heap_size_total_bytes')}, ` +
      `external ${await mb('nodejs_external_memory_bytes')}, RSS ${await mb('process_resident_memory_bytes')}`,
  );
  await operator.stop();
  if (profile === 'cpu') for (const line of await hottest()) say(line);
  if (profile === 'heap') say(`the heap profile is in ${PROFILES}`);
}

import type { WorkQueueMetrics } from '../telemetry.ts';
import type { Clock } from './clock.ts';

export interface WorkQueueOptions {
  clock?: Clock;
  metrics?: WorkQueueMetrics;
  baseDelayMs?: number;
  maxDelayMs?: number;
  random?: () => number;
}

export declare class WorkQueue {
  constructor(options?: WorkQueueOptions);
  readonly depth: number;
  add(key: string): void;
  addAfter(key: string, delayMs: number): void;
  addRateLimited(key: string): void;
  forget(key: string): void;
  failures(key: string): number;
  take(): Promise<string | undefined>;
  done(key: string): void;
  /** Takes nothing more, drops what waits, resolves once nothing is being processed. */
  shutDown(): Promise<void>;
}

import type { ControllerMetrics, Logger } from '../telemetry.ts';
import type { Clock } from './clock.ts';
import type { WorkQueue } from './workqueue.ts';

export interface Result {
  requeueAfterMs?: number | undefined;
}
export interface ControllerOptions {
  name: string;
  workers: number;
  queue?: WorkQueue;
  reconcile: (key: string, signal: AbortSignal) => Promise<Result>;
  deadlineMs: number;
  clock?: Clock;
  logger: Logger;
  metrics?: ControllerMetrics;
}

export declare class Controller {
  constructor(options: ControllerOptions);
  readonly name: string;
  enqueue(key: string): void;
  enqueueAfter(key: string, delayMs: number): void;
  start(): void;
  stop(): Promise<void>;
  /** Milliseconds the oldest running reconcile has been at it beyond its deadline; 0 when all is well. */
  overdueMs(): number;
}

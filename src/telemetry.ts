import type { Logger as PinoLogger } from 'pino';
import type { Registry } from 'prom-client';

export type Logger = PinoLogger;

export type ReconcileResult = 'success' | 'error' | 'requeue' | 'requeue_after';

export interface ControllerMetrics {
  started(): void;
  finished(result: ReconcileResult, seconds: number): void;
  terminalError(): void;
  panic(): void;
  timeout(): void;
}
export interface WorkQueueMetrics {
  depth(value: number): void;
  added(): void;
  /** Seconds from being due to being taken. */
  taken(waitedSeconds: number): void;
  /** Seconds of work on one key. */
  worked(seconds: number): void;
  retried(): void;
  /** Read when scraped: seconds that each key under work has taken so far. */
  observeRunning(running: () => readonly number[]): void;
}
export interface InformerMetrics {
  state(state: string): void;
  objects(count: number): void;
  activity(epochMs: number): void;
  relisted(): void;
  available(available: boolean): void;
}
export interface RequestMetrics {
  request(method: string, host: string, code: string): void;
}
export interface Metrics {
  readonly registry: Registry;
  readonly requests: RequestMetrics;
  controller(name: string, maxConcurrent: number): ControllerMetrics;
  workQueue(name: string): WorkQueueMetrics;
  informer(resource: string): InformerMetrics;
}
export declare function createMetrics(): Metrics;
export declare function createLogger(options?: { level?: string; destination?: NodeJS.WritableStream }): Logger;

import type { Metrics } from '../telemetry.ts';

/** One reason for being unhealthy or unready, undefined when all is well. */
export type Check = () => string | undefined;

export interface OperatorServerOptions {
  host?: string;
  /** 0 takes any free port. */
  port: number;
  metrics: Metrics;
  /** Liveness: event-loop lag is checked anyway. */
  health?: Readonly<Record<string, Check>>;
  readiness?: Readonly<Record<string, Check>>;
}
export interface OperatorServer {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}
export declare function startOperatorServer(options: OperatorServerOptions): Promise<OperatorServer>;

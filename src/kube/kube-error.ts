import { OperatorError } from '../errors.ts';

export interface StatusCause {
  field?: string;
  message?: string;
  reason?: string;
}

export declare class KubeError extends OperatorError {
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** `reason` of the API server's Status, or `Timeout`, `Unavailable` when no answer came. */
  readonly reason: string;
  readonly causes: readonly StatusCause[];
  readonly retryAfterMs: number | undefined;
  /** Field managers that own what a server-side apply wanted to set. */
  readonly conflictingManagers: readonly string[];
}

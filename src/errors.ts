/** How a failed operation is tried again: paced by the work queue, at a given delay, or only after something changes. */
export type Retry =
  /** `longestMs`: the pauses grow up to this; default {@link REFUSED_AGAIN_MS}, so that what is put right works within a minute. */
  { class: 'backoff'; longestMs?: number } | { class: 'after'; milliseconds: number } | { class: 'terminal' };

/**
 * When what was refused is tried again: within a minute of its being put right it works, the work of it included. Nobody has
 * to act on what is tried again sooner.
 */
export const REFUSED_AGAIN_MS = 45_000;

export interface OperatorErrorOptions {
  /** Private detail for the log; never shown in status or events. Must not carry key material or tokens. */
  detail?: string;
  cause?: unknown;
  retry?: Retry;
}

/**
 * The one error class. `code` is stable, CamelCase, and doubles as condition reason; `message` is public: it says
 * what happened and what to do, and may appear in status, events and logs.
 */
export class OperatorError extends Error {
  override readonly name = 'OperatorError';
  readonly code: string;
  readonly retry: Retry;
  readonly detail: string | undefined;

  constructor(code: string, publicMessage: string, options: OperatorErrorOptions = {}) {
    super(publicMessage, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retry = options.retry ?? { class: 'backoff' };
    this.detail = options.detail;
  }
}

/** Unknown exceptions become one public sentence; their text may hold anything and stays in the log. */
export function asOperatorError(error: unknown): OperatorError {
  if (error instanceof OperatorError) return error;
  return new OperatorError(
    'InternalError',
    'An internal error occurred; the operator log has the details. It is retried.',
    {
      cause: error,
      detail: error instanceof Error ? `${error.name}: ${error.message}` : typeof error,
    },
  );
}

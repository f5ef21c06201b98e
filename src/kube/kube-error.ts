import { OperatorError, type Retry } from '../errors.ts';

/** One entry of a Status's `details.causes`. */
export interface StatusCause {
  field?: string;
  message?: string;
  reason?: string;
}

export interface KubeErrorOptions {
  status: number;
  reason: string;
  causes?: readonly StatusCause[];
  retryAfterMs?: number | undefined;
  cause?: unknown;
}

/** Everything waits for the API server, so that after an outage it is asked sooner than others. */
const longestPauseMs = 15_000;

/** Messages of the API server may quote what was sent; a short one says what is wrong, a long one carries the object. */
const longestMessage = 1024;

/** Stable codes, which double as condition reasons. Reasons not named here become `KubernetesError`. */
const codes: Readonly<Record<string, string>> = {
  Unauthorized: 'KubernetesUnauthorized',
  Forbidden: 'KubernetesForbidden',
  NotFound: 'KubernetesNotFound',
  AlreadyExists: 'KubernetesAlreadyExists',
  Conflict: 'KubernetesConflict',
  Gone: 'KubernetesExpired',
  Expired: 'KubernetesExpired',
  Invalid: 'KubernetesInvalid',
  TooManyRequests: 'KubernetesBusy',
  Timeout: 'KubernetesTimeout',
  Unavailable: 'KubernetesUnavailable',
  Cancelled: 'KubernetesCancelled',
};

/**
 * A call to the API server that failed. Carries the Status's words, never the request: bodies hold Secrets and headers
 * hold tokens.
 */
export class KubeError extends OperatorError {
  /** HTTP status; 0 when no answer came. */
  readonly status: number;
  /** `reason` of the Status; `Timeout`, `Unavailable` or `Cancelled` when no answer came. */
  readonly reason: string;
  readonly causes: readonly StatusCause[];
  /** From `Retry-After`, or the Status's `retryAfterSeconds`. */
  readonly retryAfterMs: number | undefined;
  /** Field managers that own what a server-side apply wanted to set. */
  readonly conflictingManagers: readonly string[];

  constructor(message: string, options: KubeErrorOptions) {
    const retry: Retry =
      options.retryAfterMs === undefined
        ? { class: 'backoff', longestMs: longestPauseMs }
        : { class: 'after', milliseconds: Math.max(1, options.retryAfterMs) };
    super(codes[options.reason] ?? 'KubernetesError', message, {
      retry,
      ...(options.cause === undefined ? {} : { cause: options.cause }),
    });
    this.status = options.status;
    this.reason = options.reason;
    this.causes = options.causes ?? [];
    this.retryAfterMs = options.retryAfterMs;
    this.conflictingManagers = managersIn(this.causes);
  }
}

/** The resource version is too old: HTTP 410, or the same inside a watch (with reason `Expired` or `Gone`). */
export function isExpired(error: unknown): boolean {
  return error instanceof KubeError && (error.status === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}

/** `conflict with "manager" using apps/v1`: the only place where the API server names the other field manager. */
function managersIn(causes: readonly StatusCause[]): string[] {
  const names = causes
    .filter((cause) => cause.reason === 'FieldManagerConflict')
    .map((cause) => /^conflict with "((?:[^"\\]|\\.)*)"/.exec(cause.message ?? '')?.[1])
    .filter((name) => name !== undefined);
  return [...new Set(names)];
}

const reasonsByStatus: Readonly<Record<number, string>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Gone',
  422: 'Invalid',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/**
 * Reads a `Status` (meta/v1). Proxies and webhooks answer with anything, so nothing of `body` is taken for granted;
 * what is no Status contributes no text.
 *
 * @param action what was tried, for the message: `update secrets payments/batch`
 */
export function errorFromStatus(
  action: string,
  body: unknown,
  answer: { status: number; retryAfter?: string | undefined },
): KubeError {
  const status = isRecord(body) && body['kind'] === 'Status' ? body : {};
  const details = isRecord(status['details']) ? status['details'] : {};
  const code = answer.status === 0 && typeof status['code'] === 'number' ? status['code'] : answer.status;
  const reason = text(status['reason']) ?? reasonsByStatus[code] ?? 'Unknown';
  const message = text(status['message']) ?? `HTTP status ${code}`;
  return new KubeError(`The Kubernetes API server refused to ${action}: ${clip(message)}`, {
    status: code,
    reason,
    causes: Array.isArray(details['causes']) ? details['causes'].filter(isRecord).map(parseCause) : [],
    retryAfterMs: parseRetryAfter(answer.retryAfter) ?? seconds(details['retryAfterSeconds']),
  });
}

function parseCause(cause: Readonly<Record<string, unknown>>): StatusCause {
  const [field, message, reason] = [text(cause['field']), text(cause['message']), text(cause['reason'])];
  return {
    ...(field === undefined ? {} : { field }),
    ...(message === undefined ? {} : { message: clip(message) }),
    ...(reason === undefined ? {} : { reason }),
  };
}

/** RFC 9110 §10.2.3; the API server sends seconds only, a proxy in front of it may send a date. */
function parseRetryAfter(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d{1,9}$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

function seconds(value: unknown): number | undefined {
  return typeof value === 'number' && value > 0 ? value * 1000 : undefined;
}

function clip(message: string): string {
  return message.length > longestMessage ? `${message.slice(0, longestMessage - 1)}…` : message;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null;
}

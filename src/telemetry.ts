import { type DestinationStream, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';
import type { Registry } from 'prom-client';
import { OperatorError } from './errors.ts';

/** Without children: what they have in each line is not looked through for secrets. */
export type Logger = Pick<PinoLogger, 'debug' | 'info' | 'warn' | 'error' | 'fatal'>;

export type ReconcileResult = 'success' | 'error' | 'requeue_after';

export interface ControllerMetrics {
  started(): void;
  finished(result: ReconcileResult, seconds: number): void;
  terminalError(): void;
  /** An exception that is no OperatorError. */
  panic(): void;
  timeout(): void;
}

export interface WorkQueueMetrics {
  depth(value: number): void;
  added(): void;
  /** Seconds from being ready to being taken. */
  taken(waitedSeconds: number): void;
  /** Seconds of work on one key. */
  worked(seconds: number): void;
  retried(): void;
  /** Called at each scrape: the seconds that each key under work has taken so far. */
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
  /** @param code HTTP status, or `<error>` when no answer came, as client-go has it */
  request(method: string, host: string, code: string): void;
}

export interface LeaderElectionMetrics {
  leading(value: boolean): void;
}

/** What is asked of authorization servers, by the name of the AuthorizationServer. */
export interface ServerCallMetrics {
  /** @param outcome the class of the status, or why no answer came */
  call(server: string, operation: string, outcome: string, seconds: number): void;
  /** A certificate was tried at the server. */
  proof(server: string, outcome: string): void;
  /** A request was sent only after a while, for others went before it. */
  waited(server: string, seconds: number): void;
  /** Whether everything of it answers. */
  available(server: string, available: boolean): void;
  /** It is gone. */
  forgotten(server: string): void;
  /** Somebody else changed this member of a registration, and it is put back. */
  restored(server: string, member: string): void;
}

/** What live connections to terminators show. */
export interface TerminatorProofMetrics {
  /** A host was asked, at every address. @param controller one that the platform named */
  round(controller: string, outcome: 'passed' | 'failed' | 'unclear'): void;
}

export interface ClientMetrics {
  /** A registration outlives its OAuthClient. @param server empty where its AuthorizationServer is gone */
  leftBehind(server: string, cause: string): void;
}

export interface Metrics {
  readonly registry: Registry;
  readonly requests: RequestMetrics;
  controller(name: string, maxConcurrent: number): ControllerMetrics;
  workQueue(name: string): WorkQueueMetrics;
  informer(resource: string): InformerMetrics;
  leaderElection(lease: string): LeaderElectionMetrics;
  readonly serverCalls: ServerCallMetrics;
  readonly clients: ClientMetrics;
  readonly terminatorProofs: TerminatorProofMetrics;
}

/** Field names that hold key material or tokens anywhere in this program: API objects, OAuth messages, HTTP headers. */
const secretFields: ReadonlySet<string> = new Set([
  'data',
  'stringData',
  'tls.key',
  'tls-bundle.pem',
  'keystore.p12',
  'privateKey',
  'private_key',
  'pkcs8',
  'pkcs12',
  'password',
  'passphrase',
  'token',
  'access_token',
  'accessToken',
  'refresh_token',
  'registration_access_token',
  'registrationAccessToken',
  'client_secret',
  'clientSecret',
  'client_assertion',
  'authorization',
  'Authorization',
  'cookie',
  'headers',
  'body',
]);

/** Fields of fields; nothing deeper is logged. */
const levels = 6;

/** Without what such fields hold; the same object where it has none. pino's own redaction walks a hundred paths for each line. */
function withoutSecrets(fields: Record<string, unknown>, level = 1): Record<string, unknown> {
  const changed = Object.entries(fields).flatMap(([key, value]): [string, unknown][] => {
    if (level === 1 && key in serializers) return [];
    const safe = secretFields.has(key) ? '[redacted]' : redacted(value, level);
    return safe === value ? [] : [[key, safe]];
  });
  return changed.length === 0 ? fields : { ...fields, ...Object.fromEntries(changed) };
}

/** What prints itself as JSON has no fields. */
function redacted(value: unknown, level: number): unknown {
  if (level >= levels || typeof value !== 'object' || value === null || 'toJSON' in value) return value;
  const found = Object.fromEntries(Object.entries(value));
  const safe = withoutSecrets(found, level + 1);
  if (safe === found) return value;
  return Array.isArray(value) ? Object.values(safe) : safe;
}

const privateKeyBlock = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|$)/gs;
/** Also one that was cut off: its claims are as private as the whole. */
const compactJws = /\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?/g;

/** The last net under the redaction by name: keys and tokens inside a longer text. */
function scrub(line: string): string {
  if (!line.includes('PRIVATE KEY-----') && !line.includes('eyJ')) return line;
  const ending = line.endsWith('\n') ? '\n' : '';
  // A block cut off takes the rest of the line with it; what is left need not be JSON then.
  return `${line.trimEnd().replaceAll(privateKeyBlock, '[private key]').replaceAll(compactJws, '[token]')}${ending}`;
}

interface PrintedError {
  type: string;
  code?: string;
  message: string;
  detail?: string;
  stack?: string;
  cause?: PrintedError;
}

const deepestCause = 4;

/** Code, message, detail, stack and causes; never a field that some library put on its error (bodies, headers). */
function printError(error: unknown, depth = 0): PrintedError {
  if (!(error instanceof Error))
    return { type: typeof error, message: typeof error === 'string' ? error : '(no Error)' };
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const detail = error instanceof OperatorError ? error.detail : undefined;
  return {
    type: error.name,
    ...(code === undefined ? {} : { code }),
    message: error.message,
    ...(detail === undefined ? {} : { detail }),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(error.cause === undefined || depth >= deepestCause ? {} : { cause: printError(error.cause, depth + 1) }),
  };
}

const serializers = {
  err: (error: unknown) => printError(error),
  error: (error: unknown) => printError(error),
};

/** JSON lines on stdout (or `destination`). `err` and `error` are printed by `printError`. */
export function createLogger({
  level = 'info',
  destination,
}: { level?: string; destination?: DestinationStream } = {}): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }), log: withoutSecrets },
      serializers,
      hooks: { streamWrite: scrub },
    },
    destination ?? pino.destination({ fd: 1, sync: true }),
  );
}

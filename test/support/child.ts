import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ChildOptions {
  command: string;
  args: readonly string[];
  /** stdout and stderr are appended here. */
  logFile: string;
  /** Replaces the whole environment; by default the child has ours. */
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Lives on when this process exits. */
  outlive?: boolean;
}

export interface Child {
  readonly pid: number;
  readonly logFile: string;
  /** Resolves once the process is gone, with its exit code or the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  running(): boolean;
  /** The last lines that it wrote. */
  tail(lines?: number): Promise<string>;
  /** SIGTERM, after `graceMs` (default 10 s) SIGKILL. Resolves when the process is gone. */
  end(graceMs?: number): Promise<void>;
}

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const live = new Set<ChildProcess>();
const cleanups = new Set<() => void>();
let watching = false;

function killAll(): void {
  for (const child of live) child.kill('SIGKILL');
  for (const cleanup of cleanups) cleanup();
}

/** Runs a synchronous clean-up after the children were killed, when this process ends before `cancel` was called. */
export function onOwnExit(cleanup: () => void): { cancel(): void } {
  watchOwnExit();
  cleanups.add(cleanup);
  return { cancel: () => void cleanups.delete(cleanup) };
}

/**
 * Children die with us. Where somebody else listens for the signal too, ending gracefully is theirs, and the 'exit'
 * event follows; where nobody does, the listener must not keep the process from ending by the signal as it would have.
 */
function watchOwnExit(): void {
  if (watching) return;
  watching = true;
  process.on('exit', killAll);
  for (const signal of ENDING_SIGNALS) {
    const onSignal = (): void => {
      if (process.listenerCount(signal) > 1) return;
      killAll();
      process.removeListener(signal, onSignal);
      process.kill(process.pid, signal);
    };
    process.on(signal, onSignal);
  }
}

/** Until the returned function is called it does nothing at all. */
export function freeze({ pid }: Pick<Child, 'pid'>): () => void {
  process.kill(pid, 'SIGSTOP');
  return () => void process.kill(pid, 'SIGCONT');
}

async function tailOf(logFile: string, lines = 30): Promise<string> {
  const text = await readFile(logFile, 'utf8').catch(() => '');
  return text.trimEnd().split('\n').slice(-lines).join('\n');
}

/** Starts a process and waits until it runs; fails where the command cannot be executed. */
export async function startChild(options: ChildOptions): Promise<Child> {
  watchOwnExit();
  const log = openSync(options.logFile, 'a');
  let child: ChildProcess;
  try {
    child = spawn(options.command, options.args, {
      stdio: ['ignore', log, log],
      env: options.env ?? process.env,
      cwd: options.cwd,
      // A group of its own: Ctrl-C in a terminal reaches us, and we end it in the right order.
      detached: true,
    });
  } finally {
    closeSync(log);
  }
  if (options.outlive !== true) live.add(child);
  const exited = new Promise<number | NodeJS.Signals>((resolve) => {
    child.once('exit', (code, signal) => {
      live.delete(child);
      resolve(code ?? signal ?? 'SIGKILL');
    });
  });
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', (error) => {
      live.delete(child);
      reject(error);
    });
    child.once('spawn', () => resolve(child.pid ?? 0));
  });
  if (options.outlive === true) child.unref();

  const running = () => child.exitCode === null && child.signalCode === null;
  // Whether a signal found its process shows in `exited`; a failed kill of one that has just gone is no error.
  child.on('error', () => undefined);
  return {
    pid,
    logFile: options.logFile,
    exited,
    running,
    tail: (lines) => tailOf(options.logFile, lines),
    async end(graceMs = 10_000) {
      if (!running()) return;
      child.kill('SIGTERM');
      const cancelled = new AbortController();
      const timeUp = sleep(graceMs, 'time is up', { signal: cancelled.signal }).catch(() => undefined);
      const first = await Promise.race([exited, timeUp]);
      cancelled.abort();
      if (first === 'time is up') child.kill('SIGKILL');
      await exited;
    },
  };
}

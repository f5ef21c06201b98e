import { resolve } from 'node:path';
import { readFile } from 'node:fs/promises';
import { freePort } from './free-port.ts';
import { startChild } from './child.ts';
import { waitFor } from './wait-for.ts';

export interface OperatorProcess {
  readonly pid: number;
  /** Resolves once it is gone, with its exit code or the signal that ended it. */
  readonly exited: Promise<number | string>;
  /** Everything that it logged. */
  log(): Promise<string>;
  metrics(): Promise<string>;
  /** What kubelet sees. */
  probe(path: '/healthz' | '/readyz'): Promise<{ ok: boolean; text: string }>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | string>;
  /** SIGKILL. */
  kill(): Promise<void>;
  signal(signal: 'SIGSTOP' | 'SIGCONT' | 'SIGTERM'): void;
}

/** What runs `certbound operator` with this configuration, which is in its environment too. */
export type OperatorCommand = (
  configuration: Readonly<Record<string, string>>,
) => Promise<{ file: string; args: readonly string[] }>;

export interface OperatorOptions {
  /** Absent: the Pod's service account. */
  kubeconfigPath?: string;
  clusterId: string;
  logFile: string;
  /** Default: from source. */
  command?: OperatorCommand;
  environment?: Record<string, string>;
}

const fromSource: OperatorCommand = async () => ({
  file: process.execPath,
  args: [resolve(import.meta.dirname, '../../src/main.ts'), 'operator'],
});

/** The operator as it is shipped, in a process of its own; resolves when it is ready. */
export async function startOperator(options: OperatorOptions): Promise<OperatorProcess> {
  const port = await freePort();
  const configuration = {
    ...(options.kubeconfigPath === undefined ? {} : { KUBECONFIG: options.kubeconfigPath }),
    CERTBOUND_CLUSTER_ID: options.clusterId,
    CERTBOUND_HTTP_ADDRESS: '127.0.0.1',
    CERTBOUND_HTTP_PORT: String(port),
    CERTBOUND_LOG_LEVEL: 'debug',
    // One at a time: on a machine that stands still for ten seconds a lost Lease would end it, as it should.
    CERTBOUND_LEADER_ELECTION: 'false',
    // Started again it is the next container of the same Pod; who runs two at a time names them.
    CERTBOUND_POD_NAME: 'certbound-0',
    ...options.environment,
  };
  const { file, args } = await (options.command ?? fromSource)(configuration);
  const child = await startChild({
    command: file,
    args,
    logFile: options.logFile,
    // Half of what a start costs is the reading of modules, and tests start a hundred operators.
    env: { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], ...configuration },
  });
  const answers = async (path: string, deadlineMs = 5_000) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(deadlineMs) });
    return { ok: answer.ok, text: await answer.text() };
  };
  let last = '';
  await waitFor(async () => {
    if (!child.running()) throw new Error(`the operator ended: ${await child.tail()}`);
    return answers('/readyz').then(
      ({ ok, text }) => {
        last = text;
        return ok;
      },
      () => false,
    );
  }, 60_000).catch(async (cause: unknown) => {
    await child.end();
    throw new Error(`the operator did not become ready. ${last}\n${await child.tail(5)}`, { cause });
  });
  return {
    pid: child.pid,
    exited: child.exited,
    log: () => readFile(options.logFile, 'utf8'),
    metrics: async () => (await answers('/metrics')).text,
    probe: (path) => answers(path, 30_000),
    async stop() {
      await child.end();
      return child.exited;
    },
    async kill() {
      process.kill(child.pid, 'SIGKILL');
      await child.exited;
    },
    signal: (signal) => void process.kill(child.pid, signal),
  };
}

/** A server in Java: it has a folder of its own, takes its time to start, and both end together. */
import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onOwnExit, startChild } from './child.ts';
import { java } from './java.ts';
import { withProgress } from './progress.ts';
import { waitFor } from './wait-for.ts';

/** A starved machine takes minutes. */
const START_LIMIT_MS = 900_000;
const END_GRACE_MS = 20_000;
const REMOVAL = { recursive: true, force: true, maxRetries: 3 };

export interface ServerFolder {
  readonly path: string;
  remove(): Promise<void>;
}

/** Gone with this process too, whatever becomes of it. */
export async function serverFolder(name: string): Promise<ServerFolder> {
  const path = await mkdtemp(join(tmpdir(), `certbound-${name}-`));
  const abandoned = onOwnExit(() => rmSync(path, REMOVAL));
  return {
    path,
    async remove() {
      abandoned.cancel();
      await rm(path, REMOVAL);
    },
  };
}

export interface JavaServerOptions {
  /** For people. */
  name: string;
  /** What else may help where it does not start. */
  hint?: string;
  folder: ServerFolder;
  /** Of `java`. */
  args: readonly string[];
  environment?: Readonly<Record<string, string>>;
  /** Whether it serves what is asked of it. */
  readonly answers: () => Promise<boolean>;
}

export interface JavaServer {
  readonly log: () => Promise<string>;
  readonly stop: () => Promise<void>;
}

/** Serves when this resolves. @throws with its last words, where it does not start; its folder is gone then */
export async function startJavaServer(options: JavaServerOptions): Promise<JavaServer> {
  const { name, hint = '', folder, args, environment = {}, answers } = options;
  const child = await startChild({
    command: await java(),
    args,
    logFile: join(folder.path, 'server.log'),
    env: { PATH: process.env['PATH'], ...environment },
  });
  const stop = async () => {
    await child.end(END_GRACE_MS);
    await folder.remove();
  };
  const isUp = async () => {
    if (!child.running()) throw new Error('it ended');
    return answers().catch(() => false);
  };
  await withProgress(`starting ${name}`, () => waitFor(isUp, START_LIMIT_MS)).catch(async (cause: unknown) => {
    const tail = await child.tail(40);
    await stop();
    throw new Error(`${name} did not start ${hint}\n${tail}`, { cause });
  });
  return { log: () => child.tail(100_000), stop };
}

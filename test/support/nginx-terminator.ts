import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { type Child, onOwnExit, startChild } from './child.ts';
import type { IngressModel } from './ingress-model.ts';
import { accepts } from './listen.ts';
import { type NginxConfiguration, renderNginxConfiguration, WORKERS } from './nginx-configuration.ts';
import type { Terminator, TerminatorOptions } from './terminator.ts';

const run = promisify(execFile);
const DEADLINE_MS = 30_000;

const entrySchema = z.object({
  time: z.string(),
  host: z.string(),
  sni: z.string(),
  method: z.string(),
  uri: z.string(),
  status: z.string(),
  upstreamStatus: z.string(),
  verify: z.string(),
  clientSerial: z.string(),
  sessionReused: z.string(),
});

class NginxTerminator implements Terminator {
  readonly #binary: string;
  readonly #directory: string;
  readonly #options: TerminatorOptions;
  #active: NginxConfiguration = { text: '', files: new Map() };
  #child: Child | undefined;
  /** A killed master leaves its workers behind, with the ports; they share its process group. */
  readonly #abandoned = onOwnExit(() => {
    try {
      if (this.#child !== undefined) process.kill(-this.#child.pid, 'SIGTERM');
    } catch {
      // The whole group is gone.
    }
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 3 });
  });

  constructor(binary: string, directory: string, options: TerminatorOptions) {
    this.#binary = binary;
    this.#directory = directory;
    this.#options = options;
  }

  get #logFile(): string {
    return join(this.#directory, 'error.log');
  }

  #arguments(configuration: string): string[] {
    return ['-p', `${this.#directory}/`, '-e', 'stderr', '-c', join(this.#directory, configuration)];
  }

  async apply(model: IngressModel): Promise<boolean> {
    const root = process.getuid?.() === 0;
    const wanted = renderNginxConfiguration(model, { ...this.#options, ...(root ? { user: 'root' } : {}) });
    if (wanted.text === this.#active.text) return false;
    for (const [name, content] of wanted.files) await writeFile(join(this.#directory, name), content, { mode: 0o600 });
    await writeFile(join(this.#directory, 'next.conf'), wanted.text);
    await run(this.#binary, ['-t', '-q', ...this.#arguments('next.conf')], { timeout: DEADLINE_MS }).catch(
      (error: unknown) => {
        throw new Error('nginx refuses the configuration', { cause: error });
      },
    );
    await rename(join(this.#directory, 'next.conf'), join(this.#directory, 'nginx.conf'));
    await (this.#child === undefined ? this.#start() : this.#reload(this.#child));
    this.#active = wanted;
    return true;
  }

  async #start(): Promise<void> {
    const child = await startChild({
      command: this.#binary,
      args: this.#arguments('nginx.conf'),
      logFile: this.#logFile,
    });
    this.#child = child;
    await this.#until('nginx accepts connections', child, async () => {
      const { address, httpsPort, httpPort } = this.#options;
      return (await accepts(httpsPort, address)) && (await accepts(httpPort, address));
    });
  }

  /** New workers start first; the handover is done when each old one has said that it accepts no more. */
  async #reload(child: Child): Promise<void> {
    const retired = async () =>
      ((await readFile(this.#logFile, 'utf8')).match(/ gracefully shutting down$/gm) ?? []).length;
    const before = await retired();
    process.kill(child.pid, 'SIGHUP');
    await this.#until('nginx has reloaded', child, async () => (await retired()) >= before + WORKERS);
  }

  async #until(what: string, child: Child, condition: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + DEADLINE_MS;
    while (!(await condition())) {
      if (!child.running() || performance.now() > deadline) {
        throw new Error(`not so in time: ${what}\n${await child.tail()}`);
      }
      await sleep(10);
    }
  }

  configuration(): string {
    return this.#active.text;
  }

  async accessLog(): Promise<ReturnType<typeof entrySchema.parse>[]> {
    const text = await readFile(join(this.#directory, 'access.log'), 'utf8').catch(() => '');
    return text
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => entrySchema.parse(JSON.parse(line)));
  }

  async stop(): Promise<void> {
    await this.#child?.end();
    this.#abandoned.cancel();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** nginx in a folder of its own; it runs from the first `apply` on. */
export async function createNginxTerminator(binary: string, options: TerminatorOptions): Promise<Terminator> {
  const directory = await mkdtemp(join(tmpdir(), 'certbound-nginx-'));
  for (const name of ['ssl', 'tmp']) await mkdir(join(directory, name));
  return new NginxTerminator(binary, directory, options);
}

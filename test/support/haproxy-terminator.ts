import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { type Child, onOwnExit, startChild } from './child.ts';
import {
  type HaproxyConfiguration,
  type HaproxyConfigurationOptions,
  renderHaproxyConfiguration,
} from './haproxy-configuration.ts';
import type { IngressModel } from './ingress-model.ts';
import { accepts } from './listen.ts';
import type { AccessLogEntry, Terminator } from './terminator.ts';

const run = promisify(execFile);
const DEADLINE_MS = 30_000;

const text = z.string().transform((value) => (value === '-' ? '' : value));
const entrySchema = z
  .object({
    time: text,
    host: text,
    sni: text,
    method: text,
    uri: text,
    status: text,
    verify: text,
    clientSerial: text,
    sessionReused: text,
  })
  .transform((entry): AccessLogEntry => ({
    ...entry,
    upstreamStatus: '',
    verify: entry.clientSerial === '' ? 'NONE' : entry.verify === '0' ? 'SUCCESS' : `FAILED:${entry.verify}`,
    sessionReused: entry.sessionReused === '1' ? 'r' : '.',
  }));

/** HAProxy under a master, as haproxy-ingress runs it: listeners are handed over at a reload. */
class HaproxyTerminator implements Terminator {
  readonly #binary: string;
  readonly #directory: string;
  readonly #options: HaproxyConfigurationOptions;
  #active: HaproxyConfiguration = { text: '', files: new Map() };
  #child: Child | undefined;
  /** A killed master may leave its workers behind, with the ports; they share its process group. */
  readonly #abandoned = onOwnExit(() => {
    try {
      if (this.#child !== undefined) process.kill(-this.#child.pid, 'SIGTERM');
    } catch {
      // The whole group is gone.
    }
    rmSync(this.#directory, { recursive: true, force: true, maxRetries: 3 });
  });

  constructor(binary: string, directory: string, options: HaproxyConfigurationOptions) {
    this.#binary = binary;
    this.#directory = directory;
    this.#options = options;
  }

  get #logFile(): string {
    return join(this.#directory, 'haproxy.log');
  }

  async apply(model: IngressModel): Promise<boolean> {
    const wanted = renderHaproxyConfiguration(model, this.#options);
    if (wanted.text === this.#active.text) return false;
    for (const [name, content] of wanted.files) await writeFile(join(this.#directory, name), content, { mode: 0o600 });
    await writeFile(join(this.#directory, 'next.cfg'), wanted.text);
    const check = ['-c', '-C', this.#directory, '-f', 'next.cfg'];
    await run(this.#binary, check, { timeout: DEADLINE_MS }).catch((error: unknown) => {
      throw new Error('haproxy refuses the configuration', { cause: error });
    });
    await rename(join(this.#directory, 'next.cfg'), join(this.#directory, 'haproxy.cfg'));
    await (this.#child === undefined ? this.#start() : this.#reload(this.#child));
    this.#active = wanted;
    return true;
  }

  async #start(): Promise<void> {
    const child = await startChild({
      command: this.#binary,
      args: ['-W', '-db', '-S', join(this.#directory, 'master.sock'), '-C', this.#directory, '-f', 'haproxy.cfg'],
      logFile: this.#logFile,
    });
    this.#child = child;
    await this.#until('haproxy accepts connections', child, async () => {
      const { address, httpsPort, httpPort } = this.#options;
      return (await accepts(httpsPort, address)) && (await accepts(httpPort, address));
    });
  }

  /** Done when there is a new worker, and each older one says that it accepts no more. */
  async #reload(child: Child): Promise<void> {
    const before = await this.#workers();
    process.kill(child.pid, 'SIGUSR2');
    await this.#until('haproxy has reloaded', child, async () => {
      const { current, old } = await this.#workers();
      if (current.length === 0 || current.some((pid) => before.current.includes(pid))) return false;
      const answers = await Promise.all(old.map((pid) => this.#ask(`@!${pid} show info`).catch(() => '')));
      return answers.every((answer) => !/^Stopping: 0$/m.test(answer));
    });
  }

  async #workers(): Promise<{ current: string[]; old: string[] }> {
    const shown = await this.#ask('show proc').catch(() => '');
    const [now = '', before = ''] = shown.split('# old workers');
    const pids = (lines: string): string[] => [...lines.matchAll(/^(\d+)\s+worker/gm)].flatMap(([, pid]) => pid ?? []);
    return { current: pids(now), old: pids(before) };
  }

  /** At the master's command line. */
  #ask(command: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(join(this.#directory, 'master.sock'));
      const chunks: Buffer[] = [];
      socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error('the master does not answer')));
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.once('error', reject);
      socket.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
      socket.end(`${command}\n`);
    });
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
    return [this.#active.text, ...[...this.#active.files].filter(([name]) => name.endsWith('.list')).map(String)].join(
      '\n',
    );
  }

  async accessLog(): Promise<AccessLogEntry[]> {
    const log = await readFile(this.#logFile, 'utf8').catch(() => '');
    return log
      .split('\n')
      .filter((line) => line.startsWith('{"time"'))
      .map((line) => entrySchema.parse(JSON.parse(line)));
  }

  async stop(): Promise<void> {
    await this.#child?.end();
    this.#abandoned.cancel();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** HAProxy in a folder of its own; it runs from the first `apply` on. */
export async function createHaproxyTerminator(
  binary: string,
  options: HaproxyConfigurationOptions,
): Promise<Terminator> {
  const directory = await mkdtemp(join(tmpdir(), 'certbound-haproxy-'));
  await mkdir(join(directory, 'ssl'));
  return new HaproxyTerminator(binary, directory, options);
}

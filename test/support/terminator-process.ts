import { execFile } from 'node:child_process';
import { rmSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { type Child, onOwnExit, startChild } from './child.ts';
import { accepts } from './listen.ts';
import type { TerminatorFiles, TerminatorOptions } from './terminator.ts';

const run = promisify(execFile);
export const DEADLINE_MS = 30_000;

/** How one product is started, checks a configuration, and takes another one. */
export interface TerminatorProgram {
  /** As errors name it. */
  name: string;
  binary: string;
  /** Of its configuration, in its folder. */
  fileName: string;
  /** What it writes to its standard output and error; in its folder. */
  logName: string;
  startArguments: readonly string[];
  /** @param fileName of the configuration to be checked */
  checkArguments(fileName: string): readonly string[];
  /** Sends what makes it reload, and says by when it has done so: until then it is asked again. */
  reload(child: Child): Promise<() => Promise<boolean>>;
}

/** A terminator that is a master with workers, in a folder of its own; it runs from the first configuration on. */
export class TerminatorProcess {
  readonly directory: string;
  readonly #program: TerminatorProgram;
  readonly #options: Pick<TerminatorOptions, 'address' | 'httpsPort' | 'httpPort'>;
  #active: TerminatorFiles = { text: '', files: new Map() };
  #child: Child | undefined;
  /** A killed master may leave its workers behind, with the ports; they share its process group. */
  readonly #abandoned = onOwnExit(() => {
    try {
      if (this.#child !== undefined) process.kill(-this.#child.pid, 'SIGTERM');
    } catch {
      // The whole group is gone.
    }
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
  });

  constructor(
    directory: string,
    program: TerminatorProgram,
    options: Pick<TerminatorOptions, 'address' | 'httpsPort' | 'httpPort'>,
  ) {
    this.directory = directory;
    this.#program = program;
    this.#options = options;
  }

  /** What it runs with. */
  get active(): TerminatorFiles {
    return this.#active;
  }

  /** @returns whether it was another one; it is live when this resolves. */
  async apply(wanted: TerminatorFiles): Promise<boolean> {
    if (wanted.text === this.#active.text) return false;
    const { name, binary, fileName } = this.#program;
    for (const [file, content] of wanted.files) await writeFile(join(this.directory, file), content, { mode: 0o600 });
    const next = `next.${fileName}`;
    await writeFile(join(this.directory, next), wanted.text);
    await run(binary, this.#program.checkArguments(next), { timeout: DEADLINE_MS }).catch((error: unknown) => {
      throw new Error(`${name} refuses the configuration`, { cause: error });
    });
    await rename(join(this.directory, next), join(this.directory, fileName));
    await (this.#child === undefined ? this.#start() : this.#reload(this.#child));
    this.#active = wanted;
    return true;
  }

  async #start(): Promise<void> {
    const { name, binary, startArguments, logName } = this.#program;
    const child = await startChild({
      command: binary,
      args: startArguments,
      logFile: join(this.directory, logName),
    });
    this.#child = child;
    await this.#until(`${name} accepts connections`, child, async () => {
      const { address, httpsPort, httpPort } = this.#options;
      return (await accepts(httpsPort, address)) && (await accepts(httpPort, address));
    });
  }

  async #reload(child: Child): Promise<void> {
    const done = await this.#program.reload(child);
    await this.#until(`${this.#program.name} has reloaded`, child, done);
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

  async stop(): Promise<void> {
    await this.#child?.end();
    this.#abandoned.cancel();
    await rm(this.directory, { recursive: true, force: true });
  }
}

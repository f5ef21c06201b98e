import { mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { renderNginxConfiguration, WORKERS } from './nginx-configuration.ts';
import { TerminatorProcess, type TerminatorProgram } from './terminator-process.ts';
import type { Terminator, TerminatorOptions } from './terminator.ts';

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

function program(binary: string, directory: string): TerminatorProgram {
  const logName = 'error.log';
  const fileName = 'nginx.conf';
  const argumentsWith = (configuration: string): string[] => [
    '-p',
    `${directory}/`,
    '-e',
    'stderr',
    '-c',
    join(directory, configuration),
  ];
  const retired = async (): Promise<number> =>
    ((await readFile(join(directory, logName), 'utf8')).match(/ gracefully shutting down$/gm) ?? []).length;
  return {
    name: 'nginx',
    binary,
    fileName,
    logName,
    startArguments: argumentsWith(fileName),
    checkArguments: (configuration) => ['-t', '-q', ...argumentsWith(configuration)],
    /** New workers start first; the handover is done when each old one has said that it accepts no more. */
    async reload(child) {
      const before = await retired();
      process.kill(child.pid, 'SIGHUP');
      return async () => (await retired()) >= before + WORKERS;
    },
  };
}

/** nginx in a folder of its own; it runs from the first `apply` on. */
export async function createNginxTerminator(binary: string, options: TerminatorOptions): Promise<Terminator> {
  const directory = await mkdtemp(join(tmpdir(), 'certbound-nginx-'));
  for (const name of ['ssl', 'tmp']) await mkdir(join(directory, name));
  const running = new TerminatorProcess(directory, program(binary, directory), options);
  const user = process.getuid?.() === 0 ? { user: 'root' } : {};
  return {
    apply: (model) => running.apply(renderNginxConfiguration(model, { ...options, ...user })),
    configuration: () => running.active.text,
    async accessLog() {
      const text = await readFile(join(directory, 'access.log'), 'utf8').catch(() => '');
      return text
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => entrySchema.parse(JSON.parse(line)));
    },
    stop: () => running.stop(),
  };
}

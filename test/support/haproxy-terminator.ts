import { mkdir, mkdtemp, readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { type HaproxyConfigurationOptions, renderHaproxyConfiguration } from './haproxy-configuration.ts';
import { DEADLINE_MS, TerminatorProcess, type TerminatorProgram } from './terminator-process.ts';
import type { AccessLogEntry, Terminator } from './terminator.ts';

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

const LOG = 'haproxy.log';

/** Under a master, as haproxy-ingress runs it: listeners are handed over at a reload. */
function program(binary: string, directory: string): TerminatorProgram {
  const fileName = 'haproxy.cfg';
  const socketPath = join(directory, 'master.sock');
  return {
    name: 'haproxy',
    binary,
    fileName,
    logName: LOG,
    startArguments: ['-W', '-db', '-S', socketPath, '-C', directory, '-f', fileName],
    checkArguments: (configuration) => ['-c', '-C', directory, '-f', configuration],
    /** Done when there is a new worker, and each older one says that it accepts no more. */
    async reload(child) {
      const before = await workers(socketPath);
      process.kill(child.pid, 'SIGUSR2');
      return async () => {
        const { current, old } = await workers(socketPath);
        if (current.length === 0 || current.some((pid) => before.current.includes(pid))) return false;
        const answers = await Promise.all(old.map((pid) => ask(socketPath, `@!${pid} show info`).catch(() => '')));
        return answers.every((answer) => !/^Stopping: 0$/m.test(answer));
      };
    },
  };
}

async function workers(socketPath: string): Promise<{ current: string[]; old: string[] }> {
  const shown = await ask(socketPath, 'show proc').catch(() => '');
  const [now = '', before = ''] = shown.split('# old workers');
  const pids = (lines: string): string[] => [...lines.matchAll(/^(\d+)\s+worker/gm)].flatMap(([, pid]) => pid ?? []);
  return { current: pids(now), old: pids(before) };
}

/** At the master's command line. */
function ask(socketPath: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const chunks: Buffer[] = [];
    socket.setTimeout(DEADLINE_MS, () => socket.destroy(new Error('the master does not answer')));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.once('error', reject);
    socket.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    socket.end(`${command}\n`);
  });
}

/** HAProxy in a folder of its own; it runs from the first `apply` on. */
export async function createHaproxyTerminator(
  binary: string,
  options: HaproxyConfigurationOptions,
): Promise<Terminator> {
  const directory = await mkdtemp(join(tmpdir(), 'certbound-haproxy-'));
  await mkdir(join(directory, 'ssl'));
  const running = new TerminatorProcess(directory, program(binary, directory), options);
  return {
    apply: (model) => running.apply(renderHaproxyConfiguration(model, options)),
    configuration() {
      const { text: configuration, files } = running.active;
      return [configuration, ...[...files].filter(([name]) => name.endsWith('.list')).map(String)].join('\n');
    },
    async accessLog() {
      const log = await readFile(join(directory, LOG), 'utf8').catch(() => '');
      return log
        .split('\n')
        .filter((line) => line.startsWith('{"time"'))
        .map((line) => entrySchema.parse(JSON.parse(line)));
    },
    stop: () => running.stop(),
  };
}

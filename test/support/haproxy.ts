/** HAProxy that ends TLS and sets headers, a port for each set of them. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startChild } from './child.ts';
import { installDebianPackages, whyNoDebian } from './debian-packages.ts';
import { lookUp } from './executable.ts';
import { freePort } from './free-port.ts';
import { accepts } from './listen.ts';
import type { KeyPairPem } from './throwaway-ca.ts';
import { waitFor } from './wait-for.ts';

/** Taken from Debian where we are root there; undefined where there is none. The service it brings is left off. */
export async function findHaproxy(): Promise<string | undefined> {
  const found = await lookUp('haproxy');
  if (found !== undefined || (await whyNoDebian()) !== undefined) return found;
  await installDebianPackages({ haproxy: 'haproxy' });
  await promisify(execFile)('systemctl', ['disable', 'haproxy'], { timeout: 30_000 }).catch(() => undefined);
  return lookUp('haproxy');
}

export interface HaproxyOptions {
  pair: KeyPairPem;
  /** PEM of what client certificates must chain to. */
  clientCa: string;
  /** On 127.0.0.1. */
  backendPort: number;
  /** By name of the front end: the values of `http-request set-header`. */
  frontends: Readonly<Record<string, { verify: 'required' | 'any'; headers: Readonly<Record<string, string>> }>>;
}

export interface Haproxy {
  /** By name of the front end. */
  readonly ports: Readonly<Record<string, number>>;
  stop(): Promise<void>;
}

const VERIFY = { required: 'verify required', any: 'verify optional crt-ignore-err all ca-ignore-err all' } as const;

export async function startHaproxy(binary: string, options: HaproxyOptions): Promise<Haproxy> {
  const directory = await mkdtemp(join(tmpdir(), 'certbound-haproxy-'));
  await mkdir(join(directory, 'ssl'));
  const [pair, ca] = [join(directory, 'ssl', 'server.pem'), join(directory, 'ssl', 'client-ca.pem')];
  await writeFile(pair, options.pair.certPem + options.pair.keyPem, { mode: 0o600 });
  await writeFile(ca, options.clientCa);
  const ports: Record<string, number> = {};
  const frontends: string[] = [];
  for (const [name, { verify, headers }] of Object.entries(options.frontends)) {
    const port = await freePort();
    ports[name] = port;
    frontends.push(
      `frontend ${name}`,
      `  bind 127.0.0.1:${port} ssl crt ${pair} ca-file ${ca} ${VERIFY[verify]}`,
      ...Object.entries(headers).map(([header, value]) => `  http-request set-header ${header} ${value}`),
      '  default_backend api',
    );
  }
  const configuration = [
    'defaults',
    '  mode http',
    '  timeout connect 5s',
    '  timeout client 30s',
    '  timeout server 30s',
    ...frontends,
    'backend api',
    `  server api 127.0.0.1:${options.backendPort}`,
    '',
  ].join('\n');
  await writeFile(join(directory, 'haproxy.cfg'), configuration);
  const child = await startChild({
    command: binary,
    args: ['-db', '-f', join(directory, 'haproxy.cfg')],
    logFile: join(directory, 'haproxy.log'),
  });
  try {
    await waitFor(async () => {
      if (!child.running()) throw new Error(`haproxy has ended\n${await child.tail()}`);
      return (await Promise.all(Object.values(ports).map((port) => accepts(port)))).every(Boolean);
    });
  } catch (error) {
    await child.end();
    throw error;
  }
  return {
    ports,
    async stop() {
      await child.end();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

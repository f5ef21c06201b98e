/** The application in test/servers/spring-authorization-server, compiled once on this machine with what it needs from Maven. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cacheFolder } from './binaries.ts';
import { tryLock } from './file-lock.ts';
import { javac, maven } from './java.ts';
import { withProgress } from './progress.ts';

const run = promisify(execFile);

const SOURCE = resolve(import.meta.dirname, '../servers/spring-authorization-server');
const MAIN = 'SpringAuthorizationServer.java';
const POLL_MS = 250;
const LIMIT_MS = 600_000;

export const MAIN_CLASS = 'dev.certbound.test.SpringAuthorizationServer';

async function fetchLibraries(folder: string): Promise<void> {
  const command = await maven();
  const repository = join(folder, 'repository');
  const copy = [
    '--batch-mode',
    '--quiet',
    `--file=${join(SOURCE, 'pom.xml')}`,
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${folder}`,
    // Of no use to anybody else, and gone when the jars are there.
    `-Dmaven.repo.local=${repository}`,
  ];
  await withProgress('fetching Spring Authorization Server', () =>
    run(command, copy, { timeout: LIMIT_MS, cwd: folder }),
  );
  await rm(repository, { recursive: true, force: true, maxRetries: 3 });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** A folder that `make` has filled, once on this machine. Processes side by side wait for the one that does. */
async function made(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const parent = join(cacheFolder(), 'spring-authorization-server');
  const home = join(parent, name);
  while (!(await exists(home))) {
    await mkdir(parent, { recursive: true });
    const lock = await tryLock(`${parent}.lock`);
    if (!('release' in lock)) {
      await sleep(POLL_MS);
      continue;
    }
    const folder = await mkdtemp(join(parent, 'work-'));
    try {
      if (!(await exists(home))) {
        await make(folder);
        await rename(folder, home);
      }
    } finally {
      await rm(folder, { recursive: true, force: true, maxRetries: 3 });
      await lock.release();
    }
  }
  return home;
}

const digest = (...texts: string[]): string =>
  createHash('sha256').update(JSON.stringify(texts)).digest('hex').slice(0, 16);

/** The class path, fetched and compiled where it is not there yet. */
export async function springClassPath(): Promise<string> {
  const [pom = '', main = ''] = await Promise.all(
    ['pom.xml', MAIN].map((name) => readFile(join(SOURCE, name), 'utf8')),
  );
  const libraries = join(await made(`lib-${digest(pom)}`, fetchLibraries), '*');
  const classes = await made(`classes-${digest(pom, main)}`, async (folder) => {
    const compiler = await javac();
    const compile = ['-parameters', '-cp', libraries, '-d', folder, join(SOURCE, MAIN)];
    await withProgress('compiling its application', () => run(compiler, compile, { timeout: LIMIT_MS }));
  });
  return [classes, libraries].join(':');
}

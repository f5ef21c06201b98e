/** Keycloak, from Maven Central, once on this machine. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { access, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { cacheFolder } from './binaries.ts';
import { lookUp } from './executable.ts';
import { tryLock } from './file-lock.ts';
import { jar, java, maven } from './java.ts';
import { withProgress } from './progress.ts';

const run = promisify(execFile);

const VERSION = '26.7.3';
const SHA256 = '27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f';
const ARTIFACT = `org.keycloak:keycloak-quarkus-dist:${VERSION}:zip`;
const POLL_MS = 250;
const LIMIT_MS = 600_000;

/** Where the client certificate is taken from: its own TLS, or a terminator's header. Fixed when Keycloak is built. */
export type CertificateLookup = 'tls' | 'nginx' | 'traefik';

/** What is fixed when Keycloak is built; a start with anything else builds it anew, which takes half a minute. */
export function buildOptions(lookup: CertificateLookup): string[] {
  return [
    '--db=dev-file',
    '--health-enabled=false',
    '--https-client-auth=request',
    ...(lookup === 'tls' ? [] : [`--spi-x509cert-lookup--provider=${lookup}`]),
  ];
}

/** The options of `java` for a Keycloak in this folder, up to its own arguments. */
export function javaArguments(home: string, configuration: string, heapMegabytes: number): string[] {
  const opened = ['java.util', 'java.util.concurrent', 'java.security', 'java.lang'];
  return [
    `-Xmx${heapMegabytes}m`,
    '-XX:MaxMetaspaceSize=256m',
    '-XX:+UseSerialGC',
    // To start soon matters more here than to run fast.
    '-XX:TieredStopAtLevel=1',
    '-XX:+ExitOnOutOfMemoryError',
    '-Djava.util.concurrent.ForkJoinPool.common.threadFactory=io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory',
    '-Djava.util.logging.manager=org.jboss.logmanager.LogManager',
    '-Dpicocli.disable.closures=true',
    ...opened.map((name) => `--add-opens=java.base/${name}=ALL-UNNAMED`),
    `-Dkc.home.dir=${home}`,
    `-Djboss.server.config.dir=${configuration}`,
    '-cp',
    join(home, 'lib/quarkus-run.jar'),
    'io.quarkus.bootstrap.runner.QuarkusEntryPoint',
  ];
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function download(folder: string): Promise<string> {
  const command = await maven();
  await run(
    command,
    ['--batch-mode', '--quiet', 'dependency:copy', `-Dartifact=${ARTIFACT}`, `-DoutputDirectory=${folder}`],
    { timeout: LIMIT_MS, cwd: folder },
  );
  const [archive] = (await readdir(folder)).filter((file) => file.endsWith('.zip'));
  if (archive === undefined) throw new Error(`Maven copied no archive of ${ARTIFACT}`);
  const path = join(folder, archive);
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  const found = hash.digest('hex');
  if (found !== SHA256) throw new Error(`${ARTIFACT} has the SHA-256 ${found}, not ${SHA256}`);
  return path;
}

async function unpack(archive: string, folder: string): Promise<string> {
  const unzip = await lookUp('unzip');
  if (unzip !== undefined) await run(unzip, ['-q', archive], { cwd: folder });
  else await run(await jar(), ['-xf', archive], { cwd: folder });
  return join(folder, `keycloak-${VERSION}`);
}

async function install(lookup: CertificateLookup, target: string): Promise<void> {
  const folder = await mkdtemp(join(cacheFolder(), 'keycloak-'));
  try {
    const archive = await withProgress(`fetching Keycloak ${VERSION}`, () => download(folder));
    const home = await withProgress('unpacking Keycloak', () => unpack(archive, folder));
    const command = await java();
    const build = [...javaArguments(home, join(home, 'conf'), 768), 'build', ...buildOptions(lookup)];
    await withProgress('building Keycloak', () => run(command, build, { timeout: LIMIT_MS }));
    await mkdir(join(target, '..'), { recursive: true });
    await rename(home, target);
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

/** Its administrator, from the first start on. */
export const ADMIN = { username: 'admin', password: 'only-this-test' };

/** Two fifths of a start are a new database and its first realm: made once, and copied for each server. */
async function fillDatabase(home: string, target: string): Promise<void> {
  const command = await java();
  const user = ['bootstrap-admin', 'user', '--optimized', `--username=${ADMIN.username}`, '--password:env=PASSWORD'];
  await withProgress('filling a database for Keycloak', () =>
    run(command, [...javaArguments(home, join(home, 'conf'), 512), ...user], {
      timeout: LIMIT_MS,
      env: { PATH: process.env['PATH'], PASSWORD: ADMIN.password },
    }),
  );
  await rename(join(home, 'data/h2'), target);
}

/** Makes what is not there yet, once on this machine: processes side by side wait for the one that does. */
async function made(path: string, make: () => Promise<void>): Promise<string> {
  while (!(await exists(path))) {
    await mkdir(cacheFolder(), { recursive: true });
    const lock = await tryLock(join(cacheFolder(), 'keycloak.lock'));
    if (!('release' in lock)) {
      await sleep(POLL_MS);
      continue;
    }
    try {
      if (!(await exists(path))) await make();
    } finally {
      await lock.release();
    }
  }
  return path;
}

function cached(kind: string, ...decided: unknown[]): string {
  const key = createHash('sha256').update(JSON.stringify(decided)).digest('hex');
  return join(cacheFolder(), 'keycloak', `${VERSION}-${kind}${key.slice(0, 12)}`);
}

/** Its folder, fetched, checked and built where it is not there yet. */
export function keycloakHome(lookup: CertificateLookup): Promise<string> {
  const home = cached('', SHA256, buildOptions(lookup));
  return made(home, () => install(lookup, home));
}

/** A database as the first start of this Keycloak leaves it, to be copied to `data/h2`. */
export function keycloakDatabase(home: string): Promise<string> {
  const database = cached('database-', SHA256, ADMIN);
  return made(database, () => fillDatabase(home, database));
}

/** The image of the Dockerfile, built as an operations team builds it, without a Docker engine: by buildah. */
import { execFile } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { rmSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { z } from 'zod';
import { cacheFolder } from './binaries.ts';
import { onOwnExit } from './child.ts';
import { installDebianPackages, whyNoDebian } from './debian-packages.ts';
import { tryLock } from './file-lock.ts';
import { withProgress } from './progress.ts';

const root = resolve(import.meta.dirname, '../..');
const TAG = 'localhost/certbound-test';
const BASE_TAG = 'localhost/certbound-test-base';
const MINUTES = 60_000;
/** What the Dockerfile's own base is too: this Debian, with an npm of this age. */
const BASE = { debian: 'trixie', npm: '11.21.2', node: process.version };

const imageSchema = z.object({
  OCIv1: z.object({
    config: z.object({
      User: z.string(),
      WorkingDir: z.string(),
      Env: z.array(z.string()),
      Entrypoint: z.array(z.string()),
      Cmd: z.array(z.string()).default([]),
      Labels: z.record(z.string(), z.string()),
    }),
  }),
});

export interface BuiltImage {
  readonly config: z.infer<typeof imageSchema>['OCIv1']['config'];
  /** Its configuration and history as they are stored, JSON. */
  readonly metadata: string;
  /** Where its file system is mounted. */
  readonly root: string;
  /** What the secrets held with which it was built. */
  readonly canary: string;
  remove(): Promise<void>;
}

/** Why no image can be built here; undefined where one can. */
export async function whyNoImage(): Promise<string | undefined> {
  const why = process.platform === 'linux' ? await whyNoDebian() : 'this is not Linux';
  return why === undefined ? undefined : `no image is built: ${why}; buildah and runc come from Debian's packages`;
}

async function run(file: string, args: readonly string[]): Promise<string> {
  const options = { timeout: 10 * MINUTES, maxBuffer: 256 * 1024 * 1024 };
  const { stdout } = await promisify(execFile)(file, args, options);
  return stdout.trim();
}

/** The store is one for all, and one uses it at a time. */
async function lockStore(): Promise<{ release(): Promise<void> }> {
  await mkdir(cacheFolder(), { recursive: true });
  for (;;) {
    const lock = await tryLock(join(cacheFolder(), 'image.lock'));
    if ('release' in lock) return lock;
    await sleep(500);
  }
}

type Buildah = (...args: readonly string[]) => Promise<string>;

/** A Debian with Node and npm, made once: where no image registry is reached, it stands for the Dockerfile's base. */
async function provideBase(buildah: Buildah): Promise<string> {
  const version = createHash('sha256').update(JSON.stringify(BASE)).digest('hex').slice(0, 16);
  const name = `${BASE_TAG}:${version}`;
  const present = await buildah('inspect', '--type', 'image', name).then(
    () => true,
    () => false,
  );
  if (present) return name;
  await buildah('rmi', '--all', '--force');
  await withProgress(`making a base image (Debian ${BASE.debian}, npm ${BASE.npm})`, async () => {
    const container = await buildah('from', 'scratch');
    const folder = await buildah('mount', container);
    await run('debootstrap', ['--variant=minbase', BASE.debian, folder]);
    for (const cache of ['var/cache/apt', 'var/lib/apt/lists']) await rm(join(folder, cache), { recursive: true });
    await copyFile(process.execPath, join(folder, 'usr/local/bin/node'));
    await run('npm', ['install', '--global', `--prefix=${join(folder, 'usr/local')}`, `npm@${BASE.npm}`]);
    await buildah('commit', '--quiet', '--rm', container, name);
  });
  return name;
}

/** What npm needs here to reach the registry, as the files that are mounted for `npm ci` alone. */
async function writeSecrets(folder: string, canary: string): Promise<string[]> {
  const config = async (key: string) => {
    const value = await run('npm', ['config', 'get', key]);
    return value === 'null' || value === 'undefined' ? undefined : value;
  };
  const userConfig = await readFile((await config('userconfig')) ?? '', 'utf8').catch(() => '');
  const lines = [userConfig, `registry=${await config('registry')}`, `; ${canary}`];
  const authorities = process.env['NODE_EXTRA_CA_CERTS'] ?? (await config('cafile'));
  const secrets = ['--secret', `id=npmrc,src=${join(folder, 'npmrc')}`];
  if (authorities !== undefined) secrets.push('--secret', `id=ca,src=${authorities}`);
  await writeFile(join(folder, 'npmrc'), `${lines.join('\n')}\n`, { mode: 0o600 });
  return secrets;
}

/**
 * Builds the Dockerfile at the top, every stage of it, and mounts the result. The base is kept in the cache folder.
 *
 * @param buildArguments of the Dockerfile, besides BASE
 */
export async function buildImage(buildArguments: Readonly<Record<string, string>> = {}): Promise<BuiltImage> {
  await installDebianPackages({ buildah: 'buildah', debootstrap: 'debootstrap', runc: 'runc' });
  const lock = await lockStore();
  const folder = await mkdtemp(join(tmpdir(), 'certbound-image-'));
  // It holds the secrets.
  const interrupted = onOwnExit(() => rmSync(folder, { recursive: true, force: true }));
  const store = ['--root', join(cacheFolder(), 'image-store'), '--runroot', join(folder, 'run')];
  const buildah: Buildah = (...args) => run('buildah', [...store, ...args]);
  const clear = async () => {
    await buildah('rm', '--all');
    await buildah('rmi', '--force', TAG).catch(() => undefined);
  };
  const remove = async () => {
    await clear();
    await rm(folder, { recursive: true, force: true });
    interrupted.cancel();
    await lock.release();
  };
  try {
    // Of a run that was killed.
    await clear();
    const all = { ...buildArguments, BASE: await provideBase(buildah) };
    const canary = randomUUID();
    const args = [
      ...Object.entries(all).flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
      ...(await writeSecrets(folder, canary)),
    ];
    await withProgress('building the image', () =>
      buildah('bud', '--isolation', 'chroot', '--tag', TAG, ...args, root),
    );
    const metadata = await buildah('inspect', '--type', 'image', TAG);
    const { config } = imageSchema.parse(JSON.parse(metadata)).OCIv1;
    const mounted = await buildah('mount', await buildah('from', TAG));
    return { config, metadata, root: mounted, canary, remove };
  } catch (error) {
    await remove();
    throw error;
  }
}

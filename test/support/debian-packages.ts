import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { lookUp } from './executable.ts';
import { tryLock } from './file-lock.ts';
import { withProgress } from './progress.ts';

const POLICY = '/usr/sbin/policy-rc.d';

async function install(aptGet: string, packages: readonly string[]): Promise<void> {
  const apt = (...args: string[]) =>
    promisify(execFile)(aptGet, ['-q', '-y', '-o', 'DPkg::Lock::Timeout=120', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      timeout: 300_000,
      maxBuffer: 16 * 1024 * 1024,
    });
  const attempt = () => apt('install', '--no-install-recommends', ...packages);
  // A package that brings a service starts it; a policy of 101 forbids that (invoke-rc.d(8)).
  const ownPolicy = await writeFile(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' }).then(
    () => true,
    () => false,
  );
  try {
    await attempt().catch(async () => {
      await apt('update');
      await attempt();
    });
  } finally {
    if (ownPolicy) await rm(POLICY, { force: true });
  }
}

/** Why nothing can be installed from Debian here; undefined where it can. */
export async function whyNoDebian(): Promise<string | undefined> {
  if ((await lookUp('apt-get')) === undefined) return 'this is no Debian (no apt-get)';
  return process.getuid?.() === 0 ? undefined : 'we are not root';
}

/**
 * Installs what is missing of these commands, each from the package that brings it; their services are left off.
 * Test files run side by side, and dpkg knows one user at a time.
 */
export async function installDebianPackages(packageOf: Readonly<Record<string, string>>): Promise<void> {
  const missing = async () => {
    const found = await Promise.all(Object.keys(packageOf).map(async (name) => [name, await lookUp(name)] as const));
    return found.flatMap(([name, path]) => (path === undefined ? (packageOf[name] ?? []) : []));
  };
  const aptGet = await lookUp('apt-get');
  const wanted = await missing();
  if (aptGet === undefined || wanted.length === 0) return;
  await withProgress(`installing ${wanted.join(', ')} from Debian`, async () => {
    for (;;) {
      const lock = await tryLock(join(tmpdir(), 'certbound-debian-packages.lock'));
      if (!('release' in lock)) {
        await sleep(500);
        continue;
      }
      try {
        // Whoever had the lock before may have installed some.
        const still = await missing();
        if (still.length > 0) await install(aptGet, still);
        return;
      } finally {
        await lock.release();
      }
    }
  });
}

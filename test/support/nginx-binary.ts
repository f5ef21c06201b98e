import { execFile } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { lookUp } from './executable.ts';
import { tryLock } from './file-lock.ts';
import { withProgress } from './progress.ts';

const run = promisify(execFile);
const POLICY = '/usr/sbin/policy-rc.d';

async function installFromDebian(aptGet: string): Promise<void> {
  const apt = (...args: string[]) =>
    run(aptGet, ['-q', '-y', '-o', 'DPkg::Lock::Timeout=120', ...args], {
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
      timeout: 300_000,
      maxBuffer: 16 * 1024 * 1024,
    });
  const install = () => apt('install', '--no-install-recommends', 'nginx-light');
  // The package starts a web server on port 80; a policy of 101 forbids that (invoke-rc.d(8)).
  const ownPolicy = await writeFile(POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755, flag: 'wx' }).then(
    () => true,
    () => false,
  );
  try {
    await install().catch(async () => {
      await apt('update');
      await install();
    });
    await run('systemctl', ['disable', 'nginx'], { timeout: 30_000 }).catch(() => undefined);
  } finally {
    if (ownPolicy) await rm(POLICY, { force: true });
  }
}

/** Test files run side by side, and dpkg knows one user at a time. */
async function installOnce(aptGet: string): Promise<void> {
  for (;;) {
    const lock = await tryLock(join(tmpdir(), 'certbound-nginx-installation.lock'));
    if (!('release' in lock)) {
      await sleep(500);
      continue;
    }
    try {
      if ((await lookUp('nginx')) === undefined) await installFromDebian(aptGet);
      return;
    } finally {
      await lock.release();
    }
  }
}

/**
 * The nginx to run, or undefined where there is none.
 *
 * @param options.install take it from Debian where we are root there; the service it brings is left off
 */
export async function findNginx(options: { install: boolean }): Promise<string | undefined> {
  const found = await lookUp('nginx');
  if (found !== undefined || !options.install) return found;
  const aptGet = await lookUp('apt-get');
  if (aptGet === undefined || process.getuid?.() !== 0) return undefined;
  await withProgress('installing nginx from Debian', () => installOnce(aptGet));
  return lookUp('nginx');
}

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { installDebianPackages, whyNoDebian } from './debian-packages.ts';
import { lookUp } from './executable.ts';

/**
 * The nginx to run, or undefined where there is none.
 *
 * @param options.install take it from Debian where we are root there; the service it brings is left off
 */
export async function findNginx(options: { install: boolean }): Promise<string | undefined> {
  const found = await lookUp('nginx');
  if (found !== undefined || !options.install || (await whyNoDebian()) !== undefined) return found;
  await installDebianPackages({ nginx: 'nginx-light' });
  await promisify(execFile)('systemctl', ['disable', 'nginx'], { timeout: 30_000 }).catch(() => undefined);
  return lookUp('nginx');
}

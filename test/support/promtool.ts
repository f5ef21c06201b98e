/** Prometheus' own checker of rules, with its query engine. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cacheFolder } from './binaries.ts';
import { isExecutable, lookUp } from './executable.ts';
import { withProgress } from './progress.ts';

const run = promisify(execFile);

/** Unpacked beside its place and moved there: processes side by side never see half of it. */
async function unpackFromDebian(aptGet: string, path: string): Promise<void> {
  await mkdir(cacheFolder(), { recursive: true });
  const folder = await mkdtemp(join(cacheFolder(), 'promtool-'));
  const options = { cwd: folder, timeout: 300_000 };
  try {
    await run(aptGet, ['-q', 'download', 'prometheus'], options).catch(async () => {
      await run(aptGet, ['-q', 'update'], options);
      await run(aptGet, ['-q', 'download', 'prometheus'], options);
    });
    const [archive = ''] = (await readdir(folder)).filter((file) => file.endsWith('.deb'));
    await run('dpkg-deb', ['--extract', archive, folder], options);
    await rename(join(folder, 'usr/bin/promtool'), path);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** From PATH, else out of Debian's package, which is not installed for it; undefined where there is neither. */
export async function findPromtool(): Promise<string | undefined> {
  const found = await lookUp('promtool');
  if (found !== undefined) return found;
  const path = join(cacheFolder(), 'promtool');
  if (await isExecutable(path)) return path;
  const aptGet = await lookUp('apt-get');
  if (aptGet === undefined) return undefined;
  const unpacked = withProgress('taking promtool from Debian', () => unpackFromDebian(aptGet, path));
  return unpacked.then(
    () => path,
    () => undefined,
  );
}

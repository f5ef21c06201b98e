import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { z } from 'zod';

const holderSchema = z.object({ pid: z.int().positive(), host: z.string(), token: z.string() });
export type LockHolder = z.infer<typeof holderSchema>;

export interface FileLock {
  release(): Promise<void>;
}

const HEARTBEAT_MS = 5000;
/** Longer than any pause of a live holder; only a holder on another host (or in another container) is judged by it. */
const SILENT_MS = 120_000;

async function readHolder(path: string): Promise<LockHolder | undefined> {
  const text = await readFile(path, 'utf8').catch(() => undefined);
  return text === undefined ? undefined : holderSchema.parse(JSON.parse(text));
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it runs, as another user.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function isStale(path: string, holder: LockHolder): Promise<boolean> {
  if (holder.host === hostname() && isRunning(holder.pid)) return false;
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
  return holder.host === hostname() || Date.now() - mtimeMs > SILENT_MS;
}

/**
 * Takes the lock, or says who holds it. The file is linked into place complete, so nobody reads half of one; the lock
 * of a process that died is moved aside, and put back if in that moment somebody else had already replaced it.
 */
export async function tryLock(path: string): Promise<FileLock | LockHolder> {
  const mine: LockHolder = { pid: process.pid, host: hostname(), token: randomUUID() };
  const draft = `${path}.${mine.token}`;
  await writeFile(draft, JSON.stringify(mine));
  try {
    for (;;) {
      try {
        await link(draft, path);
        break;
      } catch (error) {
        if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
      }
      const holder = await readHolder(path);
      if (holder === undefined) continue;
      if (!(await isStale(path, holder))) return holder;
      const aside = `${draft}.stale`;
      await rename(path, aside).catch(() => undefined);
      const moved = await readHolder(aside);
      if (moved !== undefined && moved.token !== holder.token) await link(aside, path).catch(() => undefined);
      await rm(aside, { force: true });
    }
  } finally {
    await rm(draft, { force: true });
  }
  const heartbeat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined);
  }, HEARTBEAT_MS);
  heartbeat.unref();
  return {
    async release() {
      clearInterval(heartbeat);
      if ((await readHolder(path))?.token === mine.token) await rm(path, { force: true });
    },
  };
}

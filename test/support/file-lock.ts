import { randomUUID } from 'node:crypto';
import { link, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { z } from 'zod';

const holderSchema = z.object({ pid: z.int().positive(), host: z.string(), token: z.string() });
export type LockHolder = z.infer<typeof holderSchema>;

export interface FileLock {
  release(): Promise<void>;
}

const HEARTBEAT_MS = 5000;
/** Longer than any pause of a live holder. Decides about holders on another host, and where a process ID was reused. */
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

async function silentFor(path: string): Promise<number> {
  const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Date.now() }));
  return Date.now() - mtimeMs;
}

async function isStale(path: string, holder: LockHolder): Promise<boolean> {
  if (holder.host === hostname() && !isRunning(holder.pid)) return true;
  return (await silentFor(path)) > SILENT_MS;
}

/** Whether `from` is now at `to` too; false where something else is there. Never leaves half a file. */
async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes the lock of a dead holder. Only who has the guard that is named after that holder may, so that nobody
 * removes the lock of whoever took over in the meantime.
 */
async function clear(path: string, stale: LockHolder, draft: string): Promise<void> {
  const guard = `${path}.${stale.token}.takeover`;
  if (await linked(draft, guard)) {
    if ((await readHolder(path))?.token === stale.token) await rm(path, { force: true });
    await rm(guard, { force: true });
  } else if ((await silentFor(guard)) > SILENT_MS) {
    await rm(guard, { force: true });
  }
}

/** Takes the lock, or says who holds it. The lock of a process that died is taken over. */
export async function tryLock(path: string): Promise<FileLock | LockHolder> {
  const mine: LockHolder = { pid: process.pid, host: hostname(), token: randomUUID() };
  const draft = `${path}.${mine.token}`;
  await writeFile(draft, JSON.stringify(mine));
  try {
    while (!(await linked(draft, path))) {
      const holder = await readHolder(path);
      if (holder === undefined) continue;
      if (!(await isStale(path, holder))) return holder;
      await clear(path, holder, draft);
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

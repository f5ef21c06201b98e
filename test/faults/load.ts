/** Applications that read their Secrets before every call, one after the other, without an end. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientCredentials } from '../support/application.ts';
import { boundTo } from '../support/oauth-client.ts';
import type { CrashSubject } from './crash-subject.ts';

export interface Load {
  /** Ends it; fails with the first call that was not answered as it must be. */
  stop(): Promise<{ calls: number }>;
}

const pauseMs = 15;
/** An old certificate works for as long at least after it was read from the Secret: the shortest drain, less its punctuality. */
const drainsMs = 3_000;

interface Read {
  credentials: ClientCredentials;
  /** When it was begun, monotonic milliseconds. */
  at: number;
}

export function keepAllCalling(subjects: readonly CrashSubject[]): Load {
  const ended = new AbortController();
  const lastRead = new Map<CrashSubject, Read>();
  let calls = 0;
  /** Another Pod may hold it still (P3). An answer that comes too late says nothing. */
  const callWithOld = async (subject: CrashSubject, { credentials, at }: Read) => {
    const recent = () => performance.now() - at < drainsMs;
    if (!recent()) return;
    const bound = await boundTo(credentials).catch((cause: unknown) => {
      if (!recent()) return undefined;
      throw new Error(`${subject.name}: what was published a moment ago does not work any more`, { cause });
    });
    if (bound !== undefined) calls += 1;
  };
  const callOnce = async (subject: CrashSubject) => {
    const at = performance.now();
    const credentials = await subject.credentials?.();
    if (credentials === undefined) return;
    const before = lastRead.get(subject);
    lastRead.set(subject, { credentials, at });
    if (before !== undefined && before.credentials.x5tS256 !== credentials.x5tS256) await callWithOld(subject, before);
    const bound = await boundTo(credentials).catch((cause: unknown) => {
      throw new Error(`${subject.name}: the published Secret does not work`, { cause });
    });
    if (bound !== credentials.x5tS256) throw new Error(`${subject.name}: bound to ${bound}`);
    calls += 1;
  };
  const running = (async () => {
    while (!ended.signal.aborted) {
      for (const subject of subjects) {
        if (ended.signal.aborted) return;
        await callOnce(subject);
        await sleep(pauseMs);
      }
      await sleep(pauseMs);
    }
  })();
  running.catch(() => undefined);
  return {
    async stop() {
      ended.abort();
      await running;
      return { calls };
    },
  };
}

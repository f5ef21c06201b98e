/** Applications that read their Secrets before every call, one after the other, without an end. */
import { setTimeout as sleep } from 'node:timers/promises';
import { boundTo } from '../support/oauth-client.ts';
import type { CrashSubject } from './crash-subject.ts';

export interface Load {
  /** Ends it; fails with the first call that was not answered as it must be. */
  stop(): Promise<{ calls: number }>;
}

const pauseMs = 15;

export function keepAllCalling(subjects: readonly CrashSubject[]): Load {
  const ended = new AbortController();
  let calls = 0;
  const callOnce = async (subject: CrashSubject) => {
    const credentials = await subject.credentials?.();
    if (credentials === undefined) return;
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

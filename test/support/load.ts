/** An application at work while something changes beneath it. */
import { setTimeout as sleep } from 'node:timers/promises';
import { boundTokenFor, type ClientCredentials } from './application.ts';
import type { TestClient } from './oauth-client.ts';

export interface Load {
  /** Thumbprints of the certificates used so far. */
  readonly used: ReadonlySet<string>;
  /** So far. */
  readonly calls: number;
  /** A call was not answered as it must be: there are no more. */
  readonly failed: boolean;
  /** Ends it; fails with the first call that was not answered as it must be. */
  stop(): Promise<{ calls: number }>;
}

/**
 * Reads the Secret before every call, and gets a token bound to the certificate that it read.
 *
 * @param use what it does with the token; counts as a call of its own. Default: nothing
 */
export function keepCalling(
  client: TestClient,
  use?: (token: string, credentials: ClientCredentials) => Promise<void>,
): Load {
  const used = new Set<string>();
  let calls = 0;
  let failed = false;
  const ended = new AbortController();
  const running = (async () => {
    while (!ended.signal.aborted) {
      const credentials = await client.credentials();
      const { token, thumbprint } = await boundTokenFor(credentials);
      if (thumbprint !== credentials.x5tS256) {
        throw new Error(`bound to ${thumbprint} instead of ${credentials.x5tS256}`);
      }
      calls++;
      if (use !== undefined) {
        await use(token, credentials);
        calls++;
      }
      used.add(thumbprint);
      await sleep(25);
    }
  })();
  running.catch(() => (failed = true));
  return {
    used,
    get calls() {
      return calls;
    },
    get failed() {
      return failed;
    },
    async stop() {
      ended.abort();
      await running;
      return { calls };
    },
  };
}

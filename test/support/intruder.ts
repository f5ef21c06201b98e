/** Somebody who has no certificate that counts, at a token endpoint all the while. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientCredentials } from './application.ts';
import { call } from './https-call.ts';
import type { KeyPairPem } from './throwaway-ca.ts';

/** `refused`: the server has heard nothing of it. `reached`: it said that it knows nobody. `token`: let in. */
type Fate = 'refused' | 'reached' | 'token';

export interface Victim {
  credentials: ClientCredentials;
  /** As the terminator would write them for the client's certificate. */
  headers: Readonly<Record<string, string>>;
}

/** With the client's name, its certificate in a header, and none in TLS or the given one. */
export async function intrude({ credentials, headers }: Victim, certificate?: KeyPairPem): Promise<Fate> {
  const { clientId: client_id, caPem: ca, tokenEndpoint: url } = credentials;
  const body = new URLSearchParams({ grant_type: 'client_credentials', client_id, scope: 'accounts:read' });
  // A connection that is not made, or that ends, is a refusal too.
  const answer = await call({ url, ca, headers, body, certificate, deadlineMs: 10_000 }).catch(() => undefined);
  if (answer?.json['access_token'] !== undefined) return 'token';
  return answer?.json['error'] === undefined ? 'refused' : 'reached';
}

export interface Intrusion {
  /** So far, by what came of them. */
  readonly seen: Readonly<Record<Fate, number>>;
  stop(): Promise<void>;
}

/** Without a certificate, and with a foreign one in the client's name, in turns. */
export function keepIntruding(victim: Victim, foreign: KeyPairPem): Intrusion {
  const ended = new AbortController();
  const seen: Record<Fate, number> = { refused: 0, reached: 0, token: 0 };
  const running = (async () => {
    while (!ended.signal.aborted) {
      for (const certificate of [undefined, foreign]) seen[await intrude(victim, certificate)]++;
      await sleep(50);
    }
  })();
  return {
    seen,
    async stop() {
      ended.abort();
      await running;
    },
  };
}

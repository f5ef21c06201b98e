/** Applications that call the token endpoint and an API all the time, as docs/guide.md says, and some that do as little as they may. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ClientRef } from '../world.ts';
import { Identity, type BoundToken, type Surroundings } from './identity.ts';
import type { PublishedSecrets } from './published.ts';

export interface ApplicationOptions extends Surroundings {
  ref: ClientRef;
  published: PublishedSecrets;
  drainMs: number;
  /** Between two calls of a Pod. */
  pauseMs: number;
  /** In [0, 1). */
  random: () => number;
  signal: AbortSignal;
}

/** A call takes its time, and a clock is read before it is sent. */
const marginMs = 3_000;
/** Of a token's life; then another is asked for. */
const tokenShare = 0.6;

/** Sleeps; an abort ends it early. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  await sleep(milliseconds, undefined, { signal }).catch(() => undefined);
}

const identityOf = (options: ApplicationOptions) => new Identity(options.published.current(options.ref), options);

const isFresh = ({ issuedAt, expiresAt }: BoundToken) => Date.now() < issuedAt + (expiresAt - issuedAt) * tokenShare;

/**
 * Keeps the client's contract. Three Pods, each with a token cache of its own and its calls to the replicas in turn; with a
 * new certificate each asks for a new token at once. What they had of the old one goes on to the end of its tokens.
 *
 * @param delayMs from the change of the Secret to the change of what the application reads, as a mounted volume has it
 */
export async function contractApplication(options: ApplicationOptions, delayMs: () => number): Promise<void> {
  const { ref, published, pauseMs, random, signal } = options;
  const pods = 3;
  let current = identityOf(options);
  let changed = new AbortController();
  const tokens: (BoundToken | undefined)[] = Array.from({ length: pods });
  const old: Promise<void>[] = [];

  const pod = async (number: number, identity: Identity, signalOfChange: AbortSignal): Promise<void> => {
    const until = AbortSignal.any([signal, signalOfChange]);
    tokens[number] = undefined;
    for (let turn = number; !until.aborted; turn++) {
      const known: BoundToken | undefined = tokens[number];
      const token: BoundToken | undefined =
        known !== undefined && isFresh(known) ? known : await identity.token('contract', turn);
      if (token !== undefined && !signalOfChange.aborted) tokens[number] = token;
      if (token !== undefined) await identity.callApi('contract', turn, token);
      await pause(pauseMs * (0.5 + random()), until);
    }
  };
  const podsOf = async (identity: Identity, signalOfChange: AbortSignal): Promise<void> => {
    await identity.use(() =>
      Promise.all(Array.from({ length: pods }, (_, number) => pod(number, identity, signalOfChange))),
    );
  };
  const takeUp = (): void => {
    if (signal.aborted) return;
    const before = current;
    for (const token of tokens) if (token !== undefined) old.push(toTheEnd(before, token, options));
    changed.abort();
    changed = new AbortController();
    current = identityOf(options);
    old.push(podsOf(current, changed.signal));
  };
  published.onChange(ref, () => {
    const delay = delayMs();
    if (delay === 0) takeUp();
    else setTimeout(takeUp, delay);
  });
  await podsOf(current, changed.signal);
  while (!signal.aborted) await pause(60_000, signal);
  await Promise.all(old);
}

/** RFC 8705 §6.3: a token is good as long as it lives, together with the certificate that it is bound to. */
async function toTheEnd(identity: Identity, token: BoundToken, options: ApplicationOptions): Promise<void> {
  const { pauseMs, random, signal } = options;
  await identity.use(async () => {
    for (let turn = Math.floor(random() * identity.replicas); !signal.aborted; turn++) {
      if (Date.now() > token.expiresAt - marginMs) return;
      await identity.callApi('old token', turn, token);
      await pause(pauseMs * (0.5 + random()), signal);
    }
  });
}

/** Reads the Secret at its start alone, and starts anew when the drain of what it read is about to end. */
export async function readOnceApplication(options: ApplicationOptions): Promise<void> {
  const { published, drainMs, pauseMs, random, signal } = options;
  while (!signal.aborted) {
    const identity = identityOf(options);
    const drained = () => Date.now() > published.replacedAt(identity.credentials.x5tS256) + drainMs - marginMs;
    await identity.use(async () => {
      let token: BoundToken | undefined;
      for (let turn = Math.floor(random() * identity.replicas); !signal.aborted && !drained(); turn++) {
        if (token === undefined || !isFresh(token)) token = await identity.token('read-once', turn);
        if (token !== undefined && !drained()) await identity.callApi('read-once', turn, token);
        await pause(pauseMs * (0.5 + random()), signal);
      }
    });
  }
}

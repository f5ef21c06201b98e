import { createHmac, randomBytes } from 'node:crypto';
import { OperatorError } from '../../errors.ts';
import type { ServerConnection } from '../connection/connection.ts';

interface Uses {
  /** The last token that a registration was made with, or may have been. */
  spent?: string;
  /** The last one that was refused, and when; epoch milliseconds. */
  refused?: { token: string; at: number };
}

/** A spent token is refused to every client that waits for the next one. */
const tryAgainMs = 60_000;
const key = randomBytes(32);

/**
 * Of each server. In memory on purpose, and as digests: after a restart a spent token is refused once more, and what is said
 * of that fits too.
 */
const uses = new WeakMap<ServerConnection, Uses>();

/** What an initial access token was used for. It may be good for one registration, which no server says (RFC 7591 §1.2). */
export class InitialAccessToken {
  readonly #uses: Uses;
  readonly #digest: string | undefined;
  readonly #server: string;

  constructor(server: ServerConnection, token: string | undefined) {
    const known = uses.get(server) ?? {};
    uses.set(server, known);
    this.#uses = known;
    this.#digest = token === undefined ? undefined : createHmac('sha256', key).update(token).digest('hex');
    this.#server = server.name;
  }

  /** @throws {OperatorError} `InitialAccessTokenSpent`, where it was refused less than a minute ago */
  assertUsable(now: number): void {
    const { refused } = this.#uses;
    if (refused === undefined || refused.token !== this.#digest || !this.#wasUsed) return;
    const waitMs = refused.at + tryAgainMs - now;
    if (waitMs > 0 && waitMs <= tryAgainMs) throw this.#spent();
  }

  /** A client was registered with it, or may have been: the answer was lost. */
  used(): void {
    if (this.#digest !== undefined) this.#uses.spent = this.#digest;
  }

  /** The server answered 401 or 403. Undefined where that says nothing of the token having been used. */
  refused(now: number): OperatorError | undefined {
    if (this.#digest === undefined) return undefined;
    this.#uses.refused = { token: this.#digest, at: now };
    return this.#wasUsed ? this.#spent() : undefined;
  }

  get #wasUsed(): boolean {
    return this.#digest !== undefined && this.#uses.spent === this.#digest;
  }

  #spent(): OperatorError {
    return new OperatorError(
      'InitialAccessTokenSpent',
      `The initial access token of AuthorizationServer "${this.#server}" was used for a registration before, and is refused now: it is ` +
        'good for one alone, or has expired. Ask the platform team to put a new one into the Secret of ' +
        'dynamicRegistration.initialAccessTokenSecretRef; this client goes on by itself then.',
      { retry: { class: 'after', milliseconds: tryAgainMs } },
    );
  }
}

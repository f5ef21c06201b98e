import type { ClientMetadata, Registration } from '../authserver/driver.ts';
import type { RecordState } from './record.ts';

interface Answered {
  registration: Registration;
  /** What was asked for: by now something else may be. */
  asked: ClientMetadata;
  /** The record that it is the first to be in, without a certificate; where there is one already, that is it. */
  begun?: RecordState;
}

/**
 * What servers answered and the record does not have yet, because the API server would not take it. Nobody else knows of
 * it: without this, a registration would be given up and a registration access token lost (P4, P5) for a busy API server.
 * Lost with the process; the stored intent then says that there may have been an answer.
 */
export class UnstoredAnswers {
  readonly #registrations = new Map<string, Answered>();
  readonly #removed = new Set<string>();

  /** @param intent the id of the intent that announced the call */
  registered(intent: string, answered: Answered): void {
    this.#registrations.set(intent, answered);
  }

  registrationOf(intent: string | undefined): Answered | undefined {
    return intent === undefined ? undefined : this.#registrations.get(intent);
  }

  /** Once the answer is in the record. */
  stored(intent: string): void {
    this.#registrations.delete(intent);
  }

  /** RFC 7592 §2.3: asked again, a server answers 401, as for a token that was lost. */
  removed(issuer: string, clientId: string): void {
    this.#removed.add(keyOf(issuer, clientId));
  }

  isRemoved(issuer: string, clientId: string): boolean {
    return this.#removed.has(keyOf(issuer, clientId));
  }

  forgetRemoved(issuer: string, clientId: string): void {
    this.#removed.delete(keyOf(issuer, clientId));
  }
}

const keyOf = (issuer: string, clientId: string): string => `${issuer} ${clientId}`;

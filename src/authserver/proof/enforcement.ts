import type { AuthorizationServer } from '../../api/authorization-server.ts';
import type { Intruder } from './canary.ts';

type Server = Pick<AuthorizationServer, 'metadata'>;

interface Known {
  /** Epoch milliseconds of the next canary. */
  due: number;
  /** Undefined while no canary got an answer. */
  found?: { intruder: Intruder | undefined };
  running?: Promise<Intruder | undefined>;
}

/** A canary that could not ask says nothing; the next proof takes one along again. */
const soonMs = 60_000;

/**
 * Whether each server refuses those who are not its clients, as the canary found last. In memory on purpose: after a
 * restart the first proof at a server finds out anew; a failure is in the server's status meanwhile.
 */
export class Enforcement {
  readonly #byUid = new Map<string, Known>();
  readonly #listeners: ((server: string) => void)[] = [];

  /** Called with the name of a server of which something else is known now. */
  onChange(listener: (server: string) => void): void {
    this.#listeners.push(listener);
  }

  /** Undefined while nothing is known. */
  of(uid: string): Known['found'] {
    return this.#byUid.get(uid)?.found;
  }

  /**
   * Sends the canary where it is due; who asks meanwhile waits for the same one.
   * @returns who is let in, as far as is known
   */
  async check(
    { metadata: { uid, name } }: Server,
    { now, intervalMs }: { now: number; intervalMs: number },
    canary: () => Promise<Intruder | 'unknown' | undefined>,
  ): Promise<Intruder | undefined> {
    const known = this.#byUid.get(uid) ?? { due: now };
    this.#byUid.set(uid, known);
    if (known.running !== undefined) return known.running;
    if (now < known.due) return known.found?.intruder;
    known.running = this.#send(known, name, { now, intervalMs }, canary);
    try {
      return await known.running;
    } finally {
      delete known.running;
    }
  }

  async #send(
    known: Known,
    name: string,
    { now, intervalMs }: { now: number; intervalMs: number },
    canary: () => Promise<Intruder | 'unknown' | undefined>,
  ): Promise<Intruder | undefined> {
    const intruder = await canary();
    if (intruder === 'unknown') {
      known.due = now + Math.min(soonMs, intervalMs);
      return known.found?.intruder;
    }
    const before = known.found;
    known.found = { intruder };
    // Who lets everybody in refuses nobody: to ask again with each proof costs no failed login.
    known.due = intruder === undefined ? now + intervalMs : now;
    if (before === undefined || before.intruder !== intruder) for (const tell of this.#listeners) tell(name);
    return intruder;
  }

  forget(uid: string): void {
    this.#byUid.delete(uid);
  }
}

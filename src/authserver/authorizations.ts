import type { OperatorError } from '../errors.ts';

/** What a server said when it was asked whether it lets the operator manage clients. */
export interface Authorization {
  /** What was asked with; after a change of it nothing is known. */
  readonly basis: string;
  /** Epoch milliseconds of the next time. */
  readonly until: number;
  readonly problem: Pick<OperatorError, 'code' | 'message'> | undefined;
}

/** By the server's uid. In memory on purpose: a restart asks again. */
export class Authorizations {
  readonly #byUid = new Map<string, Authorization>();

  of(uid: string): Authorization | undefined {
    return this.#byUid.get(uid);
  }

  found(uid: string, authorization: Authorization): void {
    this.#byUid.set(uid, authorization);
  }

  /** A call for one client was refused meanwhile. Returns whether that is news: then the server is to be asked at once. */
  doubt(uid: string): boolean {
    const known = this.#byUid.get(uid);
    return known !== undefined && known.problem === undefined && this.#byUid.delete(uid);
  }

  forget(uid: string): void {
    this.#byUid.delete(uid);
  }
}

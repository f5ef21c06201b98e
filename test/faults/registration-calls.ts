/** Calls that change something at the authorization server, by the marker of the client that they are about. */
import type { AuthorizationServer } from '../support/authorization-server.ts';
import type { FaultAction, ReceivedRequest } from '../support/fault.ts';

export interface RegistrationCall {
  /** `POST /reg` and the like. */
  what: string;
  marker: string;
  /** Epoch milliseconds; carried out by then. */
  at: number;
}

export interface HeldCall {
  /** It was carried out, and who asked waits for the answer. */
  readonly waiting: boolean;
}

class Hold implements HeldCall {
  readonly #what: string;
  #left: number;
  waiting = false;

  constructor(what: string, nth: number) {
    this.#what = what;
    this.#left = nth;
  }

  async meet(what: string, gone: AbortSignal): Promise<void> {
    if (what === this.#what) this.#left -= 1;
    if (what !== this.#what || this.#left !== 0) return;
    this.waiting = true;
    await new Promise<void>((resolve) => {
      if (gone.aborted) resolve();
      gone.addEventListener('abort', () => resolve(), { once: true });
    });
    this.waiting = false;
  }
}

export class RegistrationCalls {
  readonly #server: AuthorizationServer;
  readonly #calls: RegistrationCall[] = [];
  readonly #holds = new Map<string, Hold>();

  constructor(server: AuthorizationServer) {
    this.#server = server;
    server.setFault((request) => this.#follow(request));
  }

  of(marker: string, since: number): RegistrationCall[] {
    return this.#calls.filter((call) => call.marker === marker && call.at >= since);
  }

  /** The nth of these from now on is carried out and not answered, for as long as who asked is there. */
  hold(marker: string, what: string, nth: number): HeldCall {
    const hold = new Hold(what, nth);
    this.#holds.set(marker, hold);
    return hold;
  }

  release(): void {
    this.#holds.clear();
  }

  #follow({ method, route, path }: ReceivedRequest): FaultAction | undefined {
    if (method === 'GET' || !route.startsWith('/reg')) return undefined;
    // A client that is deleted is not known afterwards; one that is made is not known before.
    const id = path.slice('/reg/'.length);
    const known = this.#server.clients().find(({ client_id: clientId }) => clientId === id);
    return {
      kind: 'late',
      until: async (body, gone) => {
        const marker = String((known ?? body)['client_name']);
        const what = `${method} ${route}`;
        this.#calls.push({ what, marker, at: Date.now() });
        await this.#holds.get(marker)?.meet(what, gone);
      },
    };
  }
}

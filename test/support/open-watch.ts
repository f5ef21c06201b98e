import type { Http2ServerResponse } from 'node:http2';
import { setTimeout as sleep } from 'node:timers/promises';
import { statusOf, type ApiFault } from './api-fault.ts';
import type { ApiRequest } from './api-request.ts';

/** One watch that is passed on, event by event. */
export class OpenWatch {
  readonly asked: ApiRequest;
  readonly #response: Http2ServerResponse;
  readonly #cut: () => void;
  /** Keeps the order where some events are delayed. */
  #last: Promise<void> = Promise.resolve();
  #muted = false;

  /** @param cut resets its connection */
  constructor(asked: ApiRequest, response: Http2ServerResponse, cut: () => void) {
    this.asked = asked;
    this.#response = response;
    this.#cut = cut;
  }

  send(line: string, delayMs: number): void {
    this.#last = this.#write(this.#last, line, Date.now() + delayMs);
  }

  end(): void {
    this.#last = this.#finish(this.#last);
  }

  suffer(fault: ApiFault): void {
    if (fault.kind === 'reset') this.#cut();
    if (fault.kind === 'silence') this.#muted = true;
    if (fault.kind !== 'expire') return;
    this.send(`{"type":"ERROR","object":${statusOf(410, 'Expired')}}`, 0);
    this.end();
  }

  async #write(before: Promise<void>, line: string, due: number): Promise<void> {
    await before;
    const left = due - Date.now();
    if (left > 0) await sleep(left, undefined, { ref: false });
    if (!this.#muted && !this.#response.destroyed) this.#response.write(`${line}\n`);
  }

  async #finish(before: Promise<void>): Promise<void> {
    await before;
    if (!this.#muted) this.#response.end();
  }
}

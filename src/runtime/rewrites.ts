import { type Rewritten, windowMs } from './contest.ts';

/** What this process wrote again, by object. A restart forgets it: then three are free again. */
export class Rewrites {
  readonly #byKey = new Map<string, Rewritten>();

  of(key: string): Rewritten | undefined {
    return this.#byKey.get(key);
  }

  wrote(key: string, content: string, now: number): void {
    const before = this.#byKey.get(key);
    const earlier = before?.content === content ? before.times.filter((time) => time > now - windowMs) : undefined;
    this.#byKey.set(key, { content, times: earlier === undefined ? [] : [...earlier, now] });
  }

  forget(key: string): void {
    this.#byKey.delete(key);
  }
}

/** Emptied when it is full: what is common is back at once, what is unique does not stay. */
const mostStrings = 8_192;
/** The engine shares shorter ones by itself. */
const shortest = 11;

/**
 * Equal strings of many objects are kept once. JSON.parse makes a new string for each, and of what a client's objects say
 * most is the same for every other client: the server, the CA, what conditions mean.
 */
export class StringPool {
  readonly #strings = new Map<string, string>();

  /** The same value; strings in its plain objects and arrays are replaced by equal ones. */
  share<T>(value: T): T;
  share(value: unknown): unknown {
    if (typeof value === 'string') return this.#shared(value);
    if (Array.isArray(value)) {
      for (const [at, each] of value.entries()) value[at] = this.share<unknown>(each);
    } else if (isPlain(value)) {
      for (const [key, each] of Object.entries(value)) {
        if (typeof each === 'string' || typeof each === 'object') value[key] = this.share(each);
      }
    }
    return value;
  }

  #shared(text: string): string {
    if (text.length < shortest) return text;
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    if (this.#strings.size >= mostStrings) this.#strings.clear();
    this.#strings.set(text, text);
    return text;
  }
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}

/** First in, first out. An array that is shifted again and again copies itself each time. */
class Fifo {
  #keys: string[] = [];
  #head = 0;

  get length(): number {
    return this.#keys.length - this.#head;
  }

  push(key: string): void {
    this.#keys.push(key);
  }

  shift(): string | undefined {
    const key = this.#keys[this.#head];
    if (key === undefined) return undefined;
    this.#head += 1;
    if (this.#head > 1024 && this.#head * 2 > this.#keys.length) {
      this.#keys = this.#keys.slice(this.#head);
      this.#head = 0;
    }
    return key;
  }
}

/** One in so many is not urgent, so that what is urgent without end keeps nobody waiting without end. */
const othersShare = 4;

/** Keys that wait: what is urgent goes before the rest, for most of it. */
export class Line {
  readonly #urgent = new Fifo();
  readonly #others = new Fifo();
  #turn = 0;

  get length(): number {
    return this.#urgent.length + this.#others.length;
  }

  push(key: string, urgent: boolean): void {
    (urgent ? this.#urgent : this.#others).push(key);
  }

  shift(): string | undefined {
    if (this.#urgent.length === 0) return this.#others.shift();
    const othersTurn = ++this.#turn % othersShare === 0;
    return (othersTurn ? this.#others.shift() : undefined) ?? this.#urgent.shift();
  }
}

/** Secrets to look for, in whatever form they may have got out: as text, as base64, escaped, or in part. */
import { createPrivateKey } from 'node:crypto';

/** Any piece of this many characters counts; shorter ones would be found by chance. */
const PIECE = 16;
const PRIVATE_KEY = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----([\s\S]*?)-----END \1-----/g;

export interface Found {
  kind: string;
  /** What stands around it. */
  excerpt: string;
}

export class Canaries {
  readonly #pieces = new Map<string, string>();
  readonly #kinds = new Map<string, Set<string>>();

  /** How many different secrets of each kind there are. */
  get counts(): Record<string, number> {
    return Object.fromEntries([...this.#kinds].map(([kind, secrets]) => [kind, secrets.size]));
  }

  add(kind: string, secret: string): void {
    const known = this.#kinds.get(kind) ?? new Set();
    this.#kinds.set(kind, known);
    if (known.has(secret) || secret.length < PIECE) return;
    known.add(secret);
    for (const form of [secret, ...encodings(secret), encodeURIComponent(secret)]) this.#watch(kind, form);
  }

  /** The payload and the signature: its header is every token's. */
  addJwt(kind: string, token: string): void {
    for (const part of token.split('.').slice(1)) this.add(kind, part);
  }

  /** Every private key in the text: its secret number, and the lines of the PEM that hold it. */
  addKeys(kind: string, text: string): void {
    for (const [pem, , body] of text.matchAll(PRIVATE_KEY)) {
      const { d, crv } = createPrivateKey(pem).export({ format: 'jwk' });
      if (d === undefined) continue;
      this.add(kind, d);
      this.add(kind, Buffer.from(d, 'base64url').toString('hex'));
      const lines = (body ?? '').trim().split(/\s+/);
      // P-256 and P-384: the number ends in the second line, before the public point. RSA: it begins after the modulus.
      const secret = crv === undefined ? lines.slice(8) : [(lines[1] ?? '').slice(0, 20)];
      for (const line of secret) this.add(kind, line);
    }
  }

  /** The first piece of each kind. */
  find(text: string): Found[] {
    const found = new Map<string, Found>();
    for (let at = 0; at + PIECE <= text.length; at++) {
      const kind = this.#pieces.get(text.slice(at, at + PIECE));
      if (kind !== undefined && !found.has(kind)) {
        found.set(kind, { kind, excerpt: text.slice(Math.max(0, at - 200), at + 200) });
      }
    }
    return [...found.values()];
  }

  #watch(kind: string, form: string): void {
    for (let at = 0; at + PIECE <= form.length; at++) this.#pieces.set(form.slice(at, at + PIECE), kind);
  }
}

/** base64 of a longer text that holds the secret: at each of the three offsets, without what its neighbours decide. */
function encodings(secret: string): string[] {
  return [0, 1, 2].map((offset) => {
    const text = Buffer.concat([Buffer.alloc(offset), Buffer.from(secret)]).toString('base64');
    return text.slice(offset === 0 ? 0 : 4, -4);
  });
}

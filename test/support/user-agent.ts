/** A browser without a window: it keeps cookies, follows redirects and presses the only button of a page. */
import { call, type Answer } from './https-call.ts';

/** More than any login takes. */
const mostPages = 20;

export class UserAgent {
  readonly #ca: string;
  readonly #cookies = new Map<string, string>();

  /** @param ca what servers' certificates must chain to */
  constructor(ca: string) {
    this.#ca = ca;
  }

  /** From `start` until somebody redirects to `end`: where that was, with its query. */
  async follow(start: string, end: string): Promise<URL> {
    let url = new URL(start);
    let body: URLSearchParams | undefined;
    for (let page = 0; page < mostPages; page++) {
      const answer = await this.#ask(url, body);
      const location = answer.headers['location']?.[0];
      if (location !== undefined) {
        url = new URL(location, url);
        body = undefined;
        if (url.href.startsWith(end)) return url;
      } else if (answer.status === 200 && answer.text.includes('<form method="post">')) {
        body = new URLSearchParams();
      } else {
        throw new Error(`${url.href} answered ${answer.status}: ${answer.text}`);
      }
    }
    throw new Error(`still no redirect to ${end} after ${mostPages} pages, but ${url.href}`);
  }

  async #ask(url: URL, body: URLSearchParams | undefined): Promise<Answer> {
    const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const answer = await call({ url: url.href, ca: this.#ca, headers: { cookie }, ...(body && { body }) });
    for (const line of answer.headers['set-cookie'] ?? []) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      if (value === '') this.#cookies.delete(name);
      else this.#cookies.set(name, value);
    }
    return answer;
  }
}

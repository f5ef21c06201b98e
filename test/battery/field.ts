/** One running product with its hosts, and the ways in which attacks reach it. */
import { type TerminatorName, terminators } from '../../src/verifier/terminators.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';
import { names, sentBy } from '../verifier/product-headers.ts';
import { type Backend, startBackend } from './backend.ts';
import { waitFor } from '../support/wait-for.ts';
import { Outcome, outcomeOf } from './outcome.ts';
import { type People, people as everybody } from './people.ts';
import type { Product, RunningProduct, ServedHost } from './product.ts';
import { type Answer, exchange, type Exchange, exchangeHttp2, type Hello, plainExchange } from './wire.ts';

/** All in front of the same Service; names of one length (`renamed`). */
export const Host = {
  /** Requires certificates of the clients' CA: the victim's server. */
  api: 'api.battery.test',
  /** Requires certificates of another server's CA. */
  other: 'two.battery.test',
  optional: 'opt.battery.test',
  /** Takes any certificate: self-signed clients' host. */
  request: 'any.battery.test',
  /** Without client authentication. */
  open: 'www.battery.test',
  full: 'all.battery.test',
  /** As it must never be: a client's own certificate is in the bundle. */
  anchor: 'own.battery.test',
  /** Without client authentication, around a host that requires it. */
  wildcard: '*.wild.battery.test',
  named: 'api.wild.battery.test',
} as const;

export interface Attempt {
  /** In the Host line. */
  host: string;
  /** Default: the host; `null` sends none. */
  sni?: string | null;
  client?: KeyPairPem;
  /** Of whom this may be a request: nobody by default. */
  mayBe?: { certPem: string };
  /** Header lines, as they are sent. */
  lines?: readonly string[];
  /** What the request begins with. */
  request?: (path: string) => string;
  /** After the headers. */
  body?: string;
  hello?: Pick<Hello, 'session' | 'version' | 'fragmented'>;
}

/** A limit, no measure. */
const SERVED_MS = 90_000;

const derOf = (pem: string): Buffer => Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');

export class Field {
  readonly product: Product;
  readonly people: People;
  /** Values of every product's certificate header that speak for the victim. */
  readonly #forged: readonly string[];
  readonly #backend: Backend;
  readonly #running: RunningProduct;
  #requests = 0;

  private constructor(product: Product, people: People, backend: Backend, running: RunningProduct) {
    this.product = product;
    this.people = people;
    this.#backend = backend;
    this.#running = running;
    this.#forged = names.flatMap((name) => sentBy(name, people.victim.der)[terminators[name].certificate] ?? []);
  }

  static async start(product: Product): Promise<Field> {
    const people = await everybody();
    const terminator = headerOf(product);
    const verification = terminators[terminator].verification === 'byConfiguration' ? 'assumed' : 'required';
    const backend = await startBackend((host) => ({
      terminator,
      verification: host === Host.request ? 'none' : verification,
    }));
    try {
      const hosts = hostsOf(product, people);
      const names = [...Object.values(Host), '*.battery.test'];
      const pair = await people.serverCa.issue({ cn: 'server', dns: names });
      const running = await product.start({ hosts, pair, backendPort: backend.port });
      const field = new Field(product, people, backend, running);
      try {
        for (const host of hosts) await field.#served(host);
      } catch (error) {
        await running.stop();
        throw error;
      }
      return field;
    } catch (error) {
      await backend.stop();
      throw error;
    }
  }

  /** Until whoever may is let in: products say nowhere that a host is live. */
  async #served({ name, clientAuthentication }: ServedHost): Promise<void> {
    const { client, ofOtherCa } = this.people;
    const ca = clientAuthentication?.ca ?? '';
    const own = ca === '' ? undefined : ca.includes(this.people.clientCa.certPem) ? client : ofOtherCa;
    const attempt = { host: name.replace('*', 'any'), ...(own && { client: own, mayBe: own }) };
    const wanted = own === undefined ? Outcome.nobody : Outcome.itself;
    let seen = '';
    const isServed = async () => (seen = await this.attempt(attempt)) === wanted;
    await waitFor(isServed, SERVED_MS).catch((cause: unknown) => {
      throw new Error(`${name} is not served: ${seen}`, { cause });
    });
  }

  get version(): string {
    return this.#running.version;
  }

  /** Whose header the API reads. */
  get header(): TerminatorName {
    return headerOf(this.product);
  }

  /** Lines that the product itself would write about the victim. */
  forgedLines(rename: (name: string) => string = (name) => name): string[] {
    const { victim } = this.people;
    const sent = sentBy(this.header, victim.der);
    return Object.entries(sent).flatMap(([name, values]) => (values ?? []).map((value) => `${rename(name)}: ${value}`));
  }

  #path(): string {
    this.#requests += 1;
    return `/${this.#requests}`;
  }

  #bytes(attempt: Attempt, path: string): string {
    const { host, lines = [], request = (target) => `GET ${target} HTTP/1.1\r\nHost: ${host}`, body = '' } = attempt;
    const closes = lines.some((line) => /^connection:/i.test(line)) ? [] : ['Connection: close'];
    return `${[request(path), ...lines, ...closes].join('\r\n')}\r\n\r\n${body}`;
  }

  #seen(attempt: Pick<Attempt, 'mayBe'>, path: string, answer: Answer): string {
    const { mayBe } = attempt;
    return outcomeOf({
      answer,
      arrival: this.#backend.arrival(path),
      mayBe: mayBe === undefined ? undefined : derOf(mayBe.certPem),
      forged: this.#forged,
    });
  }

  async exchange(attempt: Attempt): Promise<Exchange & { outcome: string }> {
    const { host, client, hello } = attempt;
    const sni = attempt.sni === undefined ? host : (attempt.sni ?? undefined);
    const path = this.#path();
    const to = { port: this.#running.httpsPort(sni ?? host), sni, client, ...hello };
    const exchanged = await exchange(to, this.#bytes(attempt, path));
    return { ...exchanged, outcome: this.#seen(attempt, path, exchanged.answer) };
  }

  async attempt(attempt: Attempt): Promise<string> {
    return (await this.exchange(attempt)).outcome;
  }

  /** Without TLS; undefined where the product has no such port. */
  async plain(attempt: Attempt): Promise<string | undefined> {
    const port = this.#running.httpPort(attempt.host);
    if (port === undefined) return undefined;
    const path = this.#path();
    return this.#seen(attempt, path, await plainExchange(port, this.#bytes(attempt, path)));
  }

  /** Past the terminator. */
  async pod(attempt: Attempt): Promise<string> {
    const path = this.#path();
    return this.#seen(attempt, path, await plainExchange(this.#backend.port, this.#bytes(attempt, path)));
  }

  /**
   * Two requests on one HTTP/2 connection, the first to the host of its SNI, the second to another.
   * @returns what came of the second; undefined where HTTP/2 is not spoken
   */
  async coalesced(first: string, { host, client, mayBe, lines = [] }: Attempt): Promise<string | undefined> {
    const paths = [this.#path(), this.#path()];
    const headers = Object.fromEntries(
      lines.map((line) => {
        const at = line.indexOf(':');
        return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
      }),
    );
    const [path = '', second = ''] = paths;
    const answers = await exchangeHttp2({ port: this.#running.httpsPort(first), sni: first, client }, [
      { authority: first, path },
      { authority: host, path: second, headers },
    ]);
    const answer = answers?.[1];
    return answer && this.#seen({ ...(mayBe && { mayBe }) }, second, answer);
  }

  /** Serves the same hosts, with another CA for the victim's. */
  async trust(ca: string): Promise<void> {
    const hosts = hostsOf(this.product, { ...this.people, clientCa: { ...this.people.clientCa, certPem: ca } });
    await this.#running.serve(hosts);
    for (const host of hosts.filter(({ name }) => name === Host.api)) await this.#served(host);
  }

  async stop(): Promise<void> {
    await this.#running.stop();
    await this.#backend.stop();
  }
}

function headerOf({ driver }: Product): TerminatorName {
  const found = names.find((name) => name === driver.capabilities.header);
  if (found === undefined) throw new Error(`nobody knows the header of ${driver.name}`);
  return found;
}

function hostsOf({ driver, hosts }: Product, people: People): ServedHost[] {
  const { clientCa, otherCa, fullBundle, ownCa } = people;
  const required = (name: string, ca: string): ServedHost => ({
    name,
    clientAuthentication: { mode: 'required', ca, depth: 1 },
  });
  const all: ServedHost[] = [
    required(Host.api, clientCa.certPem),
    required(Host.other, otherCa.certPem),
    required(Host.full, fullBundle),
    required(Host.anchor, clientCa.certPem + ownCa.certPem),
    required(Host.named, clientCa.certPem),
    { name: Host.open },
    { name: Host.wildcard },
    ...(driver.capabilities.optional
      ? [{ name: Host.optional, clientAuthentication: { mode: 'optional' as const, ca: clientCa.certPem, depth: 1 } }]
      : []),
    ...(driver.capabilities.request
      ? [{ name: Host.request, clientAuthentication: { mode: 'request' as const, ca: clientCa.certPem, depth: 1 } }]
      : []),
  ];
  return hosts === undefined ? all : all.filter(({ name }) => hosts.has(name));
}

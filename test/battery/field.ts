/** One running product with its hosts, and the ways in which requests reach it. */
import { type TerminatorName, terminators } from '../../src/verifier/terminators.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import { names } from '../verifier/product-headers.ts';
import { type Backend, startBackend } from './backend.ts';
import type { Case, Request } from './cases.ts';
import { forge, type Forged, valuesFor } from './forgeries.ts';
import { Host, hostsOf } from './hosts.ts';
import { Outcome, outcomeOf } from './outcome.ts';
import { type People, people as everybody } from './people.ts';
import type { Product, RunningProduct, ServedHost } from './product.ts';
import { type Answer, exchange, type Exchange, exchangeHttp2, type Hello, plainExchange, renamed } from './wire.ts';

/** A limit, no measure. */
const SERVED_MS = 180_000;

const versions = ['TLSv1.2', 'TLSv1.3'] as const;
type Version = (typeof versions)[number];

/** A request as it goes over the wire, by a version of TLS where that matters. */
interface Attempt {
  request: Request;
  forged?: Forged;
  version?: Version | undefined;
  session?: Buffer | undefined;
}

const derOf = (pem: string): Buffer => Buffer.from(pem.replaceAll(/-----[^-]+-----|\s/g, ''), 'base64');

function headerOf({ driver }: Product): TerminatorName {
  const found = names.find((name) => name === driver.capabilities.header);
  if (found === undefined) throw new Error(`nobody knows the header of ${driver.name}`);
  return found;
}

export class Field {
  readonly #product: Product;
  readonly #people: People;
  readonly #backend: Backend;
  readonly #running: RunningProduct;
  readonly #parts: AsyncDisposableStack;
  readonly #hosts: ReadonlySet<string>;
  /** That speak for the victim. */
  readonly #values: readonly string[];
  #requests = 0;

  private constructor(parts: {
    product: Product;
    people: People;
    backend: Backend;
    running: RunningProduct;
    hosts: readonly ServedHost[];
    parts: AsyncDisposableStack;
  }) {
    this.#product = parts.product;
    this.#people = parts.people;
    this.#values = valuesFor(parts.people.certificates.victim.der);
    this.#backend = parts.backend;
    this.#running = parts.running;
    this.#hosts = new Set(parts.hosts.map(({ name }) => name));
    this.#parts = parts.parts;
  }

  static start(product: Product): Promise<Field> {
    return allOrNothing(async (parts) => {
      const people = await everybody();
      const terminator = headerOf(product);
      const verification = terminators[terminator].verification === 'byConfiguration' ? 'assumed' : 'required';
      const backend = await startBackend((host) => ({
        terminator,
        verification: host === Host.request ? 'none' : verification,
      }));
      parts.defer(() => backend.stop());
      const hosts = hostsOf(product.driver, people, people.clientCa.certPem);
      const pair = await people.serverCa.issue({ cn: 'server', dns: [...Object.values(Host), '*.battery.test'] });
      const running = await product.start({ hosts, pair, backendPort: backend.port });
      parts.defer(() => running.stop());
      const field = new Field({ product, people, backend, running, hosts, parts });
      for (const host of hosts) await field.#served(host);
      return field;
    });
  }

  /** Until whoever may is let in: products say nowhere that a host is live. */
  async #served({ name, clientAuthentication }: ServedHost): Promise<void> {
    const ca = clientAuthentication?.ca;
    const client = ca?.includes(this.#people.clientCa.certPem) === true ? 'client' : 'ofOtherCa';
    const host = name.replace('*', 'any');
    const request: Request = ca === undefined ? { host } : { host, client, itself: true };
    const wanted = ca === undefined ? Outcome.nobody : Outcome.itself;
    let seen: string | undefined;
    const isServed = async () => (seen = await this.#outcome({ request })) === wanted;
    await waitFor(isServed, SERVED_MS).catch((cause: unknown) => {
      throw new Error(`${name} is not served: ${seen}`, { cause });
    });
  }

  get version(): string {
    return this.#running.version;
  }

  /** What came of it, each outcome once; none where the product has nothing that could be attacked so. */
  async outcomes({ requests, bothVersions, caRemoved }: Case): Promise<string[]> {
    const attempts: Attempt[] = [];
    for (const request of requests.filter((each) => this.#applies(each))) {
      for (const version of bothVersions === true ? versions : [undefined]) {
        const session = await this.#session(request, version);
        for (const forged of this.#forged(request)) attempts.push({ request, forged, version, session });
      }
    }
    if (caRemoved === true) await this.#removeCa();
    const seen: (string | undefined)[] = [];
    for (const attempt of attempts) seen.push(await this.#outcome(attempt));
    return [...new Set(seen.filter((outcome) => outcome !== undefined))].toSorted();
  }

  /** Not on hosts that the product cannot serve; those of no Ingress are asked for. */
  #applies({ host, sni, session }: Request): boolean {
    const known = new Set<string>(Object.values(Host));
    return [host, sni, session?.host].every(
      (name) => typeof name !== 'string' || !known.has(name) || this.#hosts.has(name),
    );
  }

  #forged({ forged }: Request): readonly Forged[] {
    return forged === undefined
      ? [{ lines: [] }]
      : forge(forged, headerOf(this.#product), this.#people.certificates.victim.der);
  }

  /** As if it were of the host that it is taken to. */
  async #session({ host, session }: Request, version?: Version): Promise<Buffer | undefined> {
    if (session === undefined) return undefined;
    const got = await this.#exchange({ request: { ...session }, version }, this.#path());
    if (got.session === undefined && got.answer.kind === 'refused')
      throw new Error(`${session.host} refuses a session`);
    return renamed(got.session, session.host, host);
  }

  /** Serves the same hosts, with another CA for the victim's. */
  async #removeCa(): Promise<void> {
    const hosts = hostsOf(this.#product.driver, this.#people, this.#people.otherCa.certPem);
    await this.#running.serve(hosts);
    for (const host of hosts.filter(({ name }) => name === Host.api)) await this.#served(host);
  }

  #path(): string {
    this.#requests += 1;
    return `/${this.#requests}`;
  }

  #bytes({ request, forged }: Attempt, path: string): string {
    const { host, begin = `GET PATH HTTP/1.1\r\nHost: ${host}` } = request;
    const { lines = [], body = '' } = forged ?? {};
    const closes = lines.some((line) => /^connection:/i.test(line)) ? [] : ['Connection: close'];
    return `${[begin.replace('PATH', path), ...lines, ...closes].join('\r\n')}\r\n\r\n${body}`;
  }

  /** Certificate and key, with what is sent behind. */
  #pair({ client, behind }: Request): KeyPairPem | undefined {
    if (client === undefined) return undefined;
    const { certPem, keyPem } = this.#people.certificates[client];
    const more = behind === undefined ? '' : this.#people.certificates[behind].certPem;
    return { certPem: certPem + more, keyPem };
  }

  #port(host: string | undefined): number | undefined {
    return host === undefined ? undefined : this.#running.httpsPort(host);
  }

  #hello({ request, version, session }: Attempt): Hello {
    const sni = request.sni === undefined ? request.host : (request.sni ?? undefined);
    const port = this.#port(sni) ?? this.#port(request.host);
    if (port === undefined) throw new Error(`${request.host} is served nowhere`);
    return { port, sni, client: this.#pair(request), version, session, fragmented: request.fragmented };
  }

  #exchange(attempt: Attempt, path: string): Promise<Exchange> {
    return exchange(this.#hello(attempt), this.#bytes(attempt, path));
  }

  /** Undefined where the product does not have such a way. */
  async #answer(attempt: Attempt, path: string): Promise<Answer | undefined> {
    const { request, forged } = attempt;
    switch (request.way ?? 'https') {
      case 'https':
        return (await this.#exchange(attempt, path)).answer;
      case 'http2': {
        const first = { authority: request.sni ?? request.host, path: this.#path(), lines: [] };
        const second = { authority: request.host, path, lines: forged?.lines ?? [] };
        return (await exchangeHttp2(this.#hello(attempt), [first, second]))?.[1];
      }
      case 'http': {
        const port = this.#running.httpPort(request.host);
        return port === undefined ? undefined : plainExchange(port, this.#bytes(attempt, path));
      }
      case 'pod':
        return plainExchange(this.#backend.port, this.#bytes(attempt, path));
    }
  }

  async #outcome(attempt: Attempt): Promise<string | undefined> {
    const path = this.#path();
    const answer = await this.#answer(attempt, path);
    if (answer === undefined) return undefined;
    const { client, itself } = attempt.request;
    return outcomeOf({
      answer,
      arrival: this.#backend.arrival(path),
      mayBe:
        client === undefined || itself === undefined ? undefined : derOf(this.#people.certificates[client].certPem),
      forged: this.#values,
    });
  }

  stop(): Promise<void> {
    return this.#parts.disposeAsync();
  }
}

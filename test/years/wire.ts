/** The operator's real connection to an authorization server, over a wire that is a function call. */
import type { X509Certificate } from 'node:crypto';
import { Dispatcher } from 'undici';
import { ServerConnection, type ClientTls } from '../../src/authserver/connection/connection.ts';
import type { ServerTraffic } from '../../src/authserver/connection/traffic.ts';
import { certificatesFromPem } from '../../src/x509/pem.ts';
import type { Answer } from './authorization-server.ts';

export interface Sent {
  origin: string;
  path: string;
  method: string;
  token: string | undefined;
  body: string;
  /** Leaf first; empty without a client certificate. */
  chain: readonly X509Certificate[];
  /** Undefined where any address of the host will do. */
  address: string | undefined;
}

/** `unconnected`: nothing was sent. `broken`: it was carried out, perhaps, and no answer came. */
export type Received = Answer | 'unconnected' | 'broken';

export class ModelConnection extends ServerConnection {
  readonly #chains = new WeakMap<ClientTls, readonly X509Certificate[]>();
  readonly #deliver: (sent: Sent) => Received;

  constructor(
    server: ConstructorParameters<typeof ServerConnection>[0],
    deliver: (sent: Sent) => Received,
    traffic: ServerTraffic,
  ) {
    super(server, { traffic });
    this.#deliver = deliver;
  }

  override get shared(): Dispatcher {
    return new Wire(this.#deliver, [], undefined);
  }

  override clientTls(chainPem: string, privateKeyPem: string): ClientTls {
    const tls = super.clientTls(chainPem, privateKeyPem);
    this.#chains.set(tls, certificatesFromPem(chainPem));
    return tls;
  }

  override withFresh<T>(
    { certificate, address }: { certificate?: ClientTls | undefined; address?: string | undefined },
    work: (dispatcher: Dispatcher) => Promise<T>,
  ): Promise<T> {
    const chain = certificate === undefined ? undefined : this.#chains.get(certificate);
    return work(new Wire(this.#deliver, chain ?? [], address));
  }
}

class Wire extends Dispatcher {
  readonly #deliver: (sent: Sent) => Received;
  readonly #chain: readonly X509Certificate[];
  readonly #address: string | undefined;

  constructor(deliver: (sent: Sent) => Received, chain: readonly X509Certificate[], address: string | undefined) {
    super();
    this.#deliver = deliver;
    this.#chain = chain;
    this.#address = address;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const { origin, path, method, body } = options;
    const { authorization } = Object(options.headers);
    const sent: Sent = {
      origin: String(origin),
      path,
      method,
      token: typeof authorization === 'string' ? authorization.replace(/^Bearer /, '') : undefined,
      body: typeof body === 'string' ? body : '',
      chain: this.#chain,
      address: this.#address,
    };
    queueMicrotask(() => answerTo(handler, this.#deliver(sent)));
    return true;
  }
}

const controller: Dispatcher.DispatchController = {
  aborted: false,
  paused: false,
  reason: null,
  abort: () => undefined,
  pause: () => undefined,
  resume: () => undefined,
};

function answerTo(handler: Dispatcher.DispatchHandler, received: Received): void {
  if (received === 'unconnected') {
    handler.onResponseError?.(controller, Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
    return;
  }
  handler.onRequestStart?.(controller, {});
  if (received === 'broken') {
    handler.onResponseError?.(controller, new Error('reset'));
    return;
  }
  handler.onResponseStart?.(controller, received.status, {});
  handler.onResponseData?.(controller, Buffer.from(received.json === undefined ? '' : JSON.stringify(received.json)));
  handler.onResponseEnd?.(controller, {});
}

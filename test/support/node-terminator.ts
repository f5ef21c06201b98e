/**
 * The stand-in where there is no nginx: the same model, the same headers and refusals, in Node. Known differences: it
 * asks for a client certificate on every host (and then ignores it where the host has no client authentication), knows
 * no verify depth and no error page, and never resumes a session.
 */
import { constants, X509Certificate } from 'node:crypto';
import { createServer, type IncomingMessage, request as httpRequest, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, request as httpsRequest } from 'node:https';
import { createSecureContext, TLSSocket } from 'node:tls';
import type { HostModel, IngressModel, LocationModel } from './ingress-model.ts';
import { listen, type Listening } from './listen.ts';
import type { AccessLogEntry, Terminator, TerminatorOptions } from './terminator.ts';

interface ClientCertificateResult {
  verify: string;
  pem?: string;
  serial?: string;
}

const matches = (hostname: string, name: string): boolean =>
  hostname === name || (hostname.startsWith('*.') && name.slice(name.indexOf('.')) === hostname.slice(1));

function hostOf(model: IngressModel, name: string): HostModel | undefined {
  return (
    model.hosts.find(({ hostname }) => hostname === name) ?? model.hosts.find(({ hostname }) => matches(hostname, name))
  );
}

function locationOf(host: HostModel, path: string): LocationModel | undefined {
  const exact = host.locations.find((location) => location.exact && location.path === path);
  const prefixes = host.locations.filter((location) => {
    const base = location.path.replace(/\/+$/, '');
    return !location.exact && (path === base || path.startsWith(`${base}/`));
  });
  return exact ?? prefixes.toSorted((a, b) => b.path.length - a.path.length)[0];
}

function clientCertificateOf(socket: unknown): ClientCertificateResult {
  const peer = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  if (!(socket instanceof TLSSocket) || peer === undefined) return { verify: 'NONE' };
  const verify = socket.authorized ? 'SUCCESS' : `FAILED:${String(socket.authorizationError)}`;
  return { verify, pem: new X509Certificate(peer.raw).toString(), serial: peer.serialNumber };
}

/** What `optional_no_ca` forgives: a chain that leads nowhere, nothing else (ngx_ssl_verify_error_optional). */
const FORGIVEN = [
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
].map((code) => `FAILED:${code}`);

function refusalOf(host: HostModel, client: ClientCertificateResult): number | undefined {
  if (host.denied !== undefined) return 403;
  const mode = host.clientAuthentication?.verify;
  const failed = client.verify.startsWith('FAILED');
  if (mode === 'on' && (failed || client.verify === 'NONE')) return 400;
  if (mode === 'optional_no_ca' && failed && !FORGIVEN.includes(client.verify)) return 400;
  return mode === 'optional' && failed ? 400 : undefined;
}

class NodeTerminator implements Terminator {
  readonly #options: TerminatorOptions;
  readonly #log: AccessLogEntry[] = [];
  #model: IngressModel = { hosts: [], secrets: [] };
  #listening: Listening[] = [];

  constructor(options: TerminatorOptions) {
    this.#options = options;
  }

  async apply(model: IngressModel): Promise<boolean> {
    if (JSON.stringify(model) === JSON.stringify(this.#model) && this.#listening.length > 0) return false;
    for (const host of model.hosts) this.#context(host);
    this.#model = model;
    if (this.#listening.length === 0) await this.#start();
    return true;
  }

  #context(host: HostModel) {
    const { certificate, key } = host.tls ?? this.#options.fakeCertificate;
    const auth = host.clientAuthentication;
    // Node ignores a CA that it cannot read.
    if (auth !== undefined) new X509Certificate(auth.ca).checkIssued(new X509Certificate(auth.ca));
    return createSecureContext({
      cert: certificate,
      key,
      ca: auth === undefined ? [] : [auth.ca],
      ...(auth?.crl === undefined ? {} : { crl: auth.crl }),
      minVersion: 'TLSv1.2',
      secureOptions: constants.SSL_OP_NO_TICKET,
    });
  }

  async #start(): Promise<void> {
    const listener = (request: IncomingMessage, response: ServerResponse) => this.#serve(request, response);
    const secure = createTlsServer(
      {
        requestCert: true,
        rejectUnauthorized: false,
        SNICallback: (name, callback) => {
          const host = hostOf(this.#model, name.toLowerCase());
          if (host === undefined) callback(new Error('unrecognized name'));
          else callback(null, this.#context(host));
        },
      },
      listener,
    );
    secure.on('tlsClientError', () => undefined);
    const plain = createServer(listener);
    const { address, httpPort, httpsPort } = this.#options;
    this.#listening = [await listen(plain, httpPort, address), await listen(secure, httpsPort, address)];
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const sni = socket instanceof TLSSocket && typeof socket.servername === 'string' ? socket.servername : '';
    const name = (request.headers.host ?? '').replace(/:\d+$/, '').toLowerCase();
    const client = clientCertificateOf(socket);
    const path = (request.url ?? '/').replace(/\?.*$/, '');
    const finish = (status: number, upstreamStatus = '', headers: Record<string, string> = {}) => {
      this.#record({ request, name, sni, path, client, status, upstreamStatus });
      if (upstreamStatus === '') response.writeHead(status, headers).end();
    };
    const host = hostOf(this.#model, name);
    if (host === undefined) return finish(404);
    if (socket instanceof TLSSocket && sni.toLowerCase() !== name) return finish(421);
    if (!(socket instanceof TLSSocket) && host.redirectToHttps) {
      return finish(308, '', { location: `https://${name}:${this.#options.httpsPort}${request.url ?? '/'}` });
    }
    const refusal = socket instanceof TLSSocket ? refusalOf(host, client) : undefined;
    if (refusal !== undefined) return finish(refusal);
    const location = locationOf(host, path);
    if (location === undefined) return finish(404);
    if (location.backend === undefined) return finish(503);
    const send = location.backend.protocol === 'https' ? httpsRequest : httpRequest;
    const upstream = send({
      host: location.backend.host === 'localhost' ? '127.0.0.1' : location.backend.host,
      port: location.backend.port,
      method: request.method,
      path: request.url,
      headers: this.#headers(request, host, client),
      rejectUnauthorized: false,
    });
    upstream.once('response', (answer) => {
      finish(answer.statusCode ?? 502, String(answer.statusCode));
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    upstream.once('error', () => (response.headersSent ? response.destroy() : finish(502)));
    request.pipe(upstream);
    return undefined;
  }

  #headers(
    request: IncomingMessage,
    host: HostModel,
    client: ClientCertificateResult,
  ): Record<string, string | string[]> {
    const headers: Record<string, string | string[]> = {};
    const hopByHop = new Set(['connection', 'keep-alive', 'upgrade', 'te', 'proxy', 'proxy-connection', 'expect']);
    for (const [name, lines] of Object.entries(request.headersDistinct)) {
      if (!name.includes('_') && !hopByHop.has(name) && lines !== undefined)
        headers[name] = lines.length === 1 ? lines.join() : lines;
    }
    const scheme = request.socket instanceof TLSSocket ? 'https' : 'http';
    const set: Record<string, string> = {
      'x-forwarded-for': request.socket.remoteAddress ?? '',
      'x-forwarded-host': request.headers.host ?? '',
      'x-forwarded-proto': scheme,
      ...this.#options.proxySetHeaders,
    };
    const auth = host.clientAuthentication;
    if (auth !== undefined) {
      set['ssl-client-verify'] = client.verify;
      set['ssl-client-subject-dn'] = '';
      set['ssl-client-issuer-dn'] = '';
      if (auth.passCertificate) set['ssl-client-cert'] = encodeURIComponent(client.pem ?? '');
    }
    for (const [name, value] of Object.entries(set)) {
      delete headers[name];
      if (value !== '') headers[name] = value;
    }
    return headers;
  }

  #record(entry: {
    request: IncomingMessage;
    name: string;
    sni: string;
    path: string;
    client: ClientCertificateResult;
    status: number;
    upstreamStatus: string;
  }): void {
    this.#log.push({
      time: String(Date.now() / 1000),
      host: entry.name,
      sni: entry.sni,
      method: entry.request.method ?? '',
      uri: entry.path,
      status: String(entry.status),
      upstreamStatus: entry.upstreamStatus,
      verify: entry.client.verify,
      clientSerial: entry.client.serial ?? '',
      sessionReused: '.',
    });
  }

  configuration(): string {
    return JSON.stringify(this.#model, undefined, 2);
  }

  accessLog(): Promise<AccessLogEntry[]> {
    return Promise.resolve([...this.#log]);
  }

  async stop(): Promise<void> {
    for (const listening of this.#listening) await listening.stop();
  }
}

export function createNodeTerminator(options: TerminatorOptions): Terminator {
  return new NodeTerminator(options);
}

/** CONNECT (RFC 9110 §9.3.6): a way through a proxy to a server, in which our own TLS then ends at the server. */
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net';
import { connect as connectTls, getCACertificates } from 'node:tls';
import { untrusted } from './untrusted.ts';

export interface Proxy {
  readonly url: URL;
  /** CAs that vouch for it besides the system's. */
  readonly caPem: string | undefined;
  readonly lookup: LookupFunction;
  /** Asked for each connection; undefined where it wants none. */
  credentials(): Promise<ProxyCredentials | undefined>;
}

/** RFC 7617. */
export interface ProxyCredentials {
  readonly username: string;
  readonly password: string;
}

/** There is no way through the proxy. Its message is a clause for messages, without secrets. */
export class TunnelError extends Error {
  override readonly name = 'TunnelError';
  readonly why: 'unconnected' | 'untrusted';

  constructor(why: TunnelError['why'], clause: string, options?: ErrorOptions) {
    super(clause, options);
    this.why = why;
  }
}

const DEADLINE_MS = 10_000;
const largestHead = 16_384;

/**
 * A connection to `host` through the proxy, on which nothing was sent yet.
 * @throws {TunnelError}
 */
export async function openTunnel(proxy: Proxy, host: string, port: number): Promise<Socket> {
  const credentials = await credentialsOf(proxy);
  const socket = connectTo(proxy);
  const timer = setTimeout(() => {
    socket.destroy(new TunnelError('unconnected', `the proxy ${proxy.url.host} did not answer within 10 s`));
  }, DEADLINE_MS);
  try {
    await connected(proxy, socket);
    const target = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
    const authorization =
      credentials === undefined
        ? ''
        : `Proxy-Authorization: Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}\r\n`;
    socket.write(`CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\n${authorization}\r\n`);
    const status = await statusOf(proxy, socket);
    if (status < 200 || status > 299) throw refusal(proxy, status, target);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function credentialsOf(proxy: Proxy): Promise<ProxyCredentials | undefined> {
  try {
    return await proxy.credentials();
  } catch (cause) {
    const clause = `the credentials of the proxy ${proxy.url.host} cannot be read: see proxyCredentialsSecretRef`;
    throw new TunnelError('unconnected', clause, { cause });
  }
}

function connectTo({ url, caPem, lookup }: Proxy): Socket {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  if (url.protocol === 'http:') return connectTcp({ host, port: Number(url.port || 80), lookup });
  return connectTls({
    host,
    port: Number(url.port || 443),
    lookup,
    ...(isIP(host) === 0 ? { servername: host } : {}),
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ...(caPem === undefined ? {} : { ca: [...getCACertificates('default'), caPem] }),
  });
}

function connected({ url }: Proxy, socket: Socket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once(url.protocol === 'http:' ? 'connect' : 'secureConnect', resolve);
  // Stays: a socket that fails without a listener ends the process.
  socket.on('error', (error) => reject(failure(url, error)));
  socket.once('close', () => reject(broken(url)));
  return promise;
}

/** Of its answer to CONNECT; what comes after the head is the server's. */
function statusOf({ url }: Proxy, socket: Socket): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  let head = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0 && head.length <= largestHead) return;
    socket.off('data', onData).pause();
    const status = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(head.subarray(0, Math.max(0, end + 2)).toString('latin1'))?.[1];
    if (status === undefined) return reject(new TunnelError('unconnected', `the proxy ${url.host} speaks no HTTP/1.1`));
    const rest = head.subarray(end + 4);
    if (rest.length > 0) socket.unshift(rest);
    resolve(Number(status));
  };
  socket.on('data', onData);
  socket.on('error', (error) => reject(failure(url, error)));
  socket.once('close', () => reject(broken(url)));
  return promise;
}

function broken({ host }: URL): TunnelError {
  return new TunnelError('unconnected', `the proxy ${host} broke the connection`);
}

function refusal({ url }: Proxy, status: number, target: string): TunnelError {
  const says =
    status === 407
      ? `wants credentials, or others (407): see proxyCredentialsSecretRef`
      : status === 403
        ? `does not let us through to ${target} (403)`
        : `cannot reach ${target} (${status})`;
  return new TunnelError('unconnected', `the proxy ${url.host} ${says}`);
}

function failure({ host, hostname }: URL, error: Error): TunnelError {
  if (error instanceof TunnelError) return error;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (code === 'ECONNREFUSED') return new TunnelError('unconnected', `the proxy ${host} refused the connection`);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN')
    return new TunnelError('unconnected', `the host name ${hostname} of the proxy cannot be resolved`);
  if (untrusted.has(code))
    return new TunnelError(
      'untrusted',
      `the TLS certificate of the proxy ${host} is not trusted (${code}): put the CA that signed it into caBundle, or correct it`,
    );
  return new TunnelError('unconnected', `the proxy ${host} cannot be reached`, { cause: error });
}

/** One request over one TLS connection to a terminator, and of the answer nothing but what decides. */
import { connect as connectTcp, isIP } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { Outcome } from './outcome.ts';

export interface Certificate {
  /** Leaf first. */
  chainPem: string;
  privateKeyPem: string;
}

export interface Call {
  /** An IP address. */
  ip: string;
  port: number;
  /** Server name of the handshake, and Host of the request. */
  host: string;
  certificate?: Certificate;
  session?: Buffer;
  version?: 'TLSv1.2' | 'TLSv1.3';
  headers?: Readonly<Record<string, string>>;
}

/** A path that nobody serves: what answers 404 does no work, and it says in access logs who asked. */
export const PROOF_PATH = '/.well-known/certbound-proof';
const DEADLINE_MS = 5_000;
const SESSION_DEADLINE_MS = 2_000;
const largestAnswer = 16 * 1024;

/** About the client's certificate, under whatever name this OpenSSL gives the alert. */
const certificateAlert =
  /ALERT_(?:NO_CERTIFICATE|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|CERTIFICATE_|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)/;
/** Never got as far as TLS. */
const noConnection = /^E(?:CONNREFUSED|HOSTUNREACH|NETUNREACH|TIMEDOUT|ADDRNOTAVAIL|HOSTDOWN|NETDOWN|ACCES|PERM)$/;
/** A terminator says in the page why it refuses; others' pages of these statuses are read as far. */
const mayExplain: ReadonlySet<number> = new Set([400, 401, 403, 421]);

/**
 * Who the terminator is is not verified: the platform named its address, and what is learnt protects nobody who talks to
 * another one. Nothing secret is sent. Never rejects.
 */
export async function callTerminator(
  call: Call,
  signal: AbortSignal,
): Promise<{ outcome: Outcome; sessionReused: boolean }> {
  const socket = open(call);
  const outcome = await outcomeOf(socket, call, signal);
  const sessionReused = socket.isSessionReused();
  socket.destroy();
  return { outcome, sessionReused };
}

/** The session of a connection that shows no certificate and asks for nothing; undefined where none is given. */
export async function sessionOf(
  call: Omit<Call, 'certificate' | 'session'>,
  signal: AbortSignal,
): Promise<Buffer | undefined> {
  const socket = open(call);
  const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
  const end = (): void => resolve(undefined);
  const timer = setTimeout(end, SESSION_DEADLINE_MS);
  signal.addEventListener('abort', end, { once: true });
  if (signal.aborted) end();
  socket.on('error', end).once('close', end).once('session', resolve).resume();
  // What is to be sent was sent before the end of ours is read.
  socket.once('secureConnect', () => socket.end());
  const session = await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', end);
  socket.destroy();
  return session === undefined ? undefined : openSslSession(session);
}

/**
 * Node (24.21) writes before OpenSSL's own form, which is DER, whom the session was made with, and with others offers none.
 * Here that is the question. The DER is where a SEQUENCE ends with the whole.
 */
function openSslSession(session: Buffer): Buffer {
  for (let start = 0; start + 4 < session.length; start++) {
    if (session[start] !== 0x30 || session[start + 1] !== 0x82) continue;
    if (start + 4 + session.readUInt16BE(start + 2) === session.length) return session.subarray(start);
  }
  return session;
}

function open({ ip, port, host, certificate, session, version }: Call): TLSSocket {
  const tcp = connectTcp({ host: ip, port });
  // TLS hears of it; a socket that fails without a listener ends the process.
  tcp.on('error', () => undefined);
  const socket = connectTls({
    socket: tcp,
    ...(isIP(host) === 0 && host !== '' ? { servername: host } : {}),
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    minVersion: version ?? 'TLSv1.2',
    ...(version === undefined ? {} : { maxVersion: version }),
    ...(session === undefined ? {} : { session }),
    ...(certificate === undefined ? {} : { cert: certificate.chainPem, key: certificate.privateKeyPem }),
  });
  socket.once('close', () => tcp.destroy());
  return socket;
}

async function outcomeOf(socket: TLSSocket, call: Call, signal: AbortSignal): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>();
  let text = '';
  const soFar = (otherwise: Outcome): Outcome => {
    const status = statusOf(text);
    return status === undefined ? otherwise : { kind: 'answer', status, aboutCertificate: isAboutCertificate(text) };
  };
  const timer = setTimeout(() => resolve(soFar({ kind: 'unreachable', why: 'no answer in time' })), DEADLINE_MS);
  const abort = (): void => resolve({ kind: 'unreachable', why: 'cancelled' });
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  socket.on('error', (error: NodeJS.ErrnoException) => resolve(soFar(failure(error))));
  socket.once('close', () => resolve(soFar({ kind: 'closed' })));
  socket.once('secureConnect', () => socket.write(requestOf(call)));
  socket.on('data', (chunk: Buffer) => {
    text += chunk.subarray(0, largestAnswer).toString('latin1');
    const status = statusOf(text);
    const enough = status === undefined ? text.length > largestAnswer : !mayExplain.has(status);
    if (enough || text.length > largestAnswer) resolve(soFar({ kind: 'closed' }));
  });
  socket.once('end', () => resolve(soFar({ kind: 'closed' })));
  const outcome = await promise;
  clearTimeout(timer);
  signal.removeEventListener('abort', abort);
  return outcome;
}

function failure({ code = '' }: NodeJS.ErrnoException): Outcome {
  if (certificateAlert.test(code)) return { kind: 'alert' };
  if (noConnection.test(code)) return { kind: 'unreachable', why: code };
  return { kind: 'closed' };
}

function requestOf({ host, headers = {} }: Call): string {
  const lines = Object.entries({ Host: host, 'User-Agent': 'certbound-proof', ...headers, Connection: 'close' });
  return `GET ${PROOF_PATH} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`;
}

const statusLine = /^HTTP\/1\.[01] (\d{3})[ \r]/;

/** Of the final response; those of 1xx go before it (RFC 9110 §15.2). */
function statusOf(text: string): number | undefined {
  const head = finalResponse(text);
  const status = Number(statusLine.exec(head)?.[1]);
  return Number.isNaN(status) || status < 200 ? undefined : status;
}

function finalResponse(text: string): string {
  let rest = text;
  while (/^HTTP\/1\.[01] 1\d\d[ \r]/.test(rest)) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return '';
    rest = rest.slice(end + 4);
  }
  return rest;
}

function isAboutCertificate(text: string): boolean {
  const response = finalResponse(text);
  const end = response.indexOf('\r\n\r\n');
  return end >= 0 && /\bcertificate\b/i.test(response.slice(end));
}

/** An attacker's side of the wire: sockets of our own, and bytes as they are written here. Nothing is put right on the way. */
import { connect as connectHttp2, constants } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { KeyPairPem } from '../support/throwaway-ca.ts';

export interface Hello {
  port: number;
  /** The server name as it is sent; none is sent without. */
  sni?: string | undefined;
  /** Its `certPem` may hold more certificates behind the leaf: all are sent. */
  client?: KeyPairPem | undefined;
  session?: Buffer | undefined;
  version?: 'TLSv1.2' | 'TLSv1.3' | undefined;
  alpn?: string | undefined;
  /** The ClientHello in TLS records of 32 octets, each in a TCP segment of its own. */
  fragmented?: boolean | undefined;
}

/** `refused`: the connection ended without a word of HTTP, by an alert, in order, or by a reset: which it is, is a race. */
export type Answer = { kind: 'refused' } | { kind: 'answer'; status: number };

export interface Exchange {
  answer: Answer;
  /** To be resumed, where the server gave one. */
  session: Buffer | undefined;
  resumed: boolean;
}

/** A limit, no measure. */
const DEADLINE_MS = 20_000;
const FRAGMENT = 32;

function fragmented(record: Buffer): Buffer[] {
  const [header, message] = [record.subarray(0, 3), record.subarray(5, 5 + record.readUInt16BE(3))];
  const segments: Buffer[] = [];
  for (let at = 0; at < message.length; at += FRAGMENT) {
    const part = message.subarray(at, at + FRAGMENT);
    const length = Buffer.alloc(2);
    length.writeUInt16BE(part.length);
    segments.push(Buffer.concat([header, length, part]));
  }
  return [...segments, record.subarray(5 + message.length)];
}

/** Takes the first TLS record apart (RFC 8446 §5.1 lets a handshake message span records). */
class FragmentingSocket extends Duplex {
  readonly #socket: Socket;
  #first = true;

  constructor(socket: Socket) {
    super();
    this.#socket = socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.once('end', () => this.push(null));
    socket.once('error', (error) => this.destroy(error));
    socket.once('close', () => this.destroy());
  }

  override _read(): void {
    this.#socket.resume();
  }

  /** Not to be answered in between, but to be read apart. */
  #writeApart([segment, ...more]: readonly Buffer[], done: () => void): void {
    if (segment === undefined) {
      done();
      return;
    }
    this.#socket.write(segment);
    setTimeout(() => this.#writeApart(more, done), 1);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    if (!this.#first) {
      this.#socket.write(chunk, callback);
      return;
    }
    this.#first = false;
    this.#writeApart(fragmented(chunk), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#socket.end(callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#socket.destroy();
    callback(error);
  }
}

function handshake(hello: Hello): TLSSocket {
  const { port, sni, client, session, version, alpn } = hello;
  const tcp = connectTcp({ host: '127.0.0.1', port });
  return connectTls({
    socket: hello.fragmented === true ? new FragmentingSocket(tcp) : tcp,
    // Whose the server's certificate is does not matter to an attacker.
    rejectUnauthorized: false,
    ...(sni === undefined ? {} : { servername: sni }),
    ...(client === undefined ? {} : { cert: client.certPem, key: client.keyPem }),
    ...(session === undefined ? {} : { session }),
    ...(version === undefined ? {} : { minVersion: version, maxVersion: version }),
    ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
  });
}

/**
 * A session as if it were of another host, of a name of the same length: OpenSSL's client offers it to no other, by the
 * name that it has noted in it. What the server knows of the session is its own, or sealed in the ticket.
 */
export function renamed(session: Buffer | undefined, from: string, to: string): Buffer | undefined {
  if (session === undefined || from.length !== to.length) return session;
  const at = session.indexOf(from, 0, 'latin1');
  if (at === -1) return session;
  return Buffer.concat([session.subarray(0, at), Buffer.from(to, 'latin1'), session.subarray(at + from.length)]);
}

/** What a server says to such bytes, up to the end of its headers. */
function answerTo(stream: Duplex, bytes: string, ready: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`no answer to ${bytes.slice(0, 200)}`)), DEADLINE_MS);
    let text = '';
    const done = (answer: Answer): void => {
      clearTimeout(deadline);
      resolve(answer);
    };
    stream.once(ready, () => stream.write(bytes, 'latin1'));
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      const status = /^HTTP\/1\.[01] (\d{3})[^]*?\r\n\r\n/.exec(text)?.[1];
      if (status !== undefined) done({ kind: 'answer', status: Number(status) });
    });
    // Who does not read what was sent resets the connection, and an alert may be lost with it.
    stream.on('error', () => done({ kind: 'refused' }));
    stream.once('close', () => done({ kind: 'refused' }));
  });
}

/** One HTTP/1.1 request on a TLS connection of its own. */
export async function exchange(hello: Hello, bytes: string): Promise<Exchange> {
  const socket = handshake(hello);
  let session: Buffer | undefined;
  // TLS 1.3: each is a ticket of its own, and arrives before the answer.
  socket.on('session', (given) => (session = given));
  try {
    const answer = await answerTo(socket, bytes, 'secureConnect');
    return { answer, session, resumed: socket.isSessionReused() };
  } finally {
    socket.destroy();
  }
}

/** The same without TLS. */
export async function plainExchange(port: number, bytes: string): Promise<Answer> {
  const socket = connectTcp({ host: '127.0.0.1', port });
  try {
    return await answerTo(socket, bytes, 'connect');
  } finally {
    socket.destroy();
  }
}

export interface Http2Request {
  authority: string;
  path: string;
  /** As in HTTP/1.1. */
  lines: readonly string[];
}

/** Requests one after the other on one HTTP/2 connection; undefined where the server does not speak it. */
export async function exchangeHttp2(hello: Hello, requests: readonly Http2Request[]): Promise<Answer[] | undefined> {
  const socket = handshake({ ...hello, alpn: 'h2' });
  const opened = await new Promise<boolean>((resolve) => {
    socket.once('secureConnect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => resolve(false));
  });
  if (opened && socket.alpnProtocol !== 'h2') {
    socket.destroy();
    return undefined;
  }
  const refused: Answer = { kind: 'refused' };
  if (!opened) return requests.map(() => refused);
  const connection = connectHttp2('https://localhost', { createConnection: () => socket });
  connection.on('error', () => undefined);
  try {
    const answers: Answer[] = [];
    for (const request of requests) answers.push(await answerToHttp2(connection, request));
    return answers;
  } finally {
    connection.destroy();
  }
}

function fieldOf(line: string): [name: string, value: string] {
  const at = line.indexOf(':');
  return [line.slice(0, at).toLowerCase(), line.slice(at + 1).trim()];
}

function answerToHttp2(
  connection: ReturnType<typeof connectHttp2>,
  { authority, path, lines }: Http2Request,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    if (connection.closed || connection.destroyed) {
      resolve({ kind: 'refused' });
      return;
    }
    const deadline = setTimeout(() => reject(new Error(`no answer to ${authority}${path}`)), DEADLINE_MS);
    const done = (answer: Answer): void => {
      clearTimeout(deadline);
      resolve(answer);
    };
    const stream = connection.request({
      [constants.HTTP2_HEADER_AUTHORITY]: authority,
      [constants.HTTP2_HEADER_PATH]: path,
      ...Object.fromEntries(lines.map(fieldOf)),
    });
    stream.once('response', (given) => {
      done({ kind: 'answer', status: Number(given[constants.HTTP2_HEADER_STATUS]) });
      stream.close();
    });
    stream.once('error', () => done({ kind: 'refused' }));
    stream.once('close', () => done({ kind: 'refused' }));
  });
}

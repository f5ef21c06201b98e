import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** How often HTTP/2 PINGs are sent, milliseconds. */
export const pingMs = 10_000;

/** With the third in a row that has no answer it is over: as client-go, after some 30 s. */
const mostSilentPings = 2;

/**
 * Ends a connection whose peer has gone without a word (a NAT that forgot it, a node that froze): nothing is heard on it any
 * more, not even the answers to our PINGs (RFC 9113 §6.7). Without this a quiet watch would find out only after its own,
 * much longer patience. HTTP/1.1 has no PINGs, and its silence means nothing.
 *
 * @param everyMs how often PINGs are sent on it
 */
export function endWhenDead(socket: Socket, everyMs = pingMs): void {
  if (!(socket instanceof TLSSocket) || socket.alpnProtocol !== 'h2') return;
  let heard = socket.bytesRead;
  let silent = 0;
  const timer = setInterval(() => {
    // Counted and not timed: a process that was stopped for a while has not listened meanwhile.
    silent = socket.bytesRead === heard ? silent + 1 : 0;
    heard = socket.bytesRead;
    if (silent > mostSilentPings) socket.destroy(new Error('the peer answers no PING'));
  }, everyMs);
  timer.unref();
  socket.once('close', () => clearInterval(timer));
}

/** The API behind a terminator. It reads the certificate as the product's users do, and keeps what it believed. */
import { createServer } from 'node:http';
import {
  type CertificateVerification,
  decodeCertificateHeader,
  type HeaderLines,
} from '../../src/verifier/certificate-header.ts';
import type { TerminatorName } from '../../src/verifier/terminators.ts';
import { listen } from '../support/listen.ts';

/** A request that got through. */
export interface Arrival {
  lines: HeaderLines;
  /** DER of whom it was taken for, or why for nobody: a code of `CertificateHeaderRefusal`. */
  believed: Uint8Array | string;
}

export interface Backend {
  readonly port: number;
  /** By the path of the request. */
  arrival(path: string): Arrival | undefined;
  stop(): Promise<void>;
}

/** @param reads whose header, and what its sender vouches for, on this host */
export async function startBackend(
  reads: (host: string) => { terminator: TerminatorName; verification: CertificateVerification },
): Promise<Backend> {
  const arrivals = new Map<string, Arrival>();
  // What is too long has to be the terminator's answer or the verifier's, not that of Node's limits.
  const server = createServer({ maxHeaderSize: 512 * 1024 }, (request, response) => {
    const lines = request.headersDistinct;
    const decoded = decodeCertificateHeader(lines, reads(lines['host']?.[0] ?? ''));
    // An absolute form names the host too (RFC 9112 §3.2.2).
    const path = (request.url ?? '').replace(/^https?:\/\/[^/]*/, '');
    arrivals.set(path, { lines, believed: decoded.ok ? decoded.der : decoded.error.code });
    request.resume().once('end', () => response.writeHead(200, { 'content-length': 0 }).end());
  });
  const listening = await listen(server);
  return { ...listening, arrival: (path) => arrivals.get(path) };
}

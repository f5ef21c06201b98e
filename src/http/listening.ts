import type { Server } from 'node:http';

export interface Listening {
  readonly host: string;
  readonly port: number;
  /** Answers what is under way, then closes. */
  close(): Promise<void>;
}

const requestMs = 10_000;
/** A client that never reads its answer must not keep the process. */
const lastAnswersMs = 5_000;

/**
 * Has a server listen, with a deadline for each request.
 * @param options.host default: all addresses
 * @param options.port 0 takes any free port
 * @throws the system's error where it can't
 */
export async function listening(
  server: Server,
  { host, port }: { host?: string | undefined; port: number },
): Promise<Listening> {
  server.requestTimeout = requestMs;
  server.headersTimeout = requestMs;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('Bug: a TCP server without an address.');
  return {
    host: address.address,
    port: address.port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), lastAnswersMs).unref();
      }),
  };
}

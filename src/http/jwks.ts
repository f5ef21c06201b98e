import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:https';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { OperatorError } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import { type Listening, listening } from './listening.ts';

export interface JwksServerOptions {
  /** Default: all addresses. */
  host?: string | undefined;
  /** 0 takes any free port. */
  port: number;
  /** A directory with `tls.crt` and `tls.key`, as kubelet mounts a kubernetes.io/tls Secret; read again as they change. */
  tlsDirectory: string;
  /** The public JWKs under a name; undefined where there is nobody of that name. */
  keysOf: (name: string) => readonly object[] | undefined;
  logger: Logger;
  /** Milliseconds between looks at the files. Default 30,000. */
  lookMs?: number;
}

export type JwksServer = Omit<Listening, 'host'>;

/** What a server may keep them for; `AuthorizationServer.spec.propagation` covers it (its default is the same). */
const MAX_AGE_SECONDS = 60;

/**
 * Key sets of clients (RFC 7517 §5) for servers that read them by `jwks_uri` (RFC 7591 §2): public keys alone, over HTTPS,
 * by every replica.
 *
 * @throws {OperatorError} `InvalidConfiguration`: the certificate can't be read or used
 */
export async function startJwksServer(options: JwksServerOptions): Promise<JwksServer> {
  const { tlsDirectory, keysOf, logger } = options;
  let pair = await readPair(tlsDirectory);
  const server = createServer({ ...pair, minVersion: 'TLSv1.2' }, (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return send(response, 405);
    const name = /^\/jwks\/([a-z0-9.-]{1,253})$/.exec(request.url?.split('?', 1)[0] ?? '')?.[1];
    const keys = name === undefined ? undefined : keysOf(name);
    if (keys === undefined) return send(response, 404);
    const headers = {
      'content-type': 'application/jwk-set+json',
      'cache-control': `public, max-age=${MAX_AGE_SECONDS}`,
    };
    response.writeHead(200, headers).end(JSON.stringify({ keys }));
  });
  server.on('tlsClientError', () => undefined);
  const reload = async (): Promise<void> => {
    const found = await readPair(tlsDirectory);
    if (found.cert === pair.cert && found.key === pair.key) return;
    pair = found;
    server.setSecureContext({ ...pair, minVersion: 'TLSv1.2' });
    logger.info({ directory: tlsDirectory }, 'the certificate of the key sets was replaced');
  };
  const look = setInterval(() => {
    reload().catch((error: unknown) =>
      logger.warn({ err: error }, 'the certificate of the key sets stays the one that was read before'),
    );
  }, options.lookMs ?? 30_000).unref();
  const listens = await listening(server, options);
  return {
    port: listens.port,
    close() {
      clearInterval(look);
      return listens.close();
    },
  };
}

function send(response: ServerResponse, status: number): void {
  response.writeHead(status, { 'cache-control': 'no-store' }).end();
}

/** Only a pair that fits: kubelet replaces both files at once; others may not, and are read half-written. */
async function readPair(directory: string): Promise<{ cert: string; key: string }> {
  try {
    const [cert, key] = await Promise.all(
      ['tls.crt', 'tls.key'].map((file) => readFile(join(directory, file), 'utf8')),
    );
    if (cert === undefined || key === undefined) throw new TypeError('two files');
    // An empty file is none: OpenSSL takes it for no certificate at all, and every handshake would fail from then on.
    if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) throw new TypeError('another key');
    return { cert, key };
  } catch (cause) {
    throw new OperatorError(
      'InvalidConfiguration',
      `The certificate and key of the key sets (tls.crt and tls.key in ${directory}) can't be read or don't fit together. ` +
        'Mount a Secret of type kubernetes.io/tls there.',
      { cause, retry: { class: 'terminal' } },
    );
  }
}

/** The small API behind a TLS terminator that accepts certificate-bound tokens and nothing else. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { JWTVerifyGetKey } from 'jose';
import { decodeCertificateHeader } from '../../src/verifier/certificate-header.ts';
import { verifyBoundToken } from '../../src/verifier/bound-token.ts';
import type { TerminatorName } from '../../src/verifier/terminators.ts';
import { listen } from './listen.ts';
import { verifiedBy } from './verified-by.ts';

export interface ResourceServerOptions {
  issuer: string;
  audience: string;
  jwks: JWTVerifyGetKey;
  /** Whose header has the client's certificate. Default nginx. */
  terminator?: TerminatorName;
  /** Of the host in `request` mode, with its port: there the terminator verifies nothing. Default: none. */
  selfSignedHost?: string;
  /** Of the backend on 127.0.0.1. Default: a free one. */
  port?: number;
}

export interface ResourceServer {
  readonly port: number;
  stop(): Promise<void>;
}

/** RFC 6750 §2.1; a token in the query is never read. */
function bearerToken(request: IncomingMessage): string | undefined {
  const [line, ...more] = request.headersDistinct['authorization'] ?? [];
  return more.length > 0 ? undefined : /^bearer +([^ ]+)$/i.exec(line ?? '')?.[1];
}

function respond(response: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(`${JSON.stringify(body)}\n`);
}

export async function startResourceServer(options: ResourceServerOptions): Promise<ResourceServer> {
  const { terminator = 'nginx' } = options;
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // RFC 8705 §6.2: the binding is what counts here, not who issued the certificate; yet the terminator verifies it.
    const unverified =
      options.selfSignedHost !== undefined && request.headers['x-forwarded-host'] === options.selfSignedHost;
    const verification = unverified ? 'none' : verifiedBy(terminator);
    const certificate = decodeCertificateHeader(request.headersDistinct, { terminator, verification });
    const verdict = await verifyBoundToken({
      token: bearerToken(request),
      certificateDer: certificate.ok ? certificate.der : undefined,
      issuer: options.issuer,
      audience: options.audience,
      jwks: options.jwks,
      now: new Date(),
    });
    if (verdict.outcome === 'accepted') {
      respond(response, 200, { subject: verdict.claims.sub, x5t_s256: verdict.thumbprint });
    } else if (verdict.outcome === 'refused') {
      const body = { error: verdict.error, error_description: verdict.description };
      respond(response, 401, body, { 'www-authenticate': verdict.wwwAuthenticate });
    } else {
      respond(response, 503, { error_description: verdict.description });
    }
  };
  return listen(
    createServer((request, response) => void serve(request, response)),
    options.port,
  );
}

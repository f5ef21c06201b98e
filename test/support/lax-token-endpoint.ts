/** A token endpoint that asks for a certificate and, until it is told to, looks at none. */
import { createServer } from 'node:https';
import { TLSSocket } from 'node:tls';
import { listen } from './listen.ts';
import type { KeyPairPem } from './throwaway-ca.ts';
import { x5tS256 } from '../../src/x509/thumbprint.ts';

export interface LaxTokenEndpoint {
  readonly url: string;
  /** From now on it wants a certificate that somebody else has signed. */
  enforce(): void;
  stop(): Promise<void>;
}

const encoded = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** @param pair for localhost */
export async function startLaxTokenEndpoint(pair: KeyPairPem): Promise<LaxTokenEndpoint> {
  let enforced = false;
  const options = { cert: pair.certPem, key: pair.keyPem, requestCert: true, rejectUnauthorized: false };
  const server = createServer(options, (request, response) => {
    const shown = request.socket instanceof TLSSocket ? request.socket.getPeerX509Certificate() : undefined;
    const refused = enforced && (shown === undefined || shown.issuer === shown.subject);
    const cnf = shown === undefined ? {} : { cnf: { 'x5t#S256': x5tS256(shown) } };
    const token = `${encoded({ alg: 'none' })}.${encoded(cnf)}.`;
    const answer = refused
      ? { error: 'invalid_client' }
      : { access_token: token, token_type: 'Bearer', expires_in: 60 };
    request.resume();
    response.writeHead(refused ? 401 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  const listening = await listen(server);
  return {
    url: `https://localhost:${listening.port}/token`,
    enforce() {
      enforced = true;
    },
    stop: () => listening.stop(),
  };
}

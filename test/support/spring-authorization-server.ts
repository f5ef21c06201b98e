/** Spring Authorization Server, whose registration takes one initial access token for each client and changes nothing later. */
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { freePort } from './free-port.ts';
import { type Answer, type Call, call } from './https-call.ts';
import { serverFolder, startJavaServer } from './java-server.ts';
import { MAIN_CLASS, springClassPath } from './spring-application.ts';
import type { KeyPairPem, ThrowawayCa } from './throwaway-ca.ts';

export const SPRING_HOST = 'spring.example.test';

export interface SpringOptions {
  /** Issues its own TLS certificate, and vouches for those of the key sets that it reads. */
  serverCa: ThrowawayCa;
  /** Vouches for the certificates of tls_client_auth. */
  clientCaPem: string;
  /** Seconds. Default 300. */
  accessTokenTTL?: number;
}

const client = z.object({ client_id: z.string(), client_name: z.string(), methods: z.array(z.string()) });

export interface SpringAuthorizationServer {
  readonly issuer: string;
  /** Where certificates are taken that nobody vouches for. */
  readonly selfSignedOrigin: string;
  readonly caPem: string;
  /** Every client but the one that gets initial access tokens. */
  clients(): Promise<z.infer<typeof client>[]>;
  /** Good for five minutes and one registration. */
  initialAccessToken(): Promise<string>;
  call(path: string, request?: Omit<Call, 'url' | 'ca'>): Promise<Answer>;
  /** The user who signs in at the authorization endpoint. */
  readonly user: { name: string; password: string };
  /** Whether it registers as it does without the application's own converters. */
  setStock(stock: boolean): Promise<void>;
  log(): Promise<string>;
  stop(): Promise<void>;
}

export async function startSpringAuthorizationServer(options: SpringOptions): Promise<SpringAuthorizationServer> {
  const classPath = await springClassPath();
  const { serverCa, clientCaPem, accessTokenTTL = 300 } = options;
  const pair = await serverCa.issue({ cn: SPRING_HOST, dns: [SPRING_HOST] });
  const [port, selfSignedPort] = [await freePort(), await freePort()];
  const issuer = `https://${SPRING_HOST}:${port}`;
  const password = randomBytes(16).toString('hex');
  const own = await serverFolder('spring');
  const folder = own.path;
  await writeTls(folder, pair, clientCaPem, serverCa.certPem);
  const settings = {
    'server.port': port,
    'server.address': '127.0.0.1',
    'server.ssl.certificate': join(folder, 'server.crt'),
    'server.ssl.certificate-private-key': join(folder, 'server.key'),
    'server.ssl.trust-certificate': join(folder, 'clients-ca.crt'),
    'server.ssl.client-auth': 'want',
    'server.tomcat.threads.max': 16,
    'spring.main.banner-mode': 'off',
    'certbound.issuer': issuer,
    'certbound.tls': folder,
    'certbound.self-signed-port': selfSignedPort,
    'certbound.access-token-seconds': accessTokenTTL,
    'certbound.registrar-secret': password,
  };
  const ask: SpringAuthorizationServer['call'] = (path, request) =>
    call({ ...request, url: `${issuer}${path}`, ca: serverCa.certPem });
  const { log, stop } = await startJavaServer({
    name: 'Spring Authorization Server',
    folder: own,
    args: [
      '-Xmx192m',
      '-XX:MaxMetaspaceSize=160m',
      '-XX:+UseSerialGC',
      // To start soon matters more here than to run fast.
      '-XX:TieredStopAtLevel=1',
      `-Djava.io.tmpdir=${folder}`,
      ...Object.entries(settings).map(([name, value]) => `-D${name}=${value}`),
      '-cp',
      classPath,
      MAIN_CLASS,
    ],
    answers: async () => (await ask('/.well-known/oauth-authorization-server')).status === 200,
  });
  return {
    issuer,
    selfSignedOrigin: `https://${SPRING_HOST}:${selfSignedPort}`,
    caPem: serverCa.certPem,
    user: { name: 'ada', password },
    call: ask,
    async clients() {
      const all = z.array(client).parse(JSON.parse((await ask('/test/clients')).text));
      return all.filter(({ client_id: id }) => id !== 'registrar');
    },
    async initialAccessToken() {
      const answer = await ask('/oauth2/token', {
        body: new URLSearchParams({
          grant_type: 'client_credentials',
          client_id: 'registrar',
          client_secret: password,
          scope: 'client.create',
        }),
      });
      const token = answer.json['access_token'];
      if (typeof token !== 'string') throw new Error(`no initial access token: ${answer.status} ${answer.text}`);
      return token;
    },
    async setStock(stock) {
      await ask(`/test/stock?value=${stock}`, { method: 'POST' });
    },
    log,
    stop,
  };
}

async function writeTls(folder: string, pair: KeyPairPem, clientCaPem: string, outboundCaPem: string): Promise<void> {
  const files = {
    'server.crt': pair.certPem,
    'server.key': pair.keyPem,
    'clients-ca.crt': clientCaPem,
    'outbound-ca.crt': outboundCaPem,
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content, { mode: 0o600 });
}

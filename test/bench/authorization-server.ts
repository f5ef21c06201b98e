/**
 * oidc-provider, and an API that takes its tokens, in a process of their own, so that their work is not the bench's and
 * its CPU time can be told apart.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { z } from 'zod';
import { startAuthorizationServer } from '../support/authorization-server.ts';
import { startResourceServer } from '../support/resource-server.ts';

const serverOptions = z.object({
  issuer: z.string(),
  mtlsOrigin: z.string(),
  selfSignedOrigin: z.string(),
  /** Where the API takes self-signed certificates. */
  selfSignedApiOrigin: z.string(),
  initialAccessToken: z.string(),
  rotateRegistrationAccessToken: z.boolean(),
  /** Seconds. */
  accessTokenTTL: z.number().optional(),
});

export interface AuthorizationServerProcess {
  readonly pid: number;
  readonly port: number;
  readonly apiPort: number;
  /** Requests by method and route, and how many clients are registered. */
  counts(): Promise<{ requests: Readonly<Record<string, number>>; clients: number }>;
  stop(): Promise<void>;
}

const counts = z.object({ requests: z.record(z.string(), z.number()), clients: z.number() });
const started = z.object({ port: z.number(), apiPort: z.number() });

export async function startAuthorizationServerProcess(
  options: z.infer<typeof serverOptions>,
): Promise<AuthorizationServerProcess> {
  const child = fork(import.meta.filename, [JSON.stringify(options)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const answer = async (): Promise<unknown> => {
    const [message]: unknown[] = await once(child, 'message', { signal: AbortSignal.timeout(60_000) });
    return message;
  };
  const { port, apiPort } = started.parse(await answer());
  return {
    pid: child.pid ?? 0,
    port,
    apiPort,
    async counts() {
      const answered = answer();
      child.send('counts');
      return counts.parse(await answered);
    },
    async stop() {
      const exited = once(child, 'exit');
      child.disconnect();
      await exited;
    },
  };
}

/** This file is also what the process runs. It ends with its parent, however that ends. */
if (process.send !== undefined && process.argv[1] === import.meta.filename) {
  const { accessTokenTTL, selfSignedApiOrigin, ...options } = serverOptions.parse(JSON.parse(process.argv[2] ?? ''));
  const server = await startAuthorizationServer({
    ...options,
    ...(accessTokenTTL === undefined ? {} : { accessTokenTTL }),
  });
  const { issuer, jwks, resource: audience } = server;
  const selfSignedHost = new URL(selfSignedApiOrigin).host;
  const api = await startResourceServer({ issuer, audience, jwks, selfSignedHost });
  process.on('message', () =>
    process.send?.({ requests: Object.fromEntries(server.requests()), clients: server.count() }),
  );
  process.on('disconnect', () => process.exit(0));
  process.send({ port: server.port, apiPort: api.port });
}

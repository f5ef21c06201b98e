/** Key sets over HTTPS. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { startJwksServer, type JwksServer } from '../../src/http/jwks.ts';
import { createLogger } from '../../src/telemetry.ts';
import { call } from '../support/https-call.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';

const logger = createLogger({ level: 'silent' });

describe('key sets', () => {
  let ca: ThrowawayCa;
  let tlsDirectory: string;
  let server: JwksServer;
  const keys = [{ kty: 'EC', kid: 'one' }];

  const mount = async ({ certPem, keyPem }: KeyPairPem) => {
    await writeFile(join(tlsDirectory, 'tls.crt'), certPem);
    await writeFile(join(tlsDirectory, 'tls.key'), keyPem);
  };
  before(async () => {
    tlsDirectory = await mkdtemp(join(tmpdir(), 'certbound-jwks-'));
    ca = await createThrowawayCa('Platform CA');
    await mount(await ca.issue({ cn: 'keys', ips: ['127.0.0.1'] }));
    const keysOf = (name: string) => (name === 'client-1.ab' ? keys : undefined);
    server = await startJwksServer({ host: '127.0.0.1', port: 0, tlsDirectory, keysOf, logger, lookMs: 20 });
  });
  after(async () => {
    await server?.close();
    await rm(tlsDirectory, { recursive: true });
  });
  const get = (path: string, method = 'GET', trust = ca.certPem) =>
    call({ url: `https://127.0.0.1:${server.port}${path}`, method, ca: trust });

  test('are served under their names alone', async () => {
    const answer = await get('/jwks/client-1.ab');
    assert.deepEqual([answer.status, answer.json], [200, { keys }]);
    assert.deepEqual(answer.headers['content-type'], ['application/jwk-set+json']);
    assert.deepEqual(answer.headers['cache-control'], ['public, max-age=60']);
    for (const path of ['/jwks/client-1', '/jwks/', '/', '/jwks/client-1.ab/x', '/jwks/../etc/passwd', '/jwks/%00']) {
      assert.equal((await get(path)).status, 404, path);
    }
    assert.equal((await get('/jwks/client-1.ab', 'POST')).status, 405);
  });

  test('under a new certificate as soon as it is mounted, and never under one that does not fit', async () => {
    const second = await createThrowawayCa('Second CA');
    const pair = await second.issue({ cn: 'keys', ips: ['127.0.0.1'] });
    for (const [what, certPem] of [
      ['the key is still that of the first', pair.certPem],
      ['the certificate is half-written', pair.certPem.slice(0, 99)],
      ['the certificate is not yet written', ''],
    ] as const) {
      await writeFile(join(tlsDirectory, 'tls.crt'), certPem);
      await new Promise((resolve) => setTimeout(resolve, 100));
      assert.equal((await get('/jwks/client-1.ab')).status, 200, what);
    }
    await mount(pair);
    await waitFor(() =>
      get('/jwks/client-1.ab', 'GET', second.certPem).then(
        ({ status }) => status === 200,
        () => false,
      ),
    );
  });

  test('a certificate that is not there is an error that says what to mount', async () => {
    const options = { port: 0, tlsDirectory: '/nowhere', keysOf: () => undefined, logger };
    await assert.rejects(startJwksServer(options), /tls\.crt and tls\.key in \/nowhere.*kubernetes\.io\/tls/);
  });
});

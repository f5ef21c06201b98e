/** HAProxy that serves two hosts by a crt-list: what it resumes across them, the live proof sees. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { startChild } from '../../support/child.ts';
import { freePort } from '../../support/free-port.ts';
import { findHaproxy } from '../../support/haproxy.ts';
import { accepts, listen } from '../../support/listen.ts';
import { createThrowawayCa } from '../../support/throwaway-ca.ts';
import { waitFor } from '../../support/wait-for.ts';
import { liveCa, Prover } from './prover.ts';

const hosts = { strict: 'mtls.example.test', lax: 'browser.example.test' };
const binary = await findHaproxy();
const ca = await liveCa('CN=Client CA,O=Platform');

/** @param global lines of the section `global` */
export async function proofAt(global: readonly string[]): Promise<Prover> {
  await using parts = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'certbound-haproxy-'));
  parts.defer(() => rm(directory, { recursive: true, force: true }));
  const backend = await listen(createServer((_request, response) => response.writeHead(404).end()));
  parts.defer(() => backend.stop());
  const pair = await (await createThrowawayCa('Server CA')).issue({ cn: 'server', dns: Object.values(hosts) });
  const file = (name: string) => join(directory, name);
  const port = await freePort();
  await writeFile(file('server.pem'), pair.certPem + pair.keyPem, { mode: 0o600 });
  await writeFile(file('ca.pem'), ca.certificatePem);
  await writeFile(
    file('crt-list'),
    `${file('server.pem')} [verify none] ${hosts.lax}\n` +
      `${file('server.pem')} [ca-file ${file('ca.pem')} verify required] ${hosts.strict}\n`,
  );
  const configuration = [
    'global',
    ...global.map((line) => `  ${line}`),
    'defaults',
    '  mode http',
    '  timeout connect 5s',
    '  timeout client 30s',
    '  timeout server 30s',
    'frontend tls',
    `  bind 127.0.0.1:${port} ssl crt-list ${file('crt-list')}`,
    '  default_backend api',
    'backend api',
    `  server api 127.0.0.1:${backend.port}`,
    '',
  ];
  await writeFile(file('haproxy.cfg'), configuration.join('\n'));
  const child = await startChild({
    command: binary ?? 'haproxy',
    args: ['-db', '-f', file('haproxy.cfg')],
    logFile: file('haproxy.log'),
  });
  parts.defer(() => child.end());
  await waitFor(async () => {
    if (!child.running()) throw new Error(`haproxy has ended\n${await child.tail()}`);
    return accepts(port);
  });
  const prover = new Prover({ host: hosts.strict, ca, laxHost: hosts.lax, addresses: [{ host: '127.0.0.1', port }] });
  await prover.rounds(2);
  return prover;
}

const skip = binary === undefined ? 'no haproxy' : false;

test('a session of a host that asks for nothing gets into the one that requires a certificate', { skip }, async () => {
  const prover = await proofAt([]);
  assert.equal(prover.state(), 'disproved');
  assert.deepEqual(prover.cases(), ['resumed'], 'everything else is refused');
  assert.match(prover.message(), /resumed a session .* switch off its session cache and session tickets/);
});

test('without session cache and tickets it does not', { skip }, async () => {
  const prover = await proofAt(['tune.ssl.cachesize 0', 'ssl-default-bind-options no-tls-tickets']);
  assert.deepEqual(prover.proof().doubts, []);
  assert.equal(prover.state(), 'proved', prover.proof().unclear);
});

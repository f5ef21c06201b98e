/** What real terminators send, read by the codecs; and that they send what the other tests say they do. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import {
  type CertificateVerification,
  decodeCertificateHeader,
  type HeaderLines,
} from '../../src/verifier/certificate-header.ts';
import { type TerminatorName, terminators } from '../../src/verifier/terminators.ts';
import { type ClientCertificate, createClientCertificate } from '../support/client-certificate.ts';
import { type Envoy, type EnvoyOptions, findEnvoy, startEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { findHaproxy, type Haproxy, startHaproxy } from '../support/haproxy.ts';
import { call } from '../support/https-call.ts';
import type { ClientAuthentication, HostModel } from '../support/ingress-model.ts';
import { listen, type Listening } from '../support/listen.ts';
import { findNginx } from '../support/nginx-binary.ts';
import { createNginxTerminator } from '../support/nginx-terminator.ts';
import type { Terminator } from '../support/terminator.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { sentBy } from './product-headers.ts';

const VERIFIED = 'verified.example.test';
const ANY = 'any.example.test';

let serverCa: ThrowawayCa;
let clientCa: ThrowawayCa;
let pair: KeyPairPem;
let small: ClientCertificate;
let large: ClientCertificate;
let foreign: ClientCertificate;
let backend: Listening;

before(async () => {
  serverCa = await createThrowawayCa('Server CA');
  clientCa = await createThrowawayCa('Client CA');
  pair = await serverCa.issue({ cn: 'server', dns: [VERIFIED, ANY] });
  small = await createClientCertificate({ subject: 'CN=small', ca: clientCa });
  const san = Array.from({ length: 100 }, (_, n) => ({
    type: 'dns' as const,
    value: `instance-${n}.tpp.example.test`,
  }));
  large = await createClientCertificate({ subject: 'CN=large,O=example', ca: clientCa, san });
  foreign = await createClientCertificate({ subject: 'CN=small' });
  backend = await listen(createServer((request, response) => response.end(JSON.stringify(request.headersDistinct))));
});
after(() => backend?.stop());

interface Request {
  port: number;
  host?: string;
  certificate?: ClientCertificate;
  headers?: Readonly<Record<string, string | string[]>>;
}

/** The header lines that reach the backend. */
async function received({ port, host = VERIFIED, certificate, headers = {} }: Request): Promise<HeaderLines> {
  const answer = await call({ url: `https://${host}:${port}/`, ca: serverCa.certPem, certificate, headers });
  assert.equal(answer.status, 200, answer.text);
  return Object.fromEntries(Object.entries(answer.json).map(([name, lines]) => [name, [lines].flat().map(String)]));
}

function codeOf(headers: HeaderLines, terminator: TerminatorName, verification: CertificateVerification): string {
  const decoded = decodeCertificateHeader(headers, { terminator, verification });
  return decoded.ok ? decoded.certificate.fingerprint256 : decoded.error.code;
}

/** Whoever the client says it is, the terminator says who it was. */
async function assertSends(terminator: TerminatorName, request: Request, verification: CertificateVerification) {
  const { certificate } = terminators[terminator];
  for (const client of [small, large]) {
    const sent = sentBy(terminator, client.der);
    const lines = await received({ ...request, certificate: client });
    for (const name of [certificate, 'ssl-client-verify', 'x-ssl-client-verify']) {
      if (sent[name] !== undefined) assert.deepEqual(lines[name], sent[name]);
    }
    const decoded = decodeCertificateHeader(lines, { terminator, verification });
    assert.ok(decoded.ok, JSON.stringify(lines));
    assert.ok(client.der.equals(decoded.der));
    const other = client === small ? large : small;
    for (const [name, [line = ''] = []] of Object.entries(sentBy(terminator, other.der))) {
      const forged = await received({ ...request, certificate: client, headers: { [name]: [line, line] } });
      assert.equal(codeOf(forged, terminator, verification), decoded.certificate.fingerprint256, name);
    }
  }
}

const nginxBinary = await findNginx({ install: true });
const haproxyBinary = await findHaproxy();
const envoyBinary = await findEnvoy();

describe('nginx', { skip: nginxBinary === undefined && 'there is no nginx' }, () => {
  let nginx: Terminator;
  let port: number;

  before(async () => {
    port = await freePort();
    const keyPair = { certificate: pair.certPem, key: pair.keyPem };
    const host = (hostname: string, verify: ClientAuthentication['verify']): HostModel => ({
      hostname,
      tls: keyPair,
      redirectToHttps: false,
      clientAuthentication: { secret: 'default/ca', ca: clientCa.certPem, verify, depth: 1, passCertificate: true },
      locations: [
        {
          path: '/',
          exact: false,
          ingress: 'default/api',
          backend: { protocol: 'http', host: '127.0.0.1', port: backend.port },
        },
      ],
    });
    nginx = await createNginxTerminator(nginxBinary ?? '', {
      address: '127.0.0.1',
      httpPort: await freePort(),
      httpsPort: port,
      fakeCertificate: keyPair,
    });
    await nginx.apply({ hosts: [host(VERIFIED, 'optional'), host(ANY, 'optional_no_ca')], secrets: [] });
  });
  after(() => nginx?.stop());

  test('its header is read, whatever the client sends', async () => {
    assert.ok(large.der.length > 3_000);
    await assertSends('nginx', { port }, 'required');
  });

  test('without a certificate there is none', async () => {
    const lines = await received({ port });
    assert.deepEqual(lines['ssl-client-verify'], ['NONE']);
    assert.equal(codeOf(lines, 'nginx', 'none'), 'Absent');
  });

  test('what it did not verify counts only where nothing is verified', async () => {
    const lines = await received({ port, host: ANY, certificate: foreign });
    assert.match(lines['ssl-client-verify']?.[0] ?? '', /^FAILED:/);
    assert.equal(codeOf(lines, 'nginx', 'required'), 'NotVerified');
    assert.equal(codeOf(lines, 'nginx', 'assumed'), 'NotVerified');
    const decoded = decodeCertificateHeader(lines, { terminator: 'nginx', verification: 'none' });
    assert.ok(decoded.ok && foreign.der.equals(decoded.der));
  });
});

describe('haproxy', { skip: haproxyBinary === undefined && 'there is no haproxy' }, () => {
  let haproxy: Haproxy;
  /** As haproxy-config.template of OpenShift's router writes it. */
  const openshift = { 'X-SSL-Client-Verify': '%[ssl_c_verify]', 'X-SSL-Client-DER': '%{+Q}[ssl_c_der,base64]' };

  before(async () => {
    haproxy = await startHaproxy(haproxyBinary ?? '', {
      pair,
      clientCa: clientCa.certPem,
      backendPort: backend.port,
      frontends: {
        // As haproxy.tmpl of haproxy-ingress writes it.
        haproxy: { verify: 'required', headers: { 'X-SSL-Client-Cert': '%{+Q}[ssl_c_der,base64]' } },
        openshift: { verify: 'required', headers: openshift },
        rfc9440: { verify: 'required', headers: { 'Client-Cert': ':%[ssl_c_der,base64]:' } },
        any: { verify: 'any', headers: openshift },
      },
    });
  });
  after(() => haproxy?.stop());
  const portOf = (frontend: string) => haproxy.ports[frontend] ?? 0;

  for (const terminator of ['haproxy', 'openshift', 'rfc9440'] as const) {
    test(`as ${terminator}: its header is read, whatever the client sends`, async () => {
      const verification = terminator === 'openshift' ? 'required' : 'assumed';
      await assertSends(terminator, { port: portOf(terminator) }, verification);
    });
  }

  test('without a certificate there is none, though the result of verification is 0', async () => {
    const lines = await received({ port: portOf('any') });
    assert.deepEqual(lines['x-ssl-client-verify'], ['0']);
    assert.equal(codeOf(lines, 'openshift', 'required'), 'Absent');
  });

  test('what it did not verify counts only where nothing is verified', async () => {
    const lines = await received({ port: portOf('any'), certificate: foreign });
    assert.match(lines['x-ssl-client-verify']?.[0] ?? '', /^[1-9][0-9]*$/);
    assert.equal(codeOf(lines, 'openshift', 'required'), 'NotVerified');
    const decoded = decodeCertificateHeader(lines, { terminator: 'openshift', verification: 'none' });
    assert.ok(decoded.ok && foreign.der.equals(decoded.der));
  });
});

describe('envoy', { skip: envoyBinary === undefined && 'there is no envoy' }, () => {
  const running: Envoy[] = [];
  after(() => Promise.all(running.map((envoy) => envoy.stop())));

  async function start(options: Partial<EnvoyOptions> & Pick<EnvoyOptions, 'forward'>, more = true): Promise<number> {
    const details = { cert: true, chain: more, subject: more, uri: more, dns: more };
    const envoy = await startEnvoy(envoyBinary ?? '', { pair, backendPort: backend.port, details, ...options });
    running.push(envoy);
    return envoy.port;
  }
  const read = (lines: HeaderLines) => decodeCertificateHeader(lines, { terminator: 'envoy', verification: 'assumed' });

  test('its header is read, whatever the client sends, and the chain with it', async () => {
    const port = await start({ forward: 'SANITIZE_SET', clientCa: clientCa.certPem });
    for (const client of [small, large]) {
      for (const chain of ['', clientCa.certPem]) {
        const certificate = { ...client, certPem: client.certPem + chain };
        const forged = sentBy('envoy', foreign.der)['x-forwarded-client-cert']?.[0] ?? '';
        for (const headers of [
          {},
          { 'x-forwarded-client-cert': forged },
          { 'X-Forwarded-Client-Cert': [forged, forged] },
        ]) {
          const decoded = read(await received({ port, certificate, headers }));
          assert.ok(decoded.ok, decoded.ok ? '' : decoded.error.code);
          assert.ok(client.der.equals(decoded.der));
          assert.deepEqual(decoded.chain.length, chain === '' ? 0 : 1);
        }
      }
    }
  });

  test('with the certificate alone it is read too', async () => {
    const port = await start({ forward: 'SANITIZE_SET', clientCa: clientCa.certPem }, false);
    const decoded = read(await received({ port, certificate: small }));
    assert.ok(decoded.ok && small.der.equals(decoded.der));
  });

  test('names that look like pairs and elements make nobody else of whoever has them', async () => {
    const port = await start({ forward: 'SANITIZE_SET' });
    const victim = sentBy('envoy', small.der)['x-forwarded-client-cert']?.[0] ?? '';
    for (const value of [`spiffe://x,${victim}`, `spiffe://x;${victim}`, `spiffe://x";${victim}`]) {
      const certificate = await createClientCertificate({ subject: 'CN=x', san: [{ type: 'url', value }] });
      const lines = await received({ port, certificate });
      // It is in there, as it would be if Envoy had written it.
      assert.ok(lines['x-forwarded-client-cert']?.[0]?.includes(victim));
      const decoded = read(lines);
      assert.ok(!decoded.ok);
      assert.match(decoded.error.code, /^(UnexpectedElements|BadSyntax)$/);
    }
  });

  test('one that appends to what it was given is not believed as the only one', async () => {
    const port = await start({ forward: 'APPEND_FORWARD', clientCa: clientCa.certPem });
    const forged = sentBy('envoy', large.der)['x-forwarded-client-cert']?.[0] ?? '';
    const decoded = read(await received({ port, certificate: small, headers: { 'x-forwarded-client-cert': forged } }));
    assert.ok(!decoded.ok);
    assert.equal(decoded.error.code, 'UnexpectedElements');
  });
});

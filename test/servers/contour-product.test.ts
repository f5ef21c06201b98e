/** What Contour and Envoy do with the settings that the operator writes, without an operator. */
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { httpProxies } from '../../src/kube/resource.ts';
import { decodeCertificateHeader } from '../../src/verifier/certificate-header.ts';
import { startEchoServer, type Seen, whatWasSeen } from '../support/echo-server.ts';
import { type Answer, call } from '../support/https-call.ts';
import type { Listening } from '../support/listen.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import { type ContourHosts, startContourHosts } from './contour-hosts.ts';

const HOSTS = {
  required: 'required.example.test',
  optional: 'optional.example.test',
  request: 'request.example.test',
  plain: 'plain.example.test',
} as const;
type Host = keyof typeof HOSTS;

const XFCC = 'x-forwarded-client-cert';

describe('Contour with our settings', () => {
  let backend: Listening;
  let clientCa: ThrowawayCa;
  let foreignCa: ThrowawayCa;
  let client: KeyPairPem;
  let foreign: KeyPairPem;
  let world: ContourHosts;

  const ask = (host: Host, certificate?: KeyPairPem, headers: Record<string, string | string[]> = {}) =>
    call({ url: `https://${HOSTS[host]}:${world.httpsPort}/`, ca: world.serverCa.certPem, certificate, headers });
  const askPlainly = (host: Host, headers: Record<string, string | string[]>) =>
    call({ url: `http://${HOSTS[host]}:${world.httpPort}/`, headers });
  /** What the codec takes out of the header. */
  const presented = ({ headers }: Seen): string | undefined => {
    const decoded = decodeCertificateHeader(headers, { terminator: 'envoy', verification: 'assumed' });
    return decoded.ok ? decoded.certificate.fingerprint256 : undefined;
  };
  const fingerprint = ({ certPem }: KeyPairPem): string => new X509Certificate(certPem).fingerprint256;
  const lines = async (answer: Promise<Answer>) => whatWasSeen(await answer).headers[XFCC];
  /** Whose certificate the backend believes, if anybody's; or that Envoy answered by itself, or not at all. */
  const outcome = (answer: Promise<Answer>) =>
    answer.then(
      (each) => (each.status === 200 ? presented(whatWasSeen(each)) : `status ${each.status}`),
      () => 'refused',
    );

  before(async () => {
    backend = await startEchoServer();
    [clientCa, foreignCa] = [await createThrowawayCa('Client CA'), await createThrowawayCa('Foreign CA')];
    client = await clientCa.issue({ cn: 'client', clientAuth: true });
    foreign = await foreignCa.issue({ cn: 'client', clientAuth: true });
    const at = (host: Host) => ({ host: HOSTS[host], backendPort: backend.port });
    world = await startContourHosts(
      [
        { ...at('required'), clientCertificates: 'required' },
        { ...at('optional'), clientCertificates: 'optional' },
        { ...at('request'), clientCertificates: 'request' },
        { ...at('plain'), permitInsecure: true },
      ],
      clientCa.certPem,
    );
    for (const host of ['required', 'optional', 'request', 'plain'] as const) {
      await waitFor(() =>
        ask(host, client).then(
          ({ status }) => status === 200,
          () => false,
        ),
      );
    }
  });
  after(async () => {
    await world?.stop();
    await backend.stop();
  });

  it('verifies as the mode says, and forwards what was presented', async () => {
    for (const [host, none, stranger] of [
      ['required', 'refused', 'refused'],
      ['optional', undefined, 'refused'],
      ['request', undefined, fingerprint(foreign)],
    ] as const) {
      assert.equal(await outcome(ask(host)), none, host);
      assert.equal(await outcome(ask(host, foreign)), stranger, host);
      assert.equal(await outcome(ask(host, client)), fingerprint(client), host);
    }
    assert.equal(await outcome(ask('plain', client)), undefined);
  });

  it('replaces or removes what callers send, on every host and port', async () => {
    const hash = createHash('sha256').update(new X509Certificate(client.certPem).raw).digest('hex');
    const forged = `Hash=${hash};Cert="${encodeURIComponent(client.certPem)}"`;
    assert.equal(presented({ host: '', headers: { [XFCC]: [forged] } }), fingerprint(client), 'it would be believed');
    const attempts: Record<string, string | string[]>[] = [
      { [XFCC]: forged },
      { [XFCC]: [forged, forged] },
      { 'X-Forwarded-Client-CERT': forged, connection: XFCC },
    ];
    for (const headers of attempts) {
      for (const host of ['optional', 'request', 'plain'] as const)
        assert.deepEqual(await lines(ask(host, undefined, headers)), undefined, host);
      assert.deepEqual(await lines(askPlainly('plain', headers)), undefined);
      for (const host of ['required', 'optional'] as const)
        assert.equal((await lines(ask(host, client, headers)))?.length, 1, host);
      assert.equal(await outcome(ask('request', foreign, headers)), fingerprint(foreign));
      assert.equal((await askPlainly('required', headers)).status, 301);
    }
  });

  it('serves a host of whose CAs nothing is left to nobody, but one without caSecret to everybody', async () => {
    await world.trust('no certificate');
    for (const host of ['required', 'optional'] as const)
      await waitFor(async () => (await outcome(ask(host, client))) === 'refused');
    await world.trust(clientCa.certPem);
    await waitFor(async () => (await outcome(ask('required', client))) === fingerprint(client));
    // Why the operator writes all of its leaves at once, and puts a lost one right.
    const { metadata } = await world.proxy(HOSTS.required);
    const change = { spec: { virtualhost: { tls: { clientValidation: { caSecret: null } } } } };
    await world.kube.patch(httpProxies, metadata, change, { type: 'merge' });
    await waitFor(async () => (await outcome(ask('required'))) === undefined);
    assert.equal(await outcome(ask('required', client)), undefined, 'nothing is forwarded either');
    await world.set(HOSTS.required, 'required');
    await waitFor(async () => (await outcome(ask('required'))) === 'refused');
  });

  it('is as it was without our settings once they are withdrawn', async () => {
    const left = await world.set(HOSTS.required, undefined);
    assert.deepEqual(Object(left['spec']).virtualhost, { fqdn: HOSTS.required, tls: { secretName: 'tls' } });
    await waitFor(async () => (await outcome(ask('required'))) === undefined);
  });
});

/** What Contour and Envoy do with the settings that the operator writes, without an operator. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
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
  const askPlainly = (host: Host, headers: Record<string, string>) =>
    call({ url: `http://${HOSTS[host]}:${world.httpPort}/`, headers });
  /** What the codec takes out of the header. */
  const presented = ({ headers }: Seen): string | undefined => {
    const decoded = decodeCertificateHeader(headers, { terminator: 'envoy', verification: 'assumed' });
    return decoded.ok ? decoded.certificate.fingerprint256 : undefined;
  };
  const fingerprint = ({ certPem }: KeyPairPem): string => new X509Certificate(certPem).fingerprint256;
  const refusedInTheHandshake = (answer: Promise<Answer>) =>
    assert.rejects(answer, (error: NodeJS.ErrnoException) => {
      assert.match(`${error.code} ${error.message}`, /ALERT|ECONNRESET|SSL/i);
      return true;
    });

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

  it('explores', async () => {
    const show = async (what: string, answer: Promise<Answer>) => {
      try {
        const { status, text } = await answer;
        console.log(what, status, text.slice(0, 3000));
      } catch (error) {
        console.log(what, String(error));
      }
    };
    for (const host of ['required', 'optional', 'request', 'plain'] as const) {
      await show(`${host} none`, ask(host));
      await show(`${host} foreign`, ask(host, foreign));
      await show(`${host} own`, ask(host, client));
      await show(`${host} own forged`, ask(host, client, { [XFCC]: 'Hash=1', x_forwarded_client_cert: 'Hash=2' }));
      await show(`${host} none forged`, ask(host, undefined, { [XFCC]: 'Hash=1', x_forwarded_client_cert: 'Hash=2' }));
    }
    await show('plain http', askPlainly('plain', { [XFCC]: 'Hash=1', x_forwarded_client_cert: 'Hash=2' }));
    await show('required http', askPlainly('required', { [XFCC]: 'Hash=1' }));
    console.log(JSON.stringify(await world.proxy(HOSTS.required), undefined, 1));
  });
});

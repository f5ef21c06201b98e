/** What HAProxy does with the configuration that haproxy-ingress renders: what it does well, and its one trap. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { lookUp } from '../support/executable.ts';
import { findHaproxy } from '../support/haproxy.ts';
import { type IngressController, startIngressController } from '../support/ingress-controller.ts';
import { type ObjectList, objectList } from '../support/ingress-objects.ts';
import { listen, type Listening } from '../support/listen.ts';
import { secretObject, serviceObject } from '../support/oauth-deployment.ts';
import { resume } from '../support/tls-session.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';

const HOSTS = {
  open: 'open.example.test',
  required: 'required.example.test',
  optional: 'optional.example.test',
  request: 'request.example.test',
  rival: 'rival.example.test',
} as const;
type Name = keyof typeof HOSTS;
type Version = 'TLSv1.2' | 'TLSv1.3';

interface Exchange {
  /** In the ClientHello; default the host's name. Empty: none. */
  servername?: string;
  certificate?: KeyPairPem | undefined;
  session?: Buffer | undefined;
  headers?: Readonly<Record<string, string>>;
}

interface Outcome {
  status: number;
  /** What the backend was sent, where it was asked. */
  headers: Record<string, string>;
  resumed: boolean;
  session: Buffer | undefined;
}

const missing = (await findHaproxy()) === undefined || (await lookUp('openssl')) === undefined;

describe('haproxy-ingress', { skip: missing && 'haproxy or openssl is missing' }, () => {
  let serverCa: ThrowawayCa;
  let clientCa: ThrowawayCa;
  let rivalCa: ThrowawayCa;
  let pair: KeyPairPem;
  let client: KeyPairPem;
  let stranger: KeyPairPem;
  let backend: Listening;
  let objects: ObjectList;
  let controller: IngressController;

  const ingress = (name: Name, authTls: Readonly<Record<string, string>>): unknown => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: {
      namespace: 'default',
      name,
      creationTimestamp: '2026-01-01T00:00:00Z',
      annotations: Object.fromEntries(
        Object.entries(authTls).map(([key, value]) => [`haproxy-ingress.github.io/auth-tls-${key}`, value]),
      ),
    },
    spec: {
      ingressClassName: 'haproxy',
      tls: [{ hosts: [HOSTS[name]], secretName: 'server-tls' }],
      rules: [
        {
          host: HOSTS[name],
          http: {
            paths: [
              { path: '/', pathType: 'Prefix', backend: { service: { name: 'echo', port: { number: backend.port } } } },
            ],
          },
        },
      ],
    },
  });
  const on = (verify: string, secret = 'default/clients') => ({
    secret,
    'verify-client': verify,
    'cert-header': 'true',
    strict: 'true',
  });

  async function serve(ca: ThrowawayCa | undefined, ...more: unknown[]): Promise<void> {
    objects.set([
      secretObject('server-tls', { 'tls.crt': pair.certPem, 'tls.key': pair.keyPem }),
      secretObject('rivals', { 'ca.crt': rivalCa.certPem }),
      ...(ca === undefined ? [] : [secretObject('clients', { 'ca.crt': ca.certPem })]),
      serviceObject('echo', backend.port),
      ingress('open', {}),
      ingress('required', on('on')),
      ingress('optional', on('optional')),
      ingress('request', on('optional_no_ca', 'default/rivals')),
      ingress('rival', on('on', 'default/rivals')),
      ...more,
    ]);
    await controller.settled();
    assert.equal(controller.rejected(), undefined);
  }

  /** One request over HTTP/1.1, and the session that the server gives for it. */
  function exchange(name: Name, request: Exchange = {}): Promise<Outcome> {
    const { servername = HOSTS[name], certificate, session, headers = {} } = request;
    return new Promise((resolve, reject) => {
      let given: Buffer | undefined;
      let resumed = false;
      const chunks: Buffer[] = [];
      const socket = connect({
        host: '127.0.0.1',
        port: controller.httpsPort,
        ca: serverCa.certPem,
        checkServerIdentity: () => undefined,
        // Without a name it is the controller's own certificate.
        ...(servername === '' ? { rejectUnauthorized: false } : { servername }),
        ...(certificate && { cert: certificate.certPem, key: certificate.keyPem }),
        ...(session && { session }),
      });
      socket.setTimeout(20_000, () => socket.destroy(new Error('no answer')));
      socket.once('secureConnect', () => (resumed = socket.isSessionReused()));
      socket.on('session', (next) => (given = next));
      socket.on('data', (chunk) => chunks.push(chunk));
      socket.once('error', reject);
      socket.once('close', () => {
        const [head = '', body = ''] = Buffer.concat(chunks).toString('utf8').split('\r\n\r\n');
        const sent: unknown = body.includes('{')
          ? JSON.parse(body.slice(body.indexOf('{'), body.lastIndexOf('}') + 1))
          : {};
        resolve({
          status: Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1] ?? 0),
          headers: Object.fromEntries(Object.entries(Object(sent)).map(([key, value]) => [key, String(value)])),
          resumed,
          session: given,
        });
      });
      const lines = Object.entries({ host: HOSTS[name], connection: 'close', ...headers });
      socket.write(`GET / HTTP/1.1\r\n${lines.map(([key, value]) => `${key}: ${value}\r\n`).join('')}\r\n`);
    });
  }

  const derOf = ({ certPem }: KeyPairPem): string => certPem.replaceAll(/-----[A-Z ]+-----|\s/g, '');

  async function start(configGlobal?: readonly string[]): Promise<void> {
    controller = await startIngressController({
      source: objects,
      terminator: 'haproxy',
      ingressClass: 'haproxy',
      dialect: 'haproxy-ingress',
      ...(configGlobal && { configGlobal }),
    });
    await serve(clientCa);
  }

  before(async () => {
    [serverCa, clientCa, rivalCa] = [
      await createThrowawayCa('Server CA'),
      await createThrowawayCa('Client CA'),
      await createThrowawayCa('Rival CA'),
    ];
    pair = await serverCa.issue({ cn: 'server', dns: Object.values(HOSTS) });
    client = await clientCa.issue({ cn: 'client', clientAuth: true });
    stranger = await rivalCa.issue({ cn: 'client', clientAuth: true });
    backend = await listen(createServer((request, response) => response.end(JSON.stringify(request.headers))));
    objects = objectList();
    await start();
  });
  after(async () => {
    await controller?.stop();
    await backend?.stop();
  });

  test('a certificate is verified and forwarded; 496 without one, 495 with one of another CA', async () => {
    const answer = await exchange('required', { certificate: client });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['x-ssl-client-cert'], derOf(client));
    assert.equal((await exchange('required')).status, 496);
    assert.equal((await exchange('required', { certificate: stranger })).status, 495);
    assert.equal((await exchange('optional')).status, 200);
    assert.equal((await exchange('optional', { certificate: stranger })).status, 495);
    assert.equal((await exchange('request', { certificate: client })).headers['x-ssl-client-cert'], derOf(client));
  });

  test("a client's own headers are deleted on every host", async () => {
    const forged = { 'X-SSL-Client-Cert': derOf(client), 'X-SSL-Client-DN': '/CN=client', 'X-SSL-Client-SHA2': 'aa' };
    for (const name of ['open', 'optional'] as const) {
      const { status, headers } = await exchange(name, { headers: forged });
      assert.equal(status, 200);
      assert.equal(headers['x-ssl-client-cert'] ?? '', '', name);
      assert.equal(headers['x-ssl-client-dn'] ?? '', '', name);
      assert.equal(headers['x-ssl-client-sha2'], undefined, name);
    }
    const { headers } = await exchange('required', { certificate: client, headers: { 'x-ssl-client-cert': 'forged' } });
    assert.equal(headers['x-ssl-client-cert'], derOf(client));
    // An underscore is another name, which backends that see no difference must not be reached with.
    const alias = await exchange('open', { headers: { x_ssl_client_cert: derOf(client) } });
    assert.equal(alias.headers['x_ssl_client_cert'], derOf(client));
  });

  test('another name in the ClientHello than in the request is 421, and none is no certificate', async () => {
    assert.equal((await exchange('required', { servername: HOSTS.rival, certificate: stranger })).status, 421);
    assert.equal((await exchange('required', { servername: HOSTS.open })).status, 421);
    assert.equal((await exchange('required', { servername: '', certificate: client })).status, 421);
  });

  test('without its CA the host lets nobody in', async () => {
    await serve(undefined);
    try {
      assert.equal((await exchange('required', { certificate: client })).status, 495);
      assert.equal((await exchange('required')).status, 496);
    } finally {
      await serve(clientCa);
    }
  });

  test('a session does not outlive a change of the CA: the reload forgets it', async () => {
    const { session } = await exchange('required', { certificate: client });
    assert.ok((await exchange('required', { session })).resumed);
    await serve(rivalCa);
    try {
      const again = await exchange('required', { session });
      assert.equal(again.resumed, false);
      assert.equal(again.status, 496);
    } finally {
      await serve(clientCa);
    }
  });

  const anonymous = { host: HOSTS.open };
  const across = (version: Version, from: Parameters<typeof resume>[0]['from'], to: Name) =>
    resume({ port: controller.httpsPort, version, from, to: { host: HOSTS[to] } });

  test('TLS 1.2: what a session of another host asks for is 421', async () => {
    for (const from of [anonymous, { host: HOSTS.rival, certificate: stranger }]) {
      const { reused, status } = await across('TLSv1.2', from, 'required');
      assert.deepEqual({ reused, status }, { reused: true, status: 421 });
    }
  });

  test("TLS 1.3: the controller's defaults let in a session of another host's CA, though not one without certificate", async () => {
    const { reused, status } = await across('TLSv1.3', anonymous, 'required');
    assert.deepEqual({ reused, status }, { reused: true, status: 496 });
    const rival = await across('TLSv1.3', { host: HOSTS.rival, certificate: stranger }, 'required');
    // If this fails, HAProxy has got better: see docs/terminators.md, and what the driver asks of the platform.
    assert.deepEqual([rival.reused, rival.status], [true, 200]);
    assert.ok(rival.answer.includes(`"x-ssl-client-cert":"${derOf(stranger)}"`));
  });

  test('tune.ssl.cachesize 0, as the driver demands: nothing is resumed anywhere', async () => {
    await controller.stop();
    await start(['tune.ssl.cachesize 0']);
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      for (const from of [
        anonymous,
        { host: HOSTS.rival, certificate: stranger },
        { host: HOSTS.required, certificate: client },
      ]) {
        const { reused, status } = await across(version, from, 'required');
        assert.deepEqual({ reused, status }, { reused: false, status: 496 }, `${version} ${from.host}`);
      }
    }
  });
});

/** The traps of ingress-nginx that the operator must work around: that our stand-in for it has them too, on both engines. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { connect } from 'node:tls';
import { call } from '../support/https-call.ts';
import { createServer } from 'node:http';
import { type IngressController, startIngressController } from '../support/ingress-controller.ts';
import { type ObjectList, objectList } from '../support/ingress-objects.ts';
import { listen, type Listening } from '../support/listen.ts';
import { ingressObject, type IngressRequest, secretObject, serviceObject } from '../support/oauth-deployment.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';

const HOST = 'app.example.test';
const OTHER = 'other.example.test';

const clients = (ca: ThrowawayCa) => secretObject('clients', { 'ca.crt': ca.certPem });

for (const terminator of ['nginx', 'node'] as const) {
  describe(`served by ${terminator}`, () => {
    let serverCa: ThrowawayCa;
    let clientCa: ThrowawayCa;
    let otherCa: ThrowawayCa;
    let serverPair: KeyPairPem;
    let client: KeyPairPem;
    let backend: Listening;
    let objects: ObjectList;
    let controller: IngressController;

    const ingress = (name: string, authTls?: Record<string, string>, more: Partial<IngressRequest> = {}) =>
      ingressObject({ name, host: HOST, service: 'echo', port: backend.port, ...(authTls && { authTls }), ...more });
    const serve = async (...extra: unknown[]) => {
      const tls = secretObject('server-tls', { 'tls.crt': serverPair.certPem, 'tls.key': serverPair.keyPem });
      objects.set([tls, serviceObject('echo', backend.port), ...extra]);
      await controller.settled();
    };
    const get = (certificate?: KeyPairPem, host = HOST, headers: Record<string, string> = {}, path = '/') =>
      call({ url: `https://${host}:${controller.httpsPort}${path}`, ca: serverCa.certPem, certificate, headers });
    const required = { secret: 'default/clients', 'pass-certificate-to-upstream': 'true' };

    before(async () => {
      [serverCa, clientCa, otherCa] = [
        await createThrowawayCa('Server CA'),
        await createThrowawayCa('Client CA'),
        await createThrowawayCa('Other CA'),
      ];
      serverPair = await serverCa.issue({ cn: 'server', dns: [HOST, OTHER] });
      client = await clientCa.issue({ cn: 'client', clientAuth: true });
      backend = await listen(createServer((request, response) => response.end(JSON.stringify(request.headers))));
      objects = objectList();
      controller = await startIngressController({ source: objects, terminator, installNginx: true });
    });
    after(async () => {
      await controller.stop();
      await backend.stop();
    });

    test('a required certificate is verified and forwarded, and its absence is 400', async () => {
      await serve(clients(clientCa), ingress('a', required));
      const answer = await get(client);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.json['ssl-client-verify'], 'SUCCESS');
      assert.equal(decodeURIComponent(String(answer.json['ssl-client-cert'])), client.certPem);
      assert.equal((await get()).status, 400);
      assert.equal((await get(await otherCa.issue({ cn: 'client', clientAuth: true }))).status, 400);
    });

    test('the header goes upstream only where the annotation says so; a forged one then passes', async () => {
      await serve(clients(clientCa), ingress('a', { secret: 'default/clients' }));
      assert.equal((await get(client)).json['ssl-client-cert'], undefined);
      const answer = await get(client, HOST, { 'ssl-client-cert': 'forged', 'ssl-client-verify': 'forged' });
      assert.equal(answer.json['ssl-client-cert'], 'forged');
      assert.equal(answer.json['ssl-client-verify'], 'SUCCESS');
    });

    test('a missing Secret, one without a CA, a bare name and one of another namespace deny the whole host', async () => {
      for (const secret of ['default/missing', 'default/empty', 'clients', 'elsewhere/clients']) {
        await serve(clients(clientCa), secretObject('empty', {}), ingress('a', { ...required, secret }));
        assert.equal((await get(client)).status, 403, secret);
      }
    });

    test('a key pair without ca.crt switches client authentication off, silently', async () => {
      await serve(ingress('a', { ...required, secret: 'default/server-tls' }));
      const answer = await get();
      assert.equal(answer.status, 200);
      assert.equal(answer.json['ssl-client-verify'], undefined);
    });

    test('the oldest Ingress with a CA decides for the host', async () => {
      const others = secretObject('others', { 'ca.crt': otherCa.certPem });
      const young = ingress(
        'a-young',
        { ...required, secret: 'default/others' },
        { creationTimestamp: '2026-02-01T00:00:00Z' },
      );
      const old = ingress('z-old', required, { path: '/old' });
      await serve(clients(clientCa), others, young, old);
      assert.equal((await get(client)).status, 200);
      assert.equal((await get(await otherCa.issue({ cn: 'client', clientAuth: true }))).status, 400);
    });

    test('another CA in the Secret counts from the moment that the change has settled', async () => {
      await serve(clients(clientCa), ingress('a', required));
      assert.equal((await get(client)).status, 200);
      const generation = controller.generation();
      await serve(clients(otherCa), ingress('a', required));
      assert.equal((await get(client)).status, 400);
      await serve(clients(clientCa), ingress('a', required));
      assert.equal((await get(client)).status, 200);
      if (terminator === 'nginx') assert.equal(controller.generation(), generation + 2);
    });

    test('what cannot be served is rejected, and what was served goes on', async () => {
      await serve(clients(clientCa), ingress('a', required));
      await serve(secretObject('clients', { 'ca.crt': 'not PEM' }), ingress('a', required));
      assert.ok(controller.rejected());
      assert.equal((await get(client)).status, 200);
      await serve(clients(clientCa), ingress('a', required));
      assert.equal(controller.rejected(), undefined);
    });

    test('a connection for one host does not serve another, and none is made without a name', async () => {
      await serve(clients(clientCa), ingress('a', required), ingress('b', undefined, { host: OTHER }));
      assert.equal((await get(undefined, OTHER)).status, 200);
      assert.equal((await get(undefined, OTHER, { host: `${HOST}:${controller.httpsPort}` })).status, 421);
      for (const servername of ['', 'unknown.example.test']) {
        await assert.rejects(
          new Promise((resolve, reject) => {
            const socket = connect({
              host: '127.0.0.1',
              port: controller.httpsPort,
              servername,
              ca: serverCa.certPem,
              ...(servername === '' && { checkServerIdentity: () => undefined }),
            });
            socket.once('secureConnect', () => resolve(socket.destroy()));
            socket.once('error', reject);
          }),
        );
      }
    });

    test('Ingresses of another class, or of none, are not served', async () => {
      await serve(clients(clientCa), { ...Object(ingress('a')), spec: { rules: [{ host: HOST }] } });
      await assert.rejects(get());
    });

    test('the access log names host, verdict and status', async () => {
      await serve(clients(clientCa), ingress('a', required));
      await get(client, HOST, {}, '/logged');
      // nginx writes the line when it has answered.
      const isLogged = async () =>
        (await controller.accessLog()).some(
          (entry) =>
            entry.uri === '/logged' && entry.verify === 'SUCCESS' && entry.status === '200' && entry.host === HOST,
        );
      await waitFor(isLogged);
    });
  });
}

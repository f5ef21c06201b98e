/** The ingress controller on a real API server: what it serves follows what is written there. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { KubeClient } from '../../src/kube/client.ts';
import { ingresses, isKubernetesObject, type Resource, secrets, services } from '../../src/kube/resource.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { call } from '../support/https-call.ts';
import { type IngressController, startIngressController } from '../support/ingress-controller.ts';
import { listen, type Listening } from '../support/listen.ts';
import { ingressObject, secretObject, serviceObject } from '../support/oauth-deployment.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';

const HOST = 'app.example.test';
let controlPlane: ControlPlane;
let client: KubeClient;
let backend: Listening;
let controller: IngressController;
let serverCa: ThrowawayCa;
let clientCa: ThrowawayCa;

async function apply(resource: Resource, object: unknown): Promise<void> {
  assert.ok(isKubernetesObject(object));
  await client.apply(resource, object, { fieldManager: 'test', force: true });
}

const withoutTime = (object: unknown): unknown =>
  JSON.parse(JSON.stringify(object), (key, value: unknown) => (key === 'creationTimestamp' ? undefined : value));
const status = async (certificate?: KeyPairPem): Promise<number> =>
  (await call({ url: `https://${HOST}:${controller.httpsPort}/`, ca: serverCa.certPem, certificate })).status;

before(async () => {
  serverCa = await createThrowawayCa('Server CA');
  clientCa = await createThrowawayCa('Client CA');
  const pair = await serverCa.issue({ cn: 'server', dns: [HOST] });
  controlPlane = await startControlPlane();
  client = KubeClient.fromKubeconfig({ path: controlPlane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
  backend = await listen(createServer((_request, response) => response.end('ok')));
  await apply(secrets, secretObject('server-tls', { 'tls.crt': pair.certPem, 'tls.key': pair.keyPem }));
  await apply(services, serviceObject('echo', backend.port));
  await apply(ingresses, withoutTime(ingressObject({ name: 'app', host: HOST, service: 'echo', port: backend.port })));
  const source = { kubeconfigPath: controlPlane.kubeconfigPath };
  controller = await startIngressController({ source, terminator: 'nginx', installNginx: true });
});
after(async () => {
  await controller.stop();
  await client.close();
  await backend.stop();
  await controlPlane.stop();
});

test('what was there at the start is served; annotations, Secrets and their changes follow by themselves', async () => {
  assert.equal(await status(), 200);
  const authTls = { secret: 'default/clients', 'pass-certificate-to-upstream': 'true' };
  const ingress = ingressObject({ name: 'app', host: HOST, service: 'echo', port: backend.port, authTls });
  await apply(ingresses, withoutTime(ingress));
  await waitFor(async () => (await status()) === 403);
  await apply(secrets, secretObject('clients', { 'ca.crt': clientCa.certPem }));
  await waitFor(async () => (await status()) === 400);
  const certificate = await clientCa.issue({ cn: 'client', clientAuth: true });
  assert.equal(await status(certificate), 200);
  const otherCa = await createThrowawayCa('Other CA');
  await apply(secrets, secretObject('clients', { 'ca.crt': otherCa.certPem }));
  await waitFor(async () => (await status(certificate)) === 400);
});

test('settled() waits for what was written before it, and an API server that was away is read again', async () => {
  const certificate = await clientCa.issue({ cn: 'client', clientAuth: true });
  await apply(secrets, secretObject('clients', { 'ca.crt': clientCa.certPem }));
  await controller.settled();
  assert.equal(await status(certificate), 200);
  await controlPlane.stopApiServer();
  await assert.rejects(controller.settled());
  assert.equal(await status(certificate), 200, 'what was served goes on');
  await controlPlane.startApiServer();
  await client.delete(ingresses, { namespace: 'default', name: 'app' });
  await waitFor(async () => {
    await controller.settled().catch(() => undefined);
    return controller.model().hosts.length === 0;
  });
  await assert.rejects(status(certificate), 'the name is not known any more');
});

/** What the kind writes, served by nginx as ingress-nginx would configure it. */
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import * as hooks from 'node:test';
import { test } from 'node:test';
import { secrets, services } from '../../src/kube/resource.ts';
import { intermediateCa } from '../issuer/authorities.ts';
import { call } from '../support/https-call.ts';
import { type IngressController, startIngressController } from '../support/ingress-controller.ts';
import { listen, type Listening } from '../support/listen.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { createClientCertificate } from '../support/client-certificate.ts';
import { type Operator, TerminatorEnvironment } from './environment.ts';

const api = { namespace: 'team', name: 'api', host: 'api.example.test' };
let environment: TerminatorEnvironment;
let operator: Operator;
let backend: Listening;
let nginx: IngressController;
let serverCa: ThrowawayCa;
let clientCa: ThrowawayCa;

hooks.before(async () => {
  serverCa = await createThrowawayCa('Server CA');
  clientCa = await createThrowawayCa('Client CA');
  environment = await TerminatorEnvironment.start();
  backend = await listen(
    createServer((request, response) => response.end(String(request.headers['ssl-client-verify'] ?? 'no header'))),
  );
  await environment.namespace(api.namespace);
  const pair = await serverCa.issue({ cn: 'server', dns: [api.host] });
  const data = {
    'tls.crt': Buffer.from(pair.certPem).toString('base64'),
    'tls.key': Buffer.from(pair.keyPem).toString('base64'),
  };
  await environment.put(secrets, { metadata: { namespace: api.namespace, name: 'tls' }, data });
  await environment.put(services, {
    metadata: { namespace: api.namespace, name: api.name },
    spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port: 80, targetPort: backend.port }] },
  });
  await environment.ingress(api, undefined);
  await environment.issuer('corporate-clients', clientCa.certPem);
  await environment.server('corporate', [api.namespace], ['corporate-clients']);
  operator = await environment.operator();
  nginx = await startIngressController({
    source: { kubeconfigPath: environment.plane.kubeconfigPath },
    installNginx: true,
  });
});
hooks.after(async () => {
  await nginx?.stop();
  await backend?.stop();
  await environment?.stop();
});

const answer = async (certificate?: KeyPairPem): Promise<string> => {
  const url = `https://${api.host}:${nginx.httpsPort}/`;
  const { status, text } = await call({ url, ca: serverCa.certPem, certificate });
  return status === 200 ? `200 ${text}` : String(status);
};

async function settle(): Promise<void> {
  await operator.settle();
  await nginx.settled();
}

test('who has a certificate of the CA is served at every moment, from before the opt-in to after the opt-out', async () => {
  const trusted = await clientCa.issue({ cn: 'client', clientAuth: true });
  const foreign = await (await createThrowawayCa('Foreign CA')).issue({ cn: 'client', clientAuth: true });
  const stop = new AbortController();
  const answers = new Set<string>();
  const client = (async () => {
    while (!stop.signal.aborted) answers.add(await answer(trusted));
  })();
  try {
    assert.equal(await answer(), '200 no header');
    await environment.ingress(api, { server: 'corporate' });
    await settle();
    assert.equal(await answer(trusted), '200 SUCCESS');
    assert.equal(await answer(), '400');
    assert.equal(await answer(foreign), '400');
    await environment.ingress(api, { server: 'corporate', clientCertificates: 'optional' });
    await settle();
    assert.equal(await answer(), '200 NONE');
    assert.equal(await answer(foreign), '400');
    await environment.ingress(api, undefined);
    await settle();
    assert.equal(await answer(), '200 no header');
  } finally {
    stop.abort();
    await client;
  }
  assert.deepEqual([...answers].toSorted(), ['200 SUCCESS', '200 no header']);
});

test('an issuing CA below a root: leaves of it are accepted', async () => {
  const { certificatePem, privateKeyPem, rootPem } = await intermediateCa();
  await environment.issuer('deep', certificatePem + rootPem);
  await environment.server('corporate', [api.namespace], ['deep']);
  await environment.ingress(api, { server: 'corporate' });
  await settle();
  const leaf = await createClientCertificate({
    subject: 'CN=client',
    ca: { certPem: certificatePem, keyPem: privateKeyPem },
  });
  assert.equal(await answer(leaf), '200 SUCCESS');
  assert.equal(await answer(await clientCa.issue({ cn: 'client', clientAuth: true })), '400');
  await environment.server('corporate', [api.namespace], ['corporate-clients']);
  await environment.ingress(api, undefined);
  await settle();
});

test('a server without issuers: the host requires a certificate that nobody has', async () => {
  await environment.server('nobody', [api.namespace], []);
  await environment.ingress(api, { server: 'nobody' });
  await settle();
  assert.equal(await answer(), '400');
  assert.equal(await answer(await clientCa.issue({ cn: 'client', clientAuth: true })), '400');
});

/** What an Ingress owner's opt-in does, seen through nginx. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLIENT_CERTIFICATES, OPT_IN, ROLE_LABEL, Role } from '../../src/api/annotations.ts';
import { httpRoutes, ingresses, secrets, type KubernetesObject } from '../../src/kube/resource.ts';
import { callApi, requestToken, secretValues, tokenFor, type ApiCall } from '../support/application.ts';
import { apply, documents, ingress } from '../support/cluster-objects.ts';
import { forgedHeaders } from '../support/forged-headers.ts';
import type { Answer } from '../support/https-call.ts';
import { startInstallation, type Installation } from '../support/installation.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import { isTrue, TestClient } from '../support/oauth-client.ts';
import { badInputCases } from '../support/terminator-bad-input.ts';
import { changesUnderLoad } from '../support/changes-under-load.ts';
import { defineSkeleton } from '../support/skeleton-definition.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, serverReady } from './lifecycle-world.ts';

const api = { namespace: 'accounts', name: 'accounts-api' };
const nginx = 'nginx.ingress.kubernetes.io';
const optedIn = { [OPT_IN]: 'corporate', [CLIENT_CERTIFICATES]: 'required' };
/** As the owner of the Ingress has it in Git, from before Certbound. */
const owners = { [`${nginx}/proxy-body-size`]: '8m', 'example.test/team': 'accounts' };

/** nginx itself answered: the API, whose refusals are JSON with a challenge, was never asked. */
function assertRefusedByTheTerminator(answer: Answer): void {
  assert.equal(answer.status, 400);
  assert.equal(answer.headers['www-authenticate'], undefined);
  assert.deepEqual(answer.json, {});
}

describe('an Ingress and its client certificates', () => {
  let world: Installation;
  let client: TestClient;
  let stranger: TestClient;

  const current = async (): Promise<KubernetesObject> => {
    const object = await world.kube.get(ingresses, api);
    assert.ok(object !== undefined);
    return object;
  };
  const annotations = async () => (await current()).metadata.annotations ?? {};
  const bundles = async (namespace = api.namespace) =>
    (await world.kube.list(secrets, { namespace, labelSelector: `${ROLE_LABEL}=${Role.trustBundle}` })).items;
  const annotate = (change: Record<string, string | null>) =>
    world.kube.patch(ingresses, api, { metadata: { annotations: change } }, { type: 'merge' });
  const request = (call: Omit<ApiCall, 'url' | 'caPem'>) =>
    callApi({ url: `${world.origin('api')}/accounts`, caPem: world.serverCa.certPem, ...call });

  const readyClient = async (name: string): Promise<TestClient> => {
    const made = await new TestClient(world, { namespace: 'payments', name }).apply();
    await made.ready();
    return made;
  };

  before(async () => {
    world = await startInstallation({ accessTokenTTL: 3 });
    await apply(world.kube, ...edited(await world.platform()));
    const [authorizationServer] = await documents(INGRESSES);
    assert.ok(authorizationServer?.metadata.name === 'authorization-server-mtls');
    await apply(world.kube, authorizationServer, ingress({ ...api, annotations: owners }, HOSTS.api, 'accounts'));
    await world.startOperator();
    await serverReady(world, 'corporate');
    [client, stranger] = await Promise.all([readyClient('batch'), readyClient('stranger')]);
    await world.ingressController.settled();
  });
  after(() => world.stop());

  it('is left untouched without an opt-in', async () => {
    const untouched = await current();
    assert.deepEqual(untouched.metadata.annotations, owners);
    assert.deepEqual(await bundles(), []);
    // Nothing in front of the authorization server hangs on it.
    assert.ok(isTrue(await client.status(), 'TerminatorsReady'));
    await sleep(1000);
    assert.deepEqual(await current(), untouched);
    const { certificate } = await client.credentials();
    const token = await tokenFor(await client.credentials());
    assert.equal((await request({ token, certificate })).status, 401, 'no certificate reaches the API');
  });

  it('asks for certificates once it has opted in, and refuses who has none', async () => {
    await annotate(optedIn);
    await waitFor(async () => (await annotations())[`${nginx}/auth-tls-secret`] !== undefined);
    const [bundle, ...more] = await bundles();
    assert.ok(bundle !== undefined && more.length === 0);
    assert.deepEqual(await annotations(), {
      ...owners,
      ...optedIn,
      [`${nginx}/auth-tls-secret`]: `accounts/${bundle.metadata.name}`,
      [`${nginx}/auth-tls-verify-client`]: 'on',
      [`${nginx}/auth-tls-verify-depth`]: (await annotations())[`${nginx}/auth-tls-verify-depth`],
      [`${nginx}/auth-tls-pass-certificate-to-upstream`]: 'true',
    });
    const values = await client.values();
    assert.equal(secretValues(bundle)['ca.crt']?.trim(), values['client-ca.crt']?.trim());
    await world.ingressController.settled();

    const { certificate } = await client.credentials();
    const token = await tokenFor(await client.credentials());
    const accepted = await request({ token, certificate });
    assert.equal(accepted.status, 200, accepted.text);
    assert.equal(accepted.json['x5t_s256'], values['x5t_s256']);
    assertRefusedByTheTerminator(await request({ token }));
    const forged = forgedHeaders('nginx', certificate);
    assertRefusedByTheTerminator(await request({ token, headers: forged }));
    const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
    assertRefusedByTheTerminator(await request({ token, certificate: foreign, headers: forged }));
    const thief = await stranger.credentials();
    assert.equal((await request({ token, certificate: thief.certificate, headers: forged })).status, 401);
    assert.equal((await request({ certificate })).status, 401);
  });

  it('refuses no call while certificates rotate, and while another CA is trusted and used', async (t) => {
    t.diagnostic(await changesUnderLoad(world, client, (token, certificate) => request({ token, certificate })));
  });

  it('is not what a server’s clients rely on while a route of a Gateway leads around it; the kind may be new in the cluster', async () => {
    const terminators = (status: string, reason: string) => client.told('TerminatorsReady', status, reason);
    await terminators('True', 'Distributed');
    await defineSkeleton(world.kube, httpRoutes);
    const route = { namespace: 'identity', name: 'public' };
    const backendRefs = [{ name: 'authorization-server', port: 80 }];
    const spec = { parentRefs: [{ name: 'edge' }], rules: [{ backendRefs }] };
    await world.kube.create(httpRoutes, { metadata: route, spec });
    const message = await terminators('False', 'BackendExposed');
    assert.match(message, /Service authorization-server .*Gateway identity\/edge \(HTTPRoute public\)/);
    await client.ready();
    await world.kube.delete(httpRoutes, route);
    await terminators('True', 'Distributed');
  });

  it('puts its own annotations and its bundle right again', async () => {
    const written = await annotations();
    const [bundle] = await bundles();
    assert.ok(bundle !== undefined);
    await annotate({ [`${nginx}/auth-tls-verify-client`]: null });
    await waitFor(async () => (await annotations())[`${nginx}/auth-tls-verify-client`] === 'on');
    await world.kube.delete(secrets, bundle.metadata);
    await waitFor(async () => (await bundles()).length === 1);
    const [anew] = await bundles();
    assert.deepEqual(anew?.['data'], bundle['data']);
    await world.kube.patch(secrets, bundle.metadata, { data: { 'ca.crt': '' } }, { type: 'merge' });
    await waitFor(async () => JSON.stringify((await bundles())[0]?.['data']) === JSON.stringify(bundle['data']));
    assert.deepEqual(await annotations(), written);
    await world.ingressController.settled();
    const credentials = await client.credentials();
    const { certificate } = credentials;
    assert.equal((await request({ token: await tokenFor(credentials), certificate })).status, 200);
  });

  it('goes on refusing when the last client is deleted: the opt-in decides, not the clients', async () => {
    const credentials = await client.credentials();
    const token = await tokenFor(credentials);
    for (const each of [client, stranger]) await each.delete();
    for (const each of [client, stranger]) await each.gone();
    assert.deepEqual(world.authorizationServer.clients(), []);
    await sleep(1000);
    await world.ingressController.settled();
    assert.equal((await annotations())[`${nginx}/auth-tls-verify-client`], 'on');
    assert.equal((await bundles()).length, 1);
    assertRefusedByTheTerminator(await request({ token }));
    assertRefusedByTheTerminator(await request({}));
    const refused = await requestToken(credentials);
    assert.equal(refused.json['error'], 'invalid_client');
  });

  it('loses our annotations and the bundle when it opts out, and nothing else', async () => {
    await annotate({ [OPT_IN]: null, [CLIENT_CERTIFICATES]: null });
    await waitFor(async () => (await bundles()).length === 0);
    assert.deepEqual(await annotations(), owners);
    await world.ingressController.settled();
    // Nobody asks for a certificate any more: the API itself refuses.
    const answer = await request({});
    assert.equal(answer.status, 401);
    assert.ok(answer.headers['www-authenticate'] !== undefined);
    assert.equal((await bundles('identity')).length, 1, 'the host of the authorization server keeps its own');
  });

  it('keeps annotations that somebody else wrote before', async () => {
    const foreign = {
      [`${nginx}/auth-tls-secret`]: 'accounts/by-hand',
      [`${nginx}/auth-tls-verify-client`]: 'optional',
    };
    await annotate(foreign);
    await annotate(optedIn);
    await waitFor(async () => (await bundles()).length === 1);
    await sleep(1000);
    const kept = await annotations();
    assert.deepEqual(kept, { ...owners, ...foreign, ...optedIn });
    await annotate({ [OPT_IN]: null, [CLIENT_CERTIFICATES]: null });
    await waitFor(async () => (await bundles()).length === 0);
    assert.deepEqual(await annotations(), { ...owners, ...foreign });
  });

  badInputCases(async () => {
    const ref = { namespace: 'identity', name: 'authorization-server-mtls' };
    return {
      ...world,
      kubeconfigPath: world.plane.kubeconfigPath,
      client: await readyClient('holder'),
      frontends: ingresses,
      frontend: ingress(ref, HOSTS.mtls, 'authorization-server'),
      bundles: secrets,
      terminator: 'nginx',
      classed: {
        spec: (ingressClassName) => ({ ingressClassName }),
        name: 'nginx',
        told: 'UnknownIngressClass',
      },
      taken: { metadata: { annotations: { [`${nginx}/auth-tls-secret`]: 'identity/elsewhere' } } },
      settled: () => world.ingressController.settled(),
      rival: ingress({ ...ref, name: 'rival' }, HOSTS.mtls, 'authorization-server'),
    };
  });
});

/** The operator and Contour, with Envoy: from the objects that the operator writes, and nothing else. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CLIENT_CERTIFICATES, OPT_IN, Role, ROLE_LABEL } from '../../src/api/annotations.ts';
import { KubeClient, KubeError } from '../../src/kube/client.ts';
import { httpProxies, secrets, type KubernetesObject } from '../../src/kube/resource.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { serverReady } from '../e2e/lifecycle-world.ts';
import { callApi, requestToken, secretValues, tokenFor } from '../support/application.ts';
import { forgedHeaders } from '../support/forged-headers.ts';
import { call } from '../support/https-call.ts';
import { changesUnderLoad } from '../support/changes-under-load.ts';
import { boundTo, isTrue, TestClient } from '../support/oauth-client.ts';
import type { OperatorProcess } from '../support/operator.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';
import { badInputCases } from '../support/terminator-bad-input.ts';
import { waitFor } from '../support/wait-for.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import { liveRound, provedHosts } from '../support/live-proof.ts';
import { httpProxy } from './contour-hosts.ts';
import { API_PROXY, type ContourWorld, MTLS_PROXY, OPTED_IN, startContourWorld } from './contour-world.ts';

const limitMs = 120_000;

/** Who else owns what of it. */
const othersFields = ({ metadata }: KubernetesObject): [string | undefined, unknown][] =>
  (metadata.managedFields ?? [])
    .filter(({ manager, subresource }) => manager !== FIELD_MANAGER && subresource !== 'status')
    .map(({ manager, fieldsV1 }) => [manager, fieldsV1]);

const validation = (object: KubernetesObject): unknown => Object(object['spec']).virtualhost.tls.clientValidation;

describe('HTTPProxies behind Contour', () => {
  let world: ContourWorld;
  let running: OperatorProcess;
  let client: TestClient;
  let stranger: TestClient;

  const proxy = async (ref = API_PROXY): Promise<KubernetesObject> => {
    const object = await world.kube.get(httpProxies, ref);
    assert.ok(object !== undefined);
    return object;
  };
  const bundles = async ({ namespace } = API_PROXY) =>
    (await world.kube.list(secrets, { namespace, labelSelector: `${ROLE_LABEL}=${Role.trustBundle}` })).items;
  const annotate = (annotations: Record<string, string | null>) =>
    world.kube.patch(httpProxies, API_PROXY, { metadata: { annotations } }, { type: 'merge' });
  const request = (its: { token?: string; certificate?: KeyPairPem; headers?: Record<string, string> }) =>
    callApi({ url: `${world.origin('api')}/accounts`, caPem: world.serverCa.certPem, ...its });
  const status = (answer: Promise<{ status: number }>) =>
    answer.then(
      (each) => each.status,
      () => 'no connection',
    );

  before(async () => {
    world = await startContourWorld();
    running = await world.startOperator();
    await serverReady(world, 'corporate');
    client = await new TestClient(world, { namespace: 'payments', name: 'batch' }).apply();
    stranger = await new TestClient(world, { namespace: 'payments', name: 'stranger' }).apply();
    await Promise.all([client.ready(limitMs), stranger.ready(limitMs)]);
  });
  after(() => world?.stop());

  it('are told to verify, and a token is given for the published Secret alone', async () => {
    const [bundle, ...more] = await bundles(MTLS_PROXY);
    assert.ok(bundle !== undefined && more.length === 0);
    const values = await client.values();
    assert.equal(secretValues(bundle)['ca.crt']?.trim(), values['client-ca.crt']?.trim());
    assert.deepEqual(validation(await proxy(MTLS_PROXY)), {
      caSecret: `identity/${bundle.metadata.name}`,
      skipClientCertValidation: false,
      optionalClientCertificate: false,
      forwardClientCertificate: { cert: true },
    });
    assert.ok(isTrue(await client.status(), 'TerminatorsReady'));
    const credentials = await client.credentials();
    assert.equal(await boundTo(credentials), credentials.x5tS256);
    const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
    for (const certificate of [undefined, foreign]) {
      assert.equal(await status(requestToken(credentials, { certificate })), 'no connection');
    }
    const { certificate } = await stranger.credentials();
    assert.equal((await requestToken(credentials, { certificate })).json['error'], 'invalid_client');
  });

  it('ask for certificates once their owner has opted in, and take none from a caller’s header', async () => {
    const annotated = await annotate(OPTED_IN);
    await waitFor(async () => validation(await proxy()) !== undefined);
    const credentials = await client.credentials();
    const { certificate } = credentials;
    const token = await tokenFor(credentials);
    await waitFor(async () => (await status(request({ token }))) === 'no connection', limitMs);
    const accepted = await request({ token, certificate });
    assert.equal(accepted.status, 200, accepted.text);
    assert.equal(accepted.json['x5t_s256'], credentials.x5tS256);
    const forged = forgedHeaders('envoy', certificate);
    const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
    assert.equal(await status(request({ token, headers: forged })), 'no connection');
    assert.equal(await status(request({ token, certificate: foreign, headers: forged })), 'no connection');
    const thief = await stranger.credentials();
    assert.equal(await status(request({ token, certificate: thief.certificate, headers: forged })), 401);
    // The browser's host reaches the same authorization server, and asks for no certificate.
    const unproved = await call({
      url: `${world.origin('browser')}/token`,
      ca: world.serverCa.certPem,
      headers: forged,
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id: credentials.clientId }),
    });
    assert.equal(unproved.json['error'], 'invalid_client', unproved.text);
    assert.deepEqual(othersFields(await proxy()), othersFields(annotated));
  });

  it('are shown to do so by live connections: one without certificates is told apart', async () => {
    const { certificate } = await client.credentials();
    const [bundle] = await bundles();
    const authority = { client: certificate, bundlePem: secretValues(bundle ?? assert.fail())['ca.crt'] ?? '' };
    const port = Number(new URL(world.origin('api')).port);
    const { seen, violated, unclear } = await liveRound({ port, host: HOSTS.api, laxHost: HOSTS.browser }, authority);
    assert.deepEqual([violated, unclear], [[], undefined], seen.join());
    // The API asks everybody for a token. No session of the host that asks for nothing is resumed.
    assert.deepEqual(seen, ['canary 401', 'foreign alert', 'forged alert', 'none alert']);
    const lax = await liveRound({ port, host: HOSTS.browser }, authority);
    assert.deepEqual(lax.violated, ['foreign', 'forged', 'none', 'resumed'], lax.seen.join());
    await waitFor(async () => (await provedHosts(running, 'proved')) === 2, limitMs);
    assert.equal(await provedHosts(running, 'disproved'), 0);
  });

  it('are found to ask nobody where Envoy is not told what their objects say', async () => {
    const unasked = () => requestToken(credentials, { certificate: undefined }).catch(() => undefined);
    const credentials = await client.credentials();
    await running.stop();
    const undone = { spec: { virtualhost: { tls: { clientValidation: null } } } };
    await world.kube.patch(httpProxies, MTLS_PROXY, undone, { type: 'merge' });
    await waitFor(async () => (await unasked())?.json['error'] === 'invalid_client', limitMs);
    const thaw = world.contour.freeze();
    try {
      running = await world.startOperator();
      await client.told('TerminatorsReady', 'False', 'ClientAuthenticationNotEnforced', limitMs);
      assert.ok(validation(await proxy(MTLS_PROXY)) !== undefined, 'as the object says');
      assert.equal(await provedHosts(running, 'disproved'), 1);
    } finally {
      thaw();
    }
    await client.until((all) => isTrue(all, 'TerminatorsReady'), limitMs);
    await waitFor(async () => (await provedHosts(running, 'proved')) === 2, limitMs);
    assert.equal(await boundTo(credentials), credentials.x5tS256);
  });

  it('are put right again', async () => {
    const written = validation(await proxy());
    const leaf = { spec: { virtualhost: { tls: { clientValidation: { caSecret: null } } } } };
    await world.kube.patch(httpProxies, API_PROXY, leaf, { type: 'merge' });
    await waitFor(async () => JSON.stringify(validation(await proxy())) === JSON.stringify(written));
    const [bundle] = await bundles();
    assert.ok(bundle !== undefined);
    await world.kube.delete(secrets, bundle.metadata);
    await waitFor(async () => (await bundles()).length === 1);
    assert.deepEqual((await bundles())[0]?.['data'], bundle['data']);
    const credentials = await client.credentials();
    const { certificate } = credentials;
    const token = await tokenFor(credentials);
    await waitFor(async () => (await status(request({ token, certificate }))) === 200, limitMs);
    await waitFor(async () => (await status(request({ token }))) === 'no connection', limitMs);
  });

  it('refuse no call while certificates rotate, and while another CA is trusted and used', async (t) => {
    t.diagnostic(await changesUnderLoad(world, client, (token, certificate) => request({ token, certificate })));
  });

  it('lose our settings and the bundle when their owner opts out, and nothing else', async () => {
    const owners = othersFields(await proxy());
    await annotate({ [OPT_IN]: null, [CLIENT_CERTIFICATES]: null });
    await waitFor(async () => (await bundles()).length === 0, limitMs);
    const left = await proxy();
    assert.equal(validation(left), undefined);
    assert.equal(
      left.metadata.managedFields?.some(({ manager }) => manager === FIELD_MANAGER),
      false,
    );
    const annotated = left.metadata.managedFields?.filter(({ manager }) => manager === 'test') ?? [];
    assert.deepEqual(
      othersFields(left).filter(([manager]) => manager !== 'test'),
      owners.filter(([manager]) => manager !== 'test'),
    );
    assert.ok(annotated.every(({ fieldsV1 }) => !JSON.stringify(fieldsV1).includes('clientValidation')));
    await waitFor(async () => (await status(request({}))) === 401, limitMs);
    assert.equal((await bundles(MTLS_PROXY)).length, 1, 'the host of the authorization server keeps its own');
  });

  it('are the operator’s to set no further: the API server refuses everything else of them', async () => {
    const operator = KubeClient.fromKubeconfig({
      path: world.operatorKubeconfig,
      userAgent: 'test',
      fieldManager: 'test',
    });
    try {
      const refused = async (write: Promise<unknown>, words: RegExp) => {
        await assert.rejects(write, (error: unknown) => {
          assert.ok(error instanceof KubeError, String(error));
          assert.match(error.message, words);
          return true;
        });
      };
      const patch = (change: Record<string, unknown>) =>
        operator.patch(httpProxies, API_PROXY, change, { type: 'merge' });
      const tls = (change: Record<string, unknown>) => patch({ spec: { virtualhost: { tls: change } } });
      const own = /nothing of an HTTPProxy but the client validation/;
      await refused(patch({ spec: { routes: [] } }), own);
      await refused(patch({ spec: { virtualhost: { fqdn: 'other.example.test' } } }), own);
      await refused(tls({ secretName: 'other' }), own);
      await refused(tls({ clientValidation: { crlSecret: 'other' } }), own);
      await refused(tls({ clientValidation: { forwardClientCertificate: { uri: true } } }), own);
      await refused(patch({ metadata: { annotations: { [OPT_IN]: 'other' } } }), own);
      await refused(patch({ metadata: { labels: { a: 'b' } } }), own);
      await refused(tls({ clientValidation: { caSecret: 'accounts/tls' } }), /no CA bundle but its own/);
      await refused(tls({ clientValidation: { caSecret: 'identity/certbound-trust-1' } }), /no CA bundle but its own/);
      await refused(operator.delete(httpProxies, API_PROXY), /cannot delete/);
    } finally {
      await operator.close();
    }
  });

  badInputCases(async () => ({
    ...world,
    client,
    frontends: httpProxies,
    frontend: httpProxy(MTLS_PROXY, HOSTS.mtls, {
      name: 'authorization-server',
      port: world.authorizationServer.port,
    }),
    bundles: secrets,
    terminator: 'envoy',
    classed: { spec: (ingressClassName) => ({ ingressClassName }), name: 'contour', told: 'TerminatorsPending' },
    taken: { spec: { virtualhost: { tls: { clientValidation: { caSecret: 'identity/elsewhere' } } } } },
    rival: httpProxy({ ...MTLS_PROXY, name: 'rival' }, HOSTS.mtls, {
      name: 'authorization-server',
      port: world.authorizationServer.port,
    }),
  }));
});

/** From the objects that the operator writes for haproxy-ingress, and nothing else: tokens and calls through HAProxy. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CLIENT_CERTIFICATES, OPT_IN, ROLE_LABEL, Role, SESSIONS_ISOLATED } from '../../src/api/annotations.ts';
import { events, ingressClasses, ingresses, secrets } from '../../src/kube/resource.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { callApi, requestToken, tokenFor, type ApiCall } from '../support/application.ts';
import { apply, documents, ingress } from '../support/cluster-objects.ts';
import { forgedHeaders } from '../support/forged-headers.ts';
import { findHaproxy } from '../support/haproxy.ts';
import { type IngressController, startIngressController } from '../support/ingress-controller.ts';
import { HAPROXY_INGRESS, startInstallation, type Installation } from '../support/installation.ts';
import { LaxObjects } from '../support/lax-objects.ts';
import { liveRound, provedHosts } from '../support/live-proof.ts';
import { isTrue, TestClient } from '../support/oauth-client.ts';
import { changesUnderLoad } from '../support/changes-under-load.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { badInputCases } from '../support/terminator-bad-input.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, serverReady } from '../e2e/lifecycle-world.ts';

const api = { namespace: 'accounts', name: 'accounts-api' };
const prefix = 'haproxy-ingress.github.io';

describe('haproxy-ingress', { skip: (await findHaproxy()) === undefined && 'there is no haproxy' }, () => {
  let world: Installation;
  let operator: OperatorProcess;
  let client: TestClient;
  let template: LaxObjects;
  /** A second HAProxy, of which the server's clients know nothing; it has sessions, as the controller's defaults are. */
  let replica: IngressController;

  const annotations = async (): Promise<Record<string, string>> =>
    (await world.kube.get(ingresses, api))?.metadata.annotations ?? {};
  const bundles = async () =>
    (await world.kube.list(secrets, { namespace: api.namespace, labelSelector: `${ROLE_LABEL}=${Role.trustBundle}` }))
      .items;
  const request = (call: Omit<ApiCall, 'url' | 'caPem'>) =>
    callApi({ url: `${world.origin('api')}/accounts`, caPem: world.serverCa.certPem, ...call });
  const startOperator = () => {
    const addresses = ['127.0.0.1', '127.0.0.2'].map((ip) => `${ip}:${world.httpsPort}`);
    return world.startOperator({
      CERTBOUND_TERMINATORS: 'haproxy',
      CERTBOUND_TERMINATOR_ADDRESSES: JSON.stringify({ 'haproxy-ingress.github.io/controller': addresses }),
    });
  };
  const round = async (ip: string) => {
    const { certificate } = await client.credentials();
    const at = { ip, port: world.httpsPort, host: HOSTS.mtls, laxHost: HOSTS.browser };
    return liveRound(at, { client: certificate, bundlePem: (await client.values())['client-ca.crt'] ?? '' });
  };

  before(async () => {
    world = await startInstallation({ terminator: 'haproxy', accessTokenTTL: 3 });
    template = new LaxObjects(world.plane.kubeconfigPath, `${prefix}/auth-tls-`);
    const { httpsPort, httpPort } = world.ingressController;
    const { configGlobal: _, ...product } = HAPROXY_INGRESS;
    replica = await startIngressController({ ...product, source: template, address: '127.0.0.2', httpsPort, httpPort });
    await apply(world.kube, ...edited(await world.platform()), ...(await documents(INGRESSES)));
    operator = await startOperator();
    await serverReady(world, 'corporate');
  });
  after(async () => {
    await replica?.stop();
    await world?.stop();
  });

  it('writes nothing before the platform has said that sessions are isolated', async () => {
    const told = async () =>
      (await world.kube.list(events, { namespace: api.namespace })).items.find(
        ({ reason }) => reason === 'TerminatorNotPrepared',
      );
    await waitFor(async () => (await told()) !== undefined);
    assert.match(String((await told())?.['note']), /tune\.ssl\.cachesize 0.*certbound\.dev\/sessions-isolated/);
    assert.deepEqual(await bundles(), []);
    assert.deepEqual(
      Object.keys(await annotations()).filter((key) => key.startsWith(prefix)),
      [],
    );
    const said = { metadata: { annotations: { [SESSIONS_ISOLATED]: 'true' } } };
    await world.kube.patch(ingressClasses, { name: 'nginx' }, said, { type: 'merge' });
    client = await new TestClient(world, { namespace: 'payments', name: 'batch' }).apply();
    await client.ready();
    await waitFor(async () => (await annotations())[`${prefix}/auth-tls-strict`] === 'true');
    await world.ingressController.settled();
  });

  it('a token and a call with the certificate; refused without one, with a foreign one, with a forged header', async () => {
    const credentials = await client.credentials();
    const { certificate } = credentials;
    assert.equal((await requestToken(credentials)).status, 200);
    assert.equal((await requestToken(credentials, { certificate: undefined })).status, 496);
    const token = await tokenFor(credentials);
    const accepted = await request({ token, certificate });
    assert.equal(accepted.status, 200, accepted.text);
    assert.equal(accepted.json['x5t_s256'], credentials.x5tS256);
    const forged = forgedHeaders('haproxy', certificate);
    assert.equal((await request({ token })).status, 496);
    assert.equal((await request({ token, headers: forged })).status, 496);
    const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
    assert.equal((await request({ token, certificate: foreign, headers: forged })).status, 495);
  });

  it('live connections show it; of a session cache they resume what was begun without a certificate, and are refused', async () => {
    const [strict, cached] = [await round('127.0.0.1'), await round('127.0.0.2')];
    const refused = ['canary 404', 'foreign 495', 'forged 496', 'none 496'];
    assert.deepEqual(strict, { seen: refused, violated: [], unclear: undefined });
    assert.deepEqual(cached, { seen: [...refused, 'resumed 421', 'resumed 496'], violated: [], unclear: undefined });
    await waitFor(async () => (await provedHosts(operator, 'proved')) === 2, 120_000);
    assert.equal(await provedHosts(operator, 'disproved'), 0);
  });

  it('a HAProxy that somebody made lax behind the operator’s back is found, and told until it is mended', async () => {
    await operator.stop();
    template.edit('lax');
    await replica.settled();
    assert.deepEqual((await round('127.0.0.2')).violated, ['foreign', 'forged', 'none', 'resumed']);
    operator = await startOperator();
    const message = await client.told('TerminatorsReady', 'False', 'ClientAuthenticationNotEnforced', 120_000);
    assert.match(message, /At mtls\.as\.example\.test \(127\.0\.0\.2:/);
    await waitFor(async () => (await provedHosts(operator, 'disproved')) === 2, 120_000);
    assert.equal((await annotations())[`${prefix}/auth-tls-verify-client`], 'on', 'as the objects say');
    template.edit('strict');
    await replica.settled();
    await client.until((status) => isTrue(status, 'TerminatorsReady'), 120_000);
    await waitFor(async () => (await provedHosts(operator, 'proved')) === 2, 120_000);
  });

  it('two rotations, and another CA that is trusted and used, under load: no call is refused', async (t) => {
    t.diagnostic(await changesUnderLoad(world, client, (token, certificate) => request({ token, certificate })));
  });

  it('opted out, nothing of ours is left', async () => {
    const change = { [OPT_IN]: null, [CLIENT_CERTIFICATES]: null };
    await world.kube.patch(ingresses, api, { metadata: { annotations: change } }, { type: 'merge' });
    await waitFor(async () => (await bundles()).length === 0);
    assert.deepEqual(await annotations(), {});
    const managers = (await world.kube.get(ingresses, api))?.metadata.managedFields?.map(({ manager }) => manager);
    assert.ok(managers?.includes(FIELD_MANAGER) === false);
    await world.ingressController.settled();
    // The API itself refuses, which nobody asked before.
    assert.equal((await request({})).status, 401);
    const forged = forgedHeaders('haproxy', (await client.credentials()).certificate);
    const token = await tokenFor(await client.credentials());
    assert.equal((await request({ token, headers: forged })).status, 401);
  });

  badInputCases(async () => {
    const ref = { namespace: 'identity', name: 'authorization-server-mtls' };
    return {
      ...world,
      kubeconfigPath: world.plane.kubeconfigPath,
      client,
      frontends: ingresses,
      frontend: ingress(ref, HOSTS.mtls, 'authorization-server'),
      bundles: secrets,
      terminator: 'haproxy',
      classed: { spec: (ingressClassName) => ({ ingressClassName }), name: 'nginx', told: 'UnknownIngressClass' },
      taken: { metadata: { annotations: { [`${prefix}/auth-tls-secret`]: 'identity/elsewhere' } } },
      settled: () => world.ingressController.settled(),
      rival: ingress({ ...ref, name: 'rival' }, HOSTS.mtls, 'authorization-server'),
    };
  });
});

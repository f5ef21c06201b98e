/** From the objects that the operator writes for haproxy-ingress, and nothing else: tokens and calls through HAProxy. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CLIENT_CERTIFICATES, OPT_IN, ROLE_LABEL, Role, SESSIONS_ISOLATED } from '../../src/api/annotations.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import { events, ingressClasses, ingresses, secrets } from '../../src/kube/resource.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { Application, callApi, requestToken, tokenFor, type ApiCall } from '../support/application.ts';
import { apply, documents } from '../support/cluster-objects.ts';
import { findHaproxy } from '../support/haproxy.ts';
import { startInstallation, type Installation } from '../support/installation.ts';
import { TestClient } from '../support/oauth-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, serverReady } from '../e2e/lifecycle-world.ts';
import { keepCalling } from '../support/load.ts';

const api = { namespace: 'accounts', name: 'accounts-api' };
const prefix = 'haproxy-ingress.github.io';
const derOf = (certPem: string): string => certPem.split('-----END')[0]?.replaceAll(/-----[A-Z ]+-----|\s/g, '') ?? '';

describe('haproxy-ingress', { skip: (await findHaproxy()) === undefined && 'there is no haproxy' }, () => {
  let world: Installation;
  let client: TestClient;

  const annotations = async (): Promise<Record<string, string>> =>
    (await world.kube.get(ingresses, api))?.metadata.annotations ?? {};
  const bundles = async () =>
    (await world.kube.list(secrets, { namespace: api.namespace, labelSelector: `${ROLE_LABEL}=${Role.trustBundle}` }))
      .items;
  const request = (call: Omit<ApiCall, 'url' | 'caPem'>) =>
    callApi({ url: `${world.origin('api')}/accounts`, caPem: world.serverCa.certPem, ...call });

  before(async () => {
    world = await startInstallation({ terminator: 'haproxy', accessTokenTTL: 3 });
    await apply(world.kube, ...edited(await world.platform()), ...(await documents(INGRESSES)));
    await world.startOperator({ CERTBOUND_TERMINATORS: 'haproxy' });
    await serverReady(world, 'corporate');
  });
  after(() => world?.stop());

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
    const forged = { 'x-ssl-client-cert': derOf(certificate.certPem) };
    assert.equal((await request({ token })).status, 496);
    assert.equal((await request({ token, headers: forged })).status, 496);
    const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
    assert.equal((await request({ token, certificate: foreign, headers: forged })).status, 495);
  });

  it('a rotation and another CA in the bundle, under load: no call is refused', async () => {
    const first = (await client.credentials()).x5tS256;
    const tokens = keepCalling(client);
    const url = { url: `${world.origin('api')}/accounts`, caPem: world.serverCa.certPem };
    const application = new Application(url, () => client.secret());
    const ended = new AbortController();
    const statuses = new Set<number>();
    let refreshed = Date.now();
    let current = application;
    const calls = (async () => {
      while (!ended.signal.aborted) {
        // Tokens last three seconds here.
        if (Date.now() - refreshed > 1000) {
          current = new Application(url, () => client.secret());
          refreshed = Date.now();
        }
        statuses.add((await current.call()).status);
      }
    })();
    try {
      await client.annotate({ 'certbound.dev/renew-requested': 'now' });
      await apply(world.kube, {
        apiVersion: 'certbound.dev/v1alpha1',
        kind: clientCertificateIssuers.kind,
        metadata: { name: 'second' },
        spec: { ca: { managed: { dn: 'CN=Second,O=Example' } } },
      });
      const issuers = { spec: { clients: { issuers: ['corporate-clients', 'second'] } } };
      await world.kube.patch(authorizationServers, { name: 'corporate' }, issuers, { type: 'merge' });
      const count = async () =>
        Buffer.from(String(Object(Object((await bundles())[0])['data'])['ca.crt']), 'base64')
          .toString()
          .split('BEGIN CERTIFICATE').length - 1;
      await waitFor(async () => (await count()) === 2);
      await client.until(() => tokens.used.size > 1);
      await world.ingressController.settled();
    } finally {
      ended.abort();
    }
    await calls;
    assert.ok((await tokens.stop()).calls > 10);
    assert.deepEqual([...statuses], [200]);
    assert.deepEqual([...tokens.used].slice(0, 1), [first]);
    assert.notEqual((await client.credentials()).x5tS256, first);
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
    const forged = { 'x-ssl-client-cert': derOf((await client.credentials()).certificate.certPem) };
    const token = await tokenFor(await client.credentials());
    assert.equal((await request({ token, headers: forged })).status, 401);
  });
});

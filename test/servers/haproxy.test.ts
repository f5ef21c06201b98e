/** From the objects that the operator writes for haproxy-ingress, and nothing else: tokens and calls through HAProxy. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { CLIENT_CERTIFICATES, OPT_IN, ROLE_LABEL, Role, SESSIONS_ISOLATED } from '../../src/api/annotations.ts';
import { events, ingressClasses, ingresses, secrets } from '../../src/kube/resource.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { callApi, requestToken, tokenFor, type ApiCall } from '../support/application.ts';
import { apply, documents } from '../support/cluster-objects.ts';
import { findHaproxy } from '../support/haproxy.ts';
import { startInstallation, type Installation } from '../support/installation.ts';
import { TestClient } from '../support/oauth-client.ts';
import { changesUnderLoad } from '../support/changes-under-load.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, serverReady } from '../e2e/lifecycle-world.ts';

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
    const forged = { 'x-ssl-client-cert': derOf((await client.credentials()).certificate.certPem) };
    const token = await tokenFor(await client.credentials());
    assert.equal((await request({ token, headers: forged })).status, 401);
  });
});

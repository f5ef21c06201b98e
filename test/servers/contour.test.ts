/** The operator and Contour, with Envoy: from the objects that the operator writes, and nothing else. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLIENT_CERTIFICATES, OPT_IN, Role, ROLE_LABEL } from '../../src/api/annotations.ts';
import { clientCertificateIssuers } from '../../src/api/resources.ts';
import { KubeClient, KubeError } from '../../src/kube/client.ts';
import { httpProxies, secrets, type KubernetesObject } from '../../src/kube/resource.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { keepCalling, serverReady } from '../e2e/lifecycle-world.ts';
import { Application, callApi, requestToken, secretValues, tokenFor } from '../support/application.ts';
import { apply } from '../support/cluster-objects.ts';
import { CLIENTS_ALLOWED } from '../support/installation.ts';
import { boundTo, isTrue, TestClient } from '../support/oauth-client.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import { API_PROXY, type ContourWorld, MTLS_PROXY, OPTED_IN, startContourWorld } from './contour-world.ts';

const limitMs = 120_000;
const XFCC = 'x-forwarded-client-cert';

const validation = (object: KubernetesObject): unknown => Object(object['spec']).virtualhost.tls.clientValidation;

describe('HTTPProxies behind Contour', () => {
  let world: ContourWorld;
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
  const request = (call: { token?: string; certificate?: KeyPairPem; headers?: Record<string, string> }) =>
    callApi({ url: `${world.origin('api')}/accounts`, caPem: world.serverCa.certPem, ...call });
  const status = (answer: Promise<{ status: number }>) =>
    answer.then(
      (each) => each.status,
      () => 'no connection',
    );

  before(async () => {
    world = await startContourWorld();
    await serverReady({ kube: world.kube } as Parameters<typeof serverReady>[0], 'corporate');
    client = await new TestClient(world, { namespace: 'team', name: 'batch' }).apply();
    stranger = await new TestClient(world, { namespace: 'team', name: 'stranger' }).apply();
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
    const foreign = await world.serverCa.issue({ cn: 'batch', o: 'team', clientAuth: true });
    for (const certificate of [undefined, foreign]) {
      assert.equal(await status(requestToken(credentials, { certificate })), 'no connection');
    }
    const { certificate } = await stranger.credentials();
    assert.equal((await requestToken(credentials, { certificate })).json['error'], 'invalid_client');
  });
});

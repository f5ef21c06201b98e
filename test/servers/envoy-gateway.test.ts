/** A Gateway's opt-in, seen through Envoy Gateway and its Envoys: from the objects that the operator writes, and nothing else. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLIENT_CERTIFICATES, OPT_IN, ROLE_LABEL, Role } from '../../src/api/annotations.ts';
import { authorizationServer } from '../../src/api/authorization-server.ts';
import type { OAuthClientStatus } from '../../src/api/oauth-client.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import {
  configMaps,
  events,
  gateways,
  httpRoutes,
  ingresses,
  type KubernetesObject,
  type ObjectMeta,
  type ObjectRef,
} from '../../src/kube/resource.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { type ApiCall, callApi, requestToken, tokenFor } from '../support/application.ts';
import { apply, ingress } from '../support/cluster-objects.ts';
import { forgedHeaders } from '../support/forged-headers.ts';
import { clientTrafficPolicies, gateway, httpRoute } from '../support/gateway-objects.ts';
import { boundTo, isTrue, TestClient } from '../support/oauth-client.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';
import { changesUnderLoad } from '../support/changes-under-load.ts';
import { badInputCases } from '../support/terminator-bad-input.ts';
import { waitFor } from '../support/wait-for.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { liveRound, provedHosts } from '../support/live-proof.ts';
import { API_GATEWAY, type EnvoyGatewayWorld, MTLS_GATEWAY, startEnvoyGatewayWorld } from './envoy-gateway-world.ts';

const optedIn = { [OPT_IN]: 'corporate', [CLIENT_CERTIFICATES]: 'required' };
const optedOut = { [OPT_IN]: null, [CLIENT_CERTIFICATES]: null };
const LONG_MS = 60_000;
/** No longer than propagation and tokens need: there are four certificates in a minute. */
const drained = { drain: '8s' };

const othersFields = ({ managedFields = [] }: ObjectMeta) =>
  managedFields
    .filter(({ manager, subresource }) => manager !== FIELD_MANAGER && subresource === undefined)
    .map(({ manager, operation, fieldsV1 }) => ({ manager, operation, fieldsV1 }));

/** The connection was not made, or ended before an answer: nobody behind Envoy was asked. */
async function refusedByEnvoy(attempt: Promise<unknown>): Promise<boolean> {
  return attempt.then(
    () => false,
    (error: unknown) => error instanceof Error && /alert|ECONNRESET|socket hang up|EPROTO|EPIPE/.test(`${error}`),
  );
}

describe('a Gateway of Envoy Gateway and its client certificates', () => {
  let world: EnvoyGatewayWorld;
  let running: OperatorProcess;
  let client: TestClient;
  let stranger: TestClient;

  const current = async (ref: ObjectRef = API_GATEWAY): Promise<KubernetesObject> => {
    const object = await world.kube.get(gateways, ref);
    assert.ok(object !== undefined);
    return object;
  };
  const ours = async (namespace = API_GATEWAY.namespace) => {
    const made = async (resource: typeof configMaps, role: string) =>
      (await world.kube.list(resource, { namespace, labelSelector: `${ROLE_LABEL}=${role}` })).items;
    return {
      bundles: await made(configMaps, Role.trustBundle),
      policies: await made(clientTrafficPolicies, Role.terminator),
    };
  };
  const annotate = (change: Record<string, string | null>, ref: ObjectRef = API_GATEWAY) =>
    world.kube.patch(gateways, ref, { metadata: { annotations: change } }, { type: 'merge' });
  const request = (call: Omit<ApiCall, 'url' | 'caPem'>, origin = world.origin('api')) =>
    callApi({ url: `${origin}/accounts`, caPem: world.serverCa.certPem, ...call });
  const rightful = async () => {
    const credentials = await client.credentials();
    return request({ token: await tokenFor(credentials), certificate: credentials.certificate });
  };
  const forged = (certificate: Pick<KeyPairPem, 'certPem'>) => forgedHeaders('envoy', certificate);

  before(async () => {
    world = await startEnvoyGatewayWorld();
    await apply(world.kube, ...(await world.platform()));
    await annotate(optedIn, MTLS_GATEWAY);
    running = await world.startOperator();
    await waitFor(async () => {
      const object = authorizationServer.parse(await world.kube.get(authorizationServers, { name: 'corporate' }));
      return object.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
    }, LONG_MS);
    client = await new TestClient(world, { namespace: 'payments', name: 'batch' }, { certificate: drained }).apply();
    stranger = await new TestClient(world, { namespace: 'payments', name: 'stranger' }).apply();
    await Promise.all([client.ready(2 * LONG_MS), stranger.ready(2 * LONG_MS)]).catch(async (cause: unknown) => {
      throw new Error((await world.envoyGateway.log()).slice(-3000), { cause });
    });
  });
  after(() => world.stop());

  it('has tokens, once the one in front of the token endpoint has opted in', async () => {
    const credentials = await client.credentials();
    assert.equal(await boundTo(credentials), credentials.x5tS256);
    assert.ok(isTrue(await client.status(), 'TerminatorsReady'));
    assert.ok(await refusedByEnvoy(requestToken(credentials, { certificate: undefined })));
    const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
    assert.ok(await refusedByEnvoy(requestToken(credentials, { certificate: foreign })));
    const other = await stranger.credentials();
    const refused = await requestToken(credentials, { certificate: other.certificate });
    assert.equal(refused.json['error'], 'invalid_client', 'another client’s certificate gets through, and is its own');
  });

  it('is left untouched without an opt-in, and forged headers are removed there too', async () => {
    const untouched = await current();
    assert.equal(JSON.stringify(untouched['spec']).includes('frontend'), false);
    assert.deepEqual(await ours(), { bundles: [], policies: [] });
    const credentials = await client.credentials();
    const token = await tokenFor(credentials);
    for (const origin of [world.origin('api'), world.plainApi]) {
      const { status } = await request({ token, headers: forged(credentials.certificate) }, origin);
      assert.equal(status, 401, `${origin} passes a forged header on`);
    }
  });

  it('asks for certificates once it has opted in, forwards them, and refuses who has none', async () => {
    await annotate(optedIn);
    await waitFor(async () => (await rightful().catch(() => undefined))?.status === 200, LONG_MS);
    const { bundles, policies } = await ours();
    assert.deepEqual([bundles.length, policies.length], [1, 1]);
    const { ['spec']: spec } = await current();
    assert.deepEqual(Reflect.get(Object(spec), 'tls'), {
      frontend: {
        default: {
          validation: {
            caCertificateRefs: [
              { group: '', kind: 'ConfigMap', namespace: 'accounts', name: bundles[0]?.metadata.name },
            ],
            mode: 'AllowValidOnly',
          },
        },
      },
    });
    const credentials = await client.credentials();
    const token = await tokenFor(credentials);
    const headers = forged(credentials.certificate);
    assert.ok(await refusedByEnvoy(request({ token })));
    assert.ok(await refusedByEnvoy(request({ token, headers })));
    const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
    assert.ok(await refusedByEnvoy(request({ token, certificate: foreign, headers })));
    const { certificate } = await stranger.credentials();
    assert.equal((await request({ token, certificate })).status, 401, 'somebody else’s token');
    assert.equal((await request({ token, certificate, headers })).status, 401, 'and a forged header with it');
    assert.equal((await request({ token, headers }, world.plainApi)).status, 401, 'nor over plain HTTP');
    const { certificate: own } = credentials;
    const replaced = await request({ token, certificate: own, headers: forged(certificate) });
    assert.equal(replaced.status, 200, 'what the client sent is replaced, not added to');
    assert.equal((await request({ token, certificate: own, headers: { x_forwarded_client_cert: 'x' } })).status, 400);
  });

  it('is not what its clients rely on while an Ingress leads to a Service behind it', async () => {
    const { namespace } = MTLS_GATEWAY;
    const route = httpRoute({ namespace, name: 'behind' }, [HOSTS.mtls], 'authorization-server');
    await apply(world.kube, {
      ...route,
      spec: {
        parentRefs: [{ name: MTLS_GATEWAY.name }],
        hostnames: [HOSTS.mtls],
        rules: [
          {
            matches: [{ path: { type: 'PathPrefix', value: '/behind' } }],
            backendRefs: [{ name: 'authorization-server', port: 80 }],
          },
        ],
      },
    });
    const around = ingress({ namespace, name: 'around' }, HOSTS.browser, 'authorization-server', 'internal');
    await apply(world.kube, around);
    const terminators = (status: string, reason: string) => client.told('TerminatorsReady', status, reason, LONG_MS);
    const message = await terminators('False', 'BackendExposed');
    assert.match(message, /Service authorization-server is also reached through .*Ingress around/);
    await world.kube.delete(ingresses, around.metadata);
    await terminators('True', 'Distributed');
    await world.kube.delete(httpRoutes, route.metadata);
  });

  it('says so when a route brings a Service of its HTTPS listener to plain HTTP too', async () => {
    const { namespace, name } = API_GATEWAY;
    const route = { namespace, name: 'plain' };
    const rules = [
      {
        matches: [{ path: { type: 'PathPrefix', value: '/plain' } }],
        backendRefs: [{ name: 'accounts', port: 80 }],
      },
    ];
    await world.kube.create(httpRoutes, {
      metadata: route,
      spec: { parentRefs: [{ name }], hostnames: [HOSTS.api], rules },
    });
    const told = async () =>
      (await world.kube.list(events, { namespace })).items.find(
        (event) => event['reason'] === 'PlainHTTP' && Object(event['regarding']).name === name,
      );
    await waitFor(async () => (await told()) !== undefined, LONG_MS);
    assert.match(
      String((await told())?.['note']),
      /Service accounts .*plain HTTP, by listener http \(HTTPRoute plain\)/,
    );
    await world.kube.delete(httpRoutes, route);
  });

  it('is shown to do so by live connections to its host names: one without certificates is told apart', async () => {
    const { certificate } = await client.credentials();
    const [bundle] = (await ours()).bundles;
    const authority = { client: certificate, bundlePem: String(Reflect.get(Object(bundle?.['data']), 'ca.crt')) };
    const at = (host: keyof typeof HOSTS) => ({ port: Number(new URL(world.origin(host)).port), host: HOSTS[host] });
    for (const [host, answered] of [
      ['api', 401],
      ['mtls', 404],
    ] as const) {
      const { seen, violated, unclear } = await liveRound(at(host), authority);
      assert.deepEqual([violated, unclear], [[], undefined], seen.join());
      assert.deepEqual(seen, [`canary ${answered}`, 'foreign alert', 'forged alert', 'none alert']);
    }
    const lax = await liveRound(at('browser'), authority);
    // Sessions are not resumed by Envoy Gateway's Envoys, so that none is tried with.
    assert.deepEqual(lax.violated, ['foreign', 'forged', 'none'], lax.seen.join());
    const byItsOwnName = await liveRound({ ...at('browser'), host: 'identity/authorization-server' }, authority);
    assert.deepEqual(byItsOwnName.violated, [], 'by the name of the Gateway nothing is seen');
    await waitFor(async () => (await provedHosts(running, 'proved')) === 2, LONG_MS);
    assert.equal(await provedHosts(running, 'disproved'), 0);
  });

  it('is found to ask nobody where its Envoy is not told what its objects say', async () => {
    const unasked = () => requestToken(credentials, { certificate: undefined }).catch(() => undefined);
    const credentials = await client.credentials();
    await running.stop();
    await world.kube.patch(gateways, MTLS_GATEWAY, { spec: { tls: null } }, { type: 'merge' });
    const [policy] = (await ours(MTLS_GATEWAY.namespace)).policies;
    await world.kube.delete(clientTrafficPolicies, policy?.metadata ?? assert.fail('no policy'));
    await waitFor(async () => (await unasked())?.json['error'] === 'invalid_client', LONG_MS);
    const thaw = world.envoyGateway.freeze();
    try {
      running = await world.startOperator();
      await client.told('TerminatorsReady', 'False', 'ClientAuthenticationNotEnforced', 2 * LONG_MS);
      const { ['spec']: spec } = await current(MTLS_GATEWAY);
      assert.ok(Object(spec).tls !== undefined, 'as the object says');
      assert.equal(await provedHosts(running, 'disproved'), 1);
    } finally {
      thaw();
    }
    await client.until((all) => isTrue(all, 'TerminatorsReady'), 2 * LONG_MS);
    await waitFor(async () => (await provedHosts(running, 'proved')) === 2, 2 * LONG_MS);
    assert.equal(await boundTo(credentials), credentials.x5tS256);
  });

  it('is open to the operator’s own fields, and to nothing else of the operator', async () => {
    const operator = KubeClient.fromKubeconfig({
      path: world.operatorKubeconfig,
      userAgent: 'test',
      fieldManager: 'test',
    });
    const [bundle] = (await ours()).bundles;
    const validation = (change: Record<string, unknown>) => ({
      spec: { tls: { frontend: { default: { validation: change } } } },
    });
    const ref = { group: '', kind: 'ConfigMap', namespace: 'accounts', name: bundle?.metadata.name };
    try {
      for (const change of [
        { spec: { gatewayClassName: 'other' } },
        { spec: { infrastructure: { labels: { a: 'b' } } } },
        { spec: { tls: { frontend: { perPort: [{ port: 8443, tls: {} }] } } } },
        { spec: { tls: { backend: { clientCertificateRef: { name: 'other' } } } } },
        { metadata: { annotations: { [CLIENT_CERTIFICATES]: 'request' } } },
        { metadata: { labels: { a: 'b' } } },
        validation({ mode: 'AllowInsecureFallback' }),
        validation({ caCertificateRefs: [{ ...ref, name: 'others' }] }),
        validation({ caCertificateRefs: [{ ...ref, namespace: 'identity' }] }),
        validation({ caCertificateRefs: [{ ...ref, kind: 'Secret' }] }),
      ]) {
        const write = operator.patch(gateways, API_GATEWAY, change, { type: 'merge' });
        await assert.rejects(write, /Certbound may/, JSON.stringify(change));
      }
      await assert.rejects(operator.delete(gateways, API_GATEWAY), /cannot delete/);
      const foreign = { apiVersion: 'v1', kind: 'ConfigMap', metadata: { namespace: 'accounts', name: 'others' } };
      await assert.rejects(operator.create(configMaps, foreign), /only objects that it made/);
    } finally {
      await operator.close();
    }
  });

  it('puts its own fields, its bundle and its policy right again', async () => {
    const { bundles, policies } = await ours();
    const [bundle, policy] = [bundles[0], policies[0]];
    assert.ok(bundle !== undefined && policy !== undefined);
    const { ['spec']: spec } = await current();
    await world.kube.patch(gateways, API_GATEWAY, { spec: { tls: null } }, { type: 'merge' });
    await waitFor(async () => JSON.stringify((await current())['spec']) === JSON.stringify(spec));
    await world.kube.patch(configMaps, bundle.metadata, { data: { 'ca.crt': '' } }, { type: 'merge' });
    await waitFor(async () => JSON.stringify((await ours()).bundles[0]?.['data']) === JSON.stringify(bundle['data']));
    const relaxed = { spec: { tls: { clientValidation: { mode: 'Request' } } } };
    await world.kube.patch(clientTrafficPolicies, policy.metadata, relaxed, { type: 'merge' });
    await waitFor(async () => JSON.stringify((await ours()).policies[0]?.['spec']) === JSON.stringify(policy['spec']));
    await world.kube.delete(clientTrafficPolicies, policy.metadata);
    await waitFor(async () => (await ours()).policies.length === 1);
    await waitFor(async () => (await rightful().catch(() => undefined))?.status === 200, LONG_MS);
    assert.ok(await refusedByEnvoy(request({})));
  });

  it('takes callers without a certificate where it is optional, and none with a wrong one', async () => {
    await annotate({ [CLIENT_CERTIFICATES]: 'optional' });
    await waitFor(async () => (await request({}).catch(() => undefined))?.status === 401, LONG_MS);
    assert.equal((await rightful()).status, 200);
    const { certPem } = (await client.credentials()).certificate;
    const token = await tokenFor(await client.credentials());
    assert.equal((await request({ token, headers: forged({ certPem }) })).status, 401);
    const foreign = await world.serverCa.issue({ cn: 'batch', o: 'payments', clientAuth: true });
    assert.ok(await refusedByEnvoy(request({ token, certificate: foreign })));
    await annotate({ [CLIENT_CERTIFICATES]: 'required' });
    await waitFor(() => refusedByEnvoy(request({})), LONG_MS);
  });

  it('says so when an older policy of the Gateway’s owner is in effect instead, and verifies all the same', async () => {
    const { namespace, name } = MTLS_GATEWAY;
    const targetRef = { group: 'gateway.networking.k8s.io', kind: 'Gateway', name };
    const owners: KubernetesObject = {
      apiVersion: 'gateway.envoyproxy.io/v1alpha1',
      kind: 'ClientTrafficPolicy',
      metadata: { namespace, name: 'owners' },
      spec: { targetRefs: [targetRef], timeout: { http: { requestReceivedTimeout: '30s' } } },
    };
    await apply(world.kube, owners);
    const [policy] = (await ours(namespace)).policies;
    assert.ok(policy !== undefined);
    // The older one wins. Times are in seconds.
    await sleep(1_100);
    await world.kube.delete(clientTrafficPolicies, policy.metadata);
    const blocked = (all: OAuthClientStatus) =>
      all.conditions?.find(({ type, status }) => type === 'TerminatorsReady' && status === 'False');
    const said = blocked(await client.until((all) => blocked(all) !== undefined, LONG_MS));
    assert.equal(said?.reason, 'CompanionRejected', JSON.stringify(said));
    assert.match(said?.message ?? '', /another ClientTrafficPolicy has already attached/);
    const credentials = await client.credentials();
    await waitFor(async () => {
      // Verified, and not forwarded: the server knows nobody.
      const answer = await requestToken(credentials).catch(() => undefined);
      return answer?.json['error'] === 'invalid_client';
    }, LONG_MS);
    assert.ok(await refusedByEnvoy(requestToken(credentials, { certificate: undefined })));
    await world.kube.delete(clientTrafficPolicies, owners.metadata);
    await client.until((all) => isTrue(all, 'TerminatorsReady'), LONG_MS);
    // Of a listener's own policy Envoy Gateway says at ours that it is overridden; it is accepted all the same.
    const section = { ...owners, spec: { targetRefs: [{ ...targetRef, sectionName: 'https-0' }] } };
    await apply(world.kube, section);
    const overridden = blocked(await client.until((all) => blocked(all) !== undefined, LONG_MS));
    assert.match(overridden?.message ?? '', /overriding these sections \[https-0\]/);
    await world.kube.delete(clientTrafficPolicies, owners.metadata);
    await client.until((all) => isTrue(all, 'TerminatorsReady'), LONG_MS);
    await waitFor(async () => (await requestToken(credentials).catch(() => undefined))?.status === 200, LONG_MS);
  });

  it('refuses no call while certificates and the bundle change', async (t) => {
    t.diagnostic(await changesUnderLoad(world, client, (token, certificate) => request({ token, certificate })));
  });

  it('loses what is ours when it opts out, and nothing else', async () => {
    const asked = await current();
    await annotate(optedOut);
    await waitFor(async () => JSON.stringify(await ours()) === JSON.stringify({ bundles: [], policies: [] }), LONG_MS);
    const left = await current();
    const { tls: _, ...spec } = Object(asked['spec']);
    assert.deepEqual(left['spec'], spec);
    assert.equal(
      left.metadata.managedFields?.some(({ manager }) => manager === FIELD_MANAGER),
      false,
    );
    const own = (object: KubernetesObject) => othersFields(object.metadata).filter(({ manager }) => manager !== 'test');
    assert.deepEqual(own(left), own(asked));
    await waitFor(async () => (await request({}).catch(() => undefined))?.status === 401, LONG_MS);
    assert.equal((await ours(MTLS_GATEWAY.namespace)).policies.length, 1, 'the other Gateway keeps its own');
  });

  badInputCases(async () => ({
    ...world,
    kubeconfigPath: world.plane.kubeconfigPath,
    client,
    frontends: gateways,
    frontend: gateway(MTLS_GATEWAY, [HOSTS.mtls], { httpsPort: Number(new URL(world.origin('mtls')).port) }),
    bundles: configMaps,
    companions: [clientTrafficPolicies],
    terminator: 'envoy',
    classed: { spec: (gatewayClassName) => ({ gatewayClassName }), name: 'envoy', told: 'UnknownIngressClass' },
    taken: {
      spec: {
        tls: {
          frontend: { default: { validation: { caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: 'x' }] } } },
        },
      },
    },
    givenBack: { spec: { tls: null } },
    // Two Gateways of a host have each a terminator of its own.
    rival: undefined,
  }));
});

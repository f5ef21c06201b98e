/** The AuthorizationServer kind against a real API server and a server of which the test writes every answer. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { IN_USE_FINALIZER } from '../../src/api/annotations.ts';
import {
  type AuthorizationServer,
  authorizationServer,
  type AuthorizationServerSpec,
} from '../../src/api/authorization-server.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { ServerConnection } from '../../src/authserver/connection/connection.ts';
import { Authorizations } from '../../src/authserver/authorizations.ts';
import { Enforcement } from '../../src/authserver/proof/enforcement.ts';
import { defaultRateLimit, ServerTraffic } from '../../src/authserver/connection/traffic.ts';
import { AuthorizationServerReconciler } from '../../src/authserver/reconcile.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { EventRecorder } from '../../src/kube/event-recorder.ts';
import { Informer } from '../../src/kube/informer.ts';
import { events } from '../../src/kube/resource.ts';
import type { StepObserver } from '../../src/runtime/pass.ts';
import { createLogger } from '../../src/telemetry.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { applyCrds } from '../support/crds.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';
import { type Handler, HOST, json, lasting, type ScriptedServer, startScriptedServer } from './servers.ts';
import { startTrustCaches, trustBundleCases, type TrustCaches } from './trust-bundle-cases.ts';

const controllerName = 'certbound.dev/operator';

describe('AuthorizationServer, against a real API server', () => {
  let plane: ControlPlane;
  let client: KubeClient;
  let servers: Informer<AuthorizationServer>;
  let recorder: EventRecorder;
  let scripted: ScriptedServer;
  const clock = new FakeClock(Math.floor(Date.now() / 1000) * 1000);
  const clients = new Map<string, number>();
  const secret = new Map<string, string>();
  const configMap = new Map<string, string>();
  const forgotten: string[] = [];
  const stop = new AbortController();
  let trustCaches: TrustCaches;
  const watchNamespaces: string[] = [];
  let reconciler: AuthorizationServerReconciler;
  let name = '';
  let count = 0;

  before(async () => {
    plane = await startControlPlane();
    await applyCrds(plane.kubeconfigPath);
    scripted = await startScriptedServer();
    client = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'certbound' });
    servers = new Informer({ client, resource: authorizationServers, project: (o) => authorizationServer.parse(o) });
    recorder = new EventRecorder({ client, controller: controllerName, instance: 'test' });
    servers.start(stop.signal);
    trustCaches = startTrustCaches(client, stop.signal);
    await Promise.all([servers.synced, trustCaches.synced]);
  });
  after(async () => {
    stop.abort();
    await recorder?.close();
    await client?.close();
    await scripted?.stop();
    await plane?.stop();
  });
  beforeEach(() => {
    name = `server-${++count}`;
    reconciler = freshReconciler();
    scripted.answer(metadata());
  });

  let enforcement = new Enforcement();
  const authorizations = new Authorizations();
  const traffic = new Map<string, ServerTraffic>();
  const connectTo = (server: Pick<AuthorizationServer, 'metadata' | 'spec' | 'status'>) => {
    const known = traffic.get(server.metadata.uid) ?? new ServerTraffic(name, defaultRateLimit, { clock });
    traffic.set(server.metadata.uid, known);
    return new ServerConnection(server, {
      traffic: known,
      onUnauthorized: ({ metadata: { uid } }) => authorizations.doubt(uid),
    });
  };
  const freshReconciler = (observer?: StepObserver) =>
    new AuthorizationServerReconciler({
      client,
      servers,
      clientsOf: (server) => clients.get(server) ?? 0,
      configMapValue: (mapName, key) => Promise.resolve(configMap.get(`${mapName}/${key}`)),
      secretValue: (secretName, key) => Promise.resolve(secret.get(`${secretName}/${key}`)),
      connections: {
        to: connectTo,
        apart: connectTo,
        forget: (server) => forgotten.push(server),
      },
      enforcement,
      authorizations,
      keySetsServed: false,
      recorder,
      clock,
      logger: createLogger({ level: 'silent' }),
      controllerName,
      ...trustCaches,
      watchNamespaces,
      observer,
    });
  const metadata = (changed: Record<string, unknown> = {}): Handler =>
    json(200, {
      issuer: scripted.origin,
      token_endpoint: `${scripted.origin}/token`,
      registration_endpoint: `${scripted.origin}/reg`,
      token_endpoint_auth_methods_supported: ['tls_client_auth'],
      tls_client_certificate_bound_access_tokens: true,
      ...changed,
    });
  const spec = (changed: Partial<AuthorizationServerSpec> = {}): AuthorizationServerSpec => ({
    issuer: scripted.origin,
    dynamicRegistration: {},
    caBundle: scripted.ca.certPem,
    connectTo: [{ host: HOST, addresses: ['127.0.0.1'] }],
    ...changed,
  });
  const create = (changed: Partial<AuthorizationServerSpec> = {}) =>
    client.create(authorizationServers, { metadata: { name }, spec: spec(changed) });
  const change = (changed: Partial<AuthorizationServerSpec>) =>
    client.patch(authorizationServers, { name }, { spec: changed }, { type: 'merge' });
  const live = async () => {
    const object = await client.get(authorizationServers, { name });
    return object === undefined ? undefined : authorizationServer.parse(object);
  };
  const reconcile = async (of = reconciler) => {
    await waitFor(async () => {
      const now = await live();
      return servers.get(undefined, name)?.metadata.resourceVersion === now?.metadata.resourceVersion;
    });
    return of.reconcile(name, lasting());
  };
  const conditionOf = async (type: string) =>
    (await live())?.status?.conditions?.find((condition) => condition.type === type);
  const state = async (type = 'Ready') => {
    const condition = await conditionOf(type);
    return condition === undefined ? undefined : `${condition.status} ${condition.reason}`;
  };
  const later = () => clock.advance(700_000);

  test('is discovered, protected and ready, and then silent', async () => {
    await create();
    const { requeueAfterMs } = await reconcile();
    assert.ok(requeueAfterMs !== undefined && requeueAfterMs >= 540_000 && requeueAfterMs <= 660_000);
    const found = await live();
    assert.deepEqual(found?.metadata.finalizers, [IN_USE_FINALIZER]);
    assert.deepEqual(found.status?.endpoints, {
      tokenEndpoint: `${scripted.origin}/token`,
      registrationEndpoint: `${scripted.origin}/reg`,
    });
    assert.deepEqual(found.status.capabilities, { authMethods: ['tls_client_auth'], certificateBoundTokens: true });
    assert.deepEqual([await state(), await state('Discovered')], ['True Ready', 'True Discovered']);
    assert.equal(scripted.requests.length, 1);

    await reconcile();
    later();
    await reconcile();
    await reconcile(freshReconciler());
    assert.equal(scripted.requests.length, 3, 'again every ten minutes, and after a restart');
    assert.equal((await live())?.metadata.resourceVersion, found.metadata.resourceVersion);

    await recorder.flush();
    const { items } = await client.list(events, { namespace: 'default' });
    const notes = items.filter((event) => JSON.stringify(event['regarding']).includes(name));
    assert.deepEqual(
      notes.map((event) => event['reason']),
      ['Ready'],
    );
  });

  test('a transient fault does not flip Ready, and is told', async () => {
    await create();
    await reconcile();
    for (const [handler, reason] of [
      [json(503, {}), 'ServerUnavailable'],
      [json(404, {}), 'DiscoveryFailed'],
    ] as const) {
      scripted.answer(handler);
      later();
      await reconcile();
      assert.deepEqual([await state(), await state('Discovered')], ['True Ready', `Unknown ${reason}`]);
      await reconcile(freshReconciler());
      assert.deepEqual([await state(), await state('Discovered')], ['True Ready', `Unknown ${reason}`]);
    }
    assert.equal((await live())?.status?.endpoints?.tokenEndpoint, `${scripted.origin}/token`);
    scripted.answer(metadata());
    later();
    await reconcile();
    assert.equal(await state('Discovered'), 'True Discovered');
  });

  test('what was never discovered is not ready', async () => {
    scripted.answer(json(503, {}));
    await create();
    await reconcile();
    assert.deepEqual(
      [await state(), await state('Discovered')],
      ['False ServerUnavailable', 'Unknown ServerUnavailable'],
    );
  });

  test('a changed spec is discovered at once, and not taken for proved', async () => {
    await create();
    await reconcile();
    await change({ mtlsEndpoints: { tokenEndpoint: 'https://mtls.example.test/token' } });
    scripted.answer(json(503, {}));
    await reconcile();
    assert.equal(await state(), 'False ServerUnavailable');
    scripted.answer(metadata());
    later();
    await reconcile();
    assert.equal(await state(), 'True Ready');
    assert.equal((await live())?.status?.endpoints?.tokenEndpoint, 'https://mtls.example.test/token');
  });

  const faults: [string, Partial<AuthorizationServerSpec>, Record<string, unknown>, string, string][] = [
    ['another issuer', {}, { issuer: 'https://other.example' }, 'IssuerMismatch', 'False IssuerMismatch'],
    [
      'no mutual TLS',
      {},
      { token_endpoint_auth_methods_supported: ['client_secret_basic'] },
      'MutualTLSUnsupported',
      'True Discovered',
    ],
    [
      'no list of methods',
      {},
      { token_endpoint_auth_methods_supported: undefined },
      'MutualTLSUnsupported',
      'True Discovered',
    ],
    [
      'not the method that is granted',
      { clients: { methods: ['self_signed_tls_client_auth'] } },
      {},
      'MutualTLSUnsupported',
      'True Discovered',
    ],
    ['no registration', {}, { registration_endpoint: undefined }, 'RegistrationUnsupported', 'True Discovered'],
    ['a damaged caBundle', { caBundle: 'x' }, {}, 'CABundleInvalid', 'Unknown CABundleInvalid'],
    [
      'a template that is none',
      { clients: { identityTemplates: [{ dn: 'CN={nmae}' }] } },
      {},
      'IdentityTemplateInvalid',
      'True Discovered',
    ],
    [
      'key sets that nobody serves',
      { dynamicRegistration: { clientKeys: 'jwks_uri' } },
      {},
      'KeySetNotServed',
      'True Discovered',
    ],
  ];
  for (const [fault, changed, answered, reason, discovered] of faults) {
    test(`${fault}: ${reason}, and ready once it is put right`, async () => {
      scripted.answer(metadata(answered));
      await create(changed);
      await reconcile();
      assert.deepEqual([await state(), await state('Discovered')], [`False ${reason}`, discovered]);
      assert.ok(((await conditionOf('Ready'))?.message ?? '').length > 20);
      scripted.answer(metadata());
      if (Object.keys(changed).length > 0)
        await change({
          caBundle: scripted.ca.certPem,
          dynamicRegistration: { clientKeys: 'jwks' },
          clients: { methods: ['tls_client_auth'], identityTemplates: [] },
        });
      later();
      await reconcile();
      assert.equal(await state(), 'True Ready');
    });
  }

  test('a credential that is missing or none is named, and never shown', async () => {
    await create({ dynamicRegistration: { initialAccessTokenSecretRef: { name: 'iat', key: 'token' } } });
    await reconcile();
    assert.equal(await state(), 'False CredentialMissing');
    secret.set('iat/token', 'SECRET with spaces');
    await reconcile();
    assert.equal(await state(), 'False CredentialInvalid');
    assert.ok(!JSON.stringify(await live()).includes('SECRET'));
    secret.set('iat/token', 'good-token');
    await reconcile();
    assert.equal(await state(), 'True Ready');
    secret.clear();
  });

  describe('CAs by reference', () => {
    const byReference = () => ({
      ...spec({ caBundleRef: { kind: 'ConfigMap', name: 'cas', key: 'ca.crt' } }),
      caBundle: undefined,
    });
    const inUse = async () => (await live())?.status?.caBundle;
    const message = async () => (await conditionOf('Ready'))?.message ?? '';

    test('are waited for, taken up, and replaced when they change', async () => {
      configMap.clear();
      await client.create(authorizationServers, { metadata: { name }, spec: byReference() });
      await reconcile();
      assert.equal(await state(), 'False CABundleMissing');
      assert.match(
        await message(),
        /no key "ca\.crt" in ConfigMap "cas" in the operator's namespace: put the CA certificates/,
      );
      assert.deepEqual(scripted.requests, [], 'nothing is asked of a server that cannot be authenticated');
      configMap.set('cas/ca.crt', scripted.ca.certPem);
      await reconcile();
      assert.deepEqual([await state(), await inUse()], ['True Ready', scripted.ca.certPem]);

      const { certPem: another } = await createThrowawayCa('Another CA');
      configMap.set('cas/ca.crt', another);
      later();
      await reconcile();
      assert.equal(await inUse(), another);
      assert.match((await conditionOf('Discovered'))?.message ?? '', /is not trusted/);
      configMap.set('cas/ca.crt', another + scripted.ca.certPem);
      await reconcile();
      assert.deepEqual([await state(), await state('Discovered')], ['True Ready', 'True Discovered']);
    });

    test('stay in use while the object is gone or damaged, also after a restart, and this is told', async () => {
      configMap.set('cas/ca.crt', scripted.ca.certPem);
      await client.create(authorizationServers, { metadata: { name }, spec: byReference() });
      await reconcile();
      for (const [value, reason] of [
        [undefined, 'CABundleMissing'],
        ['garbage', 'CABundleInvalid'],
        ['', 'CABundleInvalid'],
        ['x'.repeat(131_072), 'CABundleInvalid'],
      ] as const) {
        if (value === undefined) configMap.clear();
        else configMap.set('cas/ca.crt', value);
        later();
        await reconcile(freshReconciler());
        assert.equal(await state(), `False ${reason}`);
        assert.match(await message(), /What was read before stays in use meanwhile\./);
        assert.equal(await inUse(), scripted.ca.certPem);
        assert.equal(await state('Discovered'), 'True Discovered');
      }
      configMap.set('cas/ca.crt', scripted.ca.certPem);
      await reconcile();
      assert.equal(await state(), 'True Ready');
    });
  });

  test('whose origins do not answer says so apart from Ready', async () => {
    await create();
    await reconcile();
    scripted.answer(json(503, {}));
    for (let i = 0; i < 4; i++) {
      later();
      await reconcile();
    }
    assert.deepEqual([await state(), await state('Reachable')], ['True Ready', 'False ServerUnavailable']);
    const told = await conditionOf('Reachable');
    assert.match(told?.message ?? '', new RegExp(`${scripted.origin} fails since .*: it answered 503`));
    scripted.answer(metadata());
    later();
    await reconcile();
    assert.deepEqual([await state(), await state('Reachable')], ['True Ready', undefined]);
  });

  test('one that lets anybody in is not ready until it refuses, also after a restart', async () => {
    await create();
    await reconcile();
    const found = servers.get(undefined, name) ?? assert.fail();
    const canary = (intruder?: 'no certificate') =>
      enforcement.check(found, { now: clock.now(), intervalMs: 60_000 }, () => Promise.resolve(intruder));
    await canary('no certificate');
    await reconcile();
    assert.equal(await state(), 'False ClientAuthenticationNotEnforced');
    const { message } = (await conditionOf('Ready')) ?? {};
    assert.match(message ?? '', /let a caller in as a client that showed no certificate/);
    enforcement = new Enforcement();
    const restarted = freshReconciler();
    await reconcile(restarted);
    assert.equal((await conditionOf('Ready'))?.message, message);
    await canary();
    await reconcile(restarted);
    assert.equal(await state(), 'True Ready');
  });

  describe('managed with a credential', () => {
    const managed = (): Partial<AuthorizationServerSpec> => ({
      issuer: `${scripted.origin}/realms/corporate`,
      keycloak: { clientId: 'certbound', clientSecretRef: { name: 'keycloak', key: 'secret' } },
    });
    const createManaged = async () => {
      const { dynamicRegistration: _none, ...rest } = spec(managed());
      await client.create(authorizationServers, { metadata: { name }, spec: rest });
    };
    const denied = json(403, { error: 'HTTP 403 Forbidden' });
    const tokens = () => scripted.requests.filter((request) => request.startsWith('POST ')).length;
    let right = 'right-secret';
    let answers: Handler = json(200, []);
    const keycloak: Handler = (request, response, body) => {
      const url = request.url ?? '';
      const asked = new URLSearchParams(body);
      if (url.includes('/.well-known/')) {
        metadata({ issuer: `${scripted.origin}/realms/corporate` })(request, response, body);
      } else if (url.endsWith('/openid-connect/token')) {
        const known = asked.get('client_id') === 'certbound' && asked.get('client_secret') === right;
        const refusal = { error: 'unauthorized_client', error_description: `not ${asked.get('client_secret')}` };
        (known ? json(200, { access_token: 'token', expires_in: 300 }) : json(401, refusal))(request, response, body);
      } else answers(request, response, body);
    };
    const may = (manage?: boolean) => json(200, [{ clientId: 'certbound', access: { view: true, manage } }]);
    const told = async () => (await conditionOf('Ready'))?.message ?? '';

    beforeEach(() => {
      right = 'right-secret';
      secret.set('keycloak/secret', right);
      answers = may(true);
      scripted.answer(keycloak);
    });

    test('is ready once the server lets the operator manage clients, and asks no more', async () => {
      await createManaged();
      await reconcile();
      assert.equal(await state(), 'True Ready');
      assert.deepEqual(scripted.requests.slice(-2), [
        'POST /realms/corporate/protocol/openid-connect/token',
        'GET /admin/realms/corporate/clients?clientId=certbound',
      ]);
      const asked = scripted.requests.length;
      await reconcile();
      assert.equal(scripted.requests.length, asked);
      later();
      await reconcile();
      assert.equal(tokens(), 2, 'with a token of its own, every ten minutes');
    });

    test('a wrong secret is named with the server’s words, and never shown; another one is tried at once', async () => {
      secret.set('keycloak/secret', 'wrong-secret-of-the-platform');
      await createManaged();
      const { requeueAfterMs = Infinity } = await reconcile();
      assert.ok(requeueAfterMs < 55_000, 'within a minute of its being put right at the server');
      assert.deepEqual(
        [await state(), await state('Discovered')],
        ['False RegistrationUnauthorized', 'True Discovered'],
      );
      assert.match(
        await told(),
        /no token as client "certbound" \(401\)\. It says: \(withheld.*Check that client in the realm .* and the Secret that/,
      );
      assert.ok(!JSON.stringify(await live()).includes('wrong-secret'));
      const asked = tokens();
      await reconcile();
      assert.equal(tokens(), asked, 'the same one is not tried again at once');
      secret.set('keycloak/secret', right);
      await reconcile();
      assert.equal(await state(), 'True Ready');
    });

    test('what is put right at the server is found within a minute', async () => {
      right = 'another-secret';
      await createManaged();
      await reconcile();
      assert.equal(await state(), 'False RegistrationUnauthorized');
      right = 'right-secret';
      clock.advance(55_000);
      await reconcile();
      assert.equal(await state(), 'True Ready');
    });

    for (const [what, answer, says] of [
      [
        'refused',
        denied,
        /did not let us manage clients \(403\)\. It says: HTTP 403 Forbidden\. Give the service account/,
      ],
      [
        'to see alone',
        json(200, [{ clientId: 'certbound', access: { view: true, manage: false } }]),
        /did not let us manage clients\. Give/,
      ],
    ] as const) {
      test(`a missing role is named: ${what}`, async () => {
        answers = answer;
        await createManaged();
        await reconcile();
        assert.equal(await state(), 'False RegistrationUnauthorized');
        assert.match(await told(), says);
        answers = may(true);
        clock.advance(55_000);
        await reconcile();
        assert.equal(await state(), 'True Ready');
      });
    }

    test('a version that does not say what may be done is ready', async () => {
      answers = json(200, [{ clientId: 'certbound' }]);
      await createManaged();
      await reconcile();
      assert.equal(await state(), 'True Ready');
    });

    test('an adminURL that leads elsewhere is named', async () => {
      answers = json(404, { error: 'Realm not found.' });
      await createManaged();
      await reconcile();
      assert.equal(await state(), 'False RegistrationRefused');
      assert.match(await told(), /\(404\)\. It says: Realm not found\. Is keycloak\.adminURL .* right\?/);
    });

    test('so is one that leads to no Keycloak at all', async () => {
      scripted.answer((request, response, body) =>
        request.url?.includes('/.well-known/') === true
          ? keycloak(request, response, body)
          : response.writeHead(404, { 'content-type': 'text/html' }).end('<html>'),
      );
      await createManaged();
      await reconcile();
      assert.equal(await state(), 'False RegistrationRefused');
      assert.match(await told(), /no token endpoint .* \(404\)\. Is keycloak\.adminURL .* right\?/);
    });

    test('no answer takes nothing from Ready, and what was never answered is not ready', async () => {
      answers = json(503, {});
      await createManaged();
      await reconcile();
      assert.deepEqual(
        [await state(), await state('Authorized')],
        ['False ServerUnavailable', 'Unknown ServerUnavailable'],
      );
      answers = may(true);
      clock.advance(55_000);
      await reconcile();
      assert.deepEqual([await state(), await state('Authorized')], ['True Ready', undefined]);
      answers = json(503, {});
      later();
      await reconcile();
      assert.deepEqual([await state(), await state('Authorized')], ['True Ready', 'Unknown ServerUnavailable']);
    });

    test('whom a call for a client finds unauthorized is asked at once, and once', async () => {
      await createManaged();
      await reconcile();
      const { uid } = (await live())?.metadata ?? assert.fail();
      answers = denied;
      await reconcile();
      assert.equal(await state(), 'True Ready', 'nobody asked');
      assert.equal(authorizations.doubt(uid), true);
      await reconcile();
      assert.equal(await state(), 'False RegistrationUnauthorized');
      assert.equal(authorizations.doubt(uid), false, 'it is known');
    });
  });

  test('is kept while clients refer to it, working, and then let go', async () => {
    await create();
    await reconcile();
    clients.set(name, 2);
    await client.delete(authorizationServers, { name });
    await reconcile();
    assert.deepEqual([await state(), await state('Deletable')], ['True Ready', 'False InUse']);
    assert.match((await conditionOf('Deletable'))?.message ?? '', /2 OAuthClients refer/);
    clients.delete(name);
    await reconcile();
    assert.equal(await live(), undefined);
    assert.ok(forgotten.includes(name));
    assert.deepEqual(await reconcile(), {});
  });

  trustBundleCases({
    kube: () => client,
    caches: () => trustCaches,
    clock,
    create,
    change,
    live,
    reconcile: (of) => reconcile(of),
    reconciler: () => reconciler,
    freshReconciler,
    serve: (namespaces) => watchNamespaces.splice(0, watchNamespaces.length, ...namespaces),
    use: (users) => clients.set(name, users),
    state,
    conditionOf,
    name: () => name,
  });

  test("another installation's is left alone", async () => {
    const created = await create({ controllerName: 'example.com/other' });
    await reconcile();
    assert.equal((await live())?.metadata.resourceVersion, created.metadata.resourceVersion);
    assert.deepEqual(scripted.requests, []);
  });
});

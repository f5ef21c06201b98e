/** The AuthorizationServer kind against a real API server and a server of which the test writes every answer. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { IN_USE_FINALIZER } from '../../src/api/annotations.ts';
import type { AuthorizationServerSpec } from '../../src/api/authorization-server.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { Enforcement } from '../../src/authserver/proof/enforcement.ts';
import { events } from '../../src/kube/resource.ts';
import { credentialCases } from './credential-cases.ts';
import { referencedCaCases } from './referenced-ca-cases.ts';
import { ServerWorld } from './server-world.ts';
import { json } from './servers.ts';
import { trustBundleCases } from './trust-bundle-cases.ts';

describe('AuthorizationServer, against a real API server', () => {
  const world = new ServerWorld();
  before(() => world.start());
  after(() => world.stop());
  beforeEach(() => world.begin());
  const {
    change,
    clients,
    clock,
    conditionOf,
    create,
    forgotten,
    freshReconciler,
    later,
    live,
    metadata,
    reconcile,
    secret,
    state,
  } = world;

  test('is discovered, protected and ready, and then silent', async () => {
    await create();
    const { requeueAfterMs } = await reconcile();
    assert.ok(requeueAfterMs !== undefined && requeueAfterMs >= 540_000 && requeueAfterMs <= 660_000);
    const found = await live();
    assert.deepEqual(found?.metadata.finalizers, [IN_USE_FINALIZER]);
    assert.deepEqual(found.status?.endpoints, {
      tokenEndpoint: `${world.scripted.origin}/token`,
      registrationEndpoint: `${world.scripted.origin}/reg`,
    });
    assert.deepEqual(found.status.capabilities, { authMethods: ['tls_client_auth'], certificateBoundTokens: true });
    assert.deepEqual([await state(), await state('Discovered')], ['True Ready', 'True Discovered']);
    assert.equal(world.scripted.requests.length, 1);

    await reconcile();
    later();
    await reconcile();
    await reconcile(freshReconciler());
    assert.equal(world.scripted.requests.length, 3, 'again every ten minutes, and after a restart');
    assert.equal((await live())?.metadata.resourceVersion, found.metadata.resourceVersion);

    await world.recorder.flush();
    const { items } = await world.client.list(events, { namespace: 'default' });
    const notes = items.filter((event) => JSON.stringify(event['regarding']).includes(world.name));
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
      world.scripted.answer(handler);
      later();
      await reconcile();
      assert.deepEqual([await state(), await state('Discovered')], ['True Ready', `Unknown ${reason}`]);
      await reconcile(freshReconciler());
      assert.deepEqual([await state(), await state('Discovered')], ['True Ready', `Unknown ${reason}`]);
    }
    assert.equal((await live())?.status?.endpoints?.tokenEndpoint, `${world.scripted.origin}/token`);
    world.scripted.answer(metadata());
    later();
    await reconcile();
    assert.equal(await state('Discovered'), 'True Discovered');
  });

  test('what was never discovered is not ready', async () => {
    world.scripted.answer(json(503, {}));
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
    world.scripted.answer(json(503, {}));
    await reconcile();
    assert.equal(await state(), 'False ServerUnavailable');
    world.scripted.answer(metadata());
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
      world.scripted.answer(metadata(answered));
      await create(changed);
      await reconcile();
      assert.deepEqual([await state(), await state('Discovered')], [`False ${reason}`, discovered]);
      assert.ok(((await conditionOf('Ready'))?.message ?? '').length > 20);
      world.scripted.answer(metadata());
      if (Object.keys(changed).length > 0)
        await change({
          caBundle: world.scripted.ca.certPem,
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

  test('whose origins do not answer says so apart from Ready', async () => {
    await create();
    await reconcile();
    world.scripted.answer(json(503, {}));
    for (let i = 0; i < 4; i++) {
      later();
      await reconcile();
    }
    assert.deepEqual([await state(), await state('Reachable')], ['True Ready', 'False ServerUnavailable']);
    const told = await conditionOf('Reachable');
    assert.match(told?.message ?? '', new RegExp(`${world.scripted.origin} fails since .*: it answered 503`));
    world.scripted.answer(metadata());
    later();
    await reconcile();
    assert.deepEqual([await state(), await state('Reachable')], ['True Ready', undefined]);
  });

  test('one that lets anybody in is not ready until it refuses, also after a restart', async () => {
    await create();
    await reconcile();
    const found = world.servers.get(undefined, world.name) ?? assert.fail();
    const canary = (intruder?: 'no certificate') =>
      world.enforcement.check(found, { now: clock.now(), intervalMs: 60_000 }, () => Promise.resolve(intruder));
    await canary('no certificate');
    await reconcile();
    assert.equal(await state(), 'False ClientAuthenticationNotEnforced');
    const { message } = (await conditionOf('Ready')) ?? {};
    assert.match(message ?? '', /let a caller in as a client that showed no certificate/);
    world.enforcement = new Enforcement();
    const restarted = freshReconciler();
    await reconcile(restarted);
    assert.equal((await conditionOf('Ready'))?.message, message);
    await canary();
    await reconcile(restarted);
    assert.equal(await state(), 'True Ready');
  });

  test('is kept while clients refer to it, working, and then let go', async () => {
    await create();
    await reconcile();
    clients.set(world.name, 2);
    await world.client.delete(authorizationServers, { name: world.name });
    await reconcile();
    assert.deepEqual([await state(), await state('Deletable')], ['True Ready', 'False InUse']);
    assert.match((await conditionOf('Deletable'))?.message ?? '', /2 OAuthClients refer/);
    clients.delete(world.name);
    await reconcile();
    assert.equal(await live(), undefined);
    assert.ok(forgotten.includes(world.name));
    assert.deepEqual(await reconcile(), {});
  });

  referencedCaCases(world);
  credentialCases(world);
  trustBundleCases(world);

  test("another installation's is left alone", async () => {
    const created = await create({ controllerName: 'example.com/other' });
    await reconcile();
    assert.equal((await live())?.metadata.resourceVersion, created.metadata.resourceVersion);
    assert.deepEqual(world.scripted.requests, []);
  });
});

/** What the AuthorizationServer kind does where clients are managed with a credential. */
import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import type { AuthorizationServerSpec } from '../../src/api/authorization-server.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import type { ServerWorld } from './server-world.ts';
import { type Handler, json } from './servers.ts';

/** Inside the suite of the kind, so that they share its API server. */
export function credentialCases(world: ServerWorld): void {
  const { authorizations, clock, conditionOf, later, live, metadata, reconcile, secret, spec, state } = world;

  describe('managed with a credential', () => {
    const managed = (): Partial<AuthorizationServerSpec> => ({
      issuer: `${world.scripted.origin}/realms/corporate`,
      keycloak: { clientId: 'certbound', clientSecretRef: { name: 'keycloak', key: 'secret' } },
    });
    const createManaged = async () => {
      const { dynamicRegistration: _none, ...rest } = spec(managed());
      await world.client.create(authorizationServers, { metadata: { name: world.name }, spec: rest });
    };
    const denied = json(403, { error: 'HTTP 403 Forbidden' });
    const tokens = () => world.scripted.requests.filter((request) => request.startsWith('POST ')).length;
    let right = 'right-secret';
    let answers: Handler = json(200, []);
    const keycloak: Handler = (request, response, body) => {
      const url = request.url ?? '';
      const asked = new URLSearchParams(body);
      if (url.includes('/.well-known/')) {
        metadata({ issuer: `${world.scripted.origin}/realms/corporate` })(request, response, body);
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
      world.scripted.answer(keycloak);
    });

    test('is ready once the server lets the operator manage clients, and asks no more', async () => {
      await createManaged();
      await reconcile();
      assert.equal(await state(), 'True Ready');
      assert.deepEqual(world.scripted.requests.slice(-2), [
        'POST /realms/corporate/protocol/openid-connect/token',
        'GET /admin/realms/corporate/clients?clientId=certbound',
      ]);
      const asked = world.scripted.requests.length;
      await reconcile();
      assert.equal(world.scripted.requests.length, asked);
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
      world.scripted.answer((request, response, body) =>
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
}

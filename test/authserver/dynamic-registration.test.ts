/** RFC 7591 and 7592 against oidc-provider. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { ServerConnection } from '../../src/authserver/connection/connection.ts';
import { discover } from '../../src/authserver/discovery.ts';
import { dynamicRegistration } from '../../src/authserver/registration/dynamic-registration.ts';
import { driverFor } from '../../src/authserver/registry.ts';
import { type AuthorizationServer, startAuthorizationServer } from '../support/authorization-server.ts';
import { freePort } from '../support/free-port.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { driverContract, handleOf, metadataOf } from './contract.ts';
import { access, HOST, lasting, serverObject } from './servers.ts';

const TOKEN = 'the-initial-access-token';

/** When the server replaces the registration access token. */
for (const rotation of ['update', 'read', 'never'] as const)
  describe(`dynamic registration, tokens that rotate on ${rotation}`, () => {
    let server: AuthorizationServer;
    let connection: ServerConnection;

    before(async () => {
      const ca = await createThrowawayCa('Server CA');
      const port = await freePort();
      const origin = `https://${HOST}:${port}`;
      server = await startAuthorizationServer({
        issuer: origin,
        mtlsOrigin: origin,
        port,
        tls: await ca.issue({ cn: HOST, dns: [HOST] }),
        initialAccessToken: TOKEN,
        rotateRegistrationAccessToken: rotation !== 'never',
        rotateRegistrationAccessTokenOnRead: rotation === 'read',
      });
      const spec = { issuer: origin, caBundle: ca.certPem, connectTo: [{ host: HOST, addresses: ['127.0.0.1'] }] };
      const first = new ServerConnection(serverObject(spec));
      const { endpoints, capabilities } = await discover(first, spec, lasting());
      await first.close();
      assert.equal(endpoints.tokenEndpoint, `${origin}/token`);
      assert.equal(endpoints.registrationEndpoint, `${origin}/reg`);
      assert.equal(capabilities.certificateBoundTokens, true);
      connection = new ServerConnection(serverObject(spec, endpoints));
    });
    after(async () => {
      await connection?.close();
      await server?.stop();
    });

    driverContract(dynamicRegistration, () =>
      Promise.resolve({
        connection,
        credentials: { initialAccessToken: TOKEN },
        strange: { initialAccessToken: 'another-one' },
        clients: () => server.clients().map((client) => String(client['client_id'])),
        // Acted upon, and then more than is taken. Broken connections: call.test.ts, and behind nginx proof.test.ts.
        loseAnswers: (lose) =>
          server.setFault(
            lose ? () => ({ kind: 'rewrite', body: () => ({ filler: 'x'.repeat(2 ** 21) }) }) : undefined,
          ),
        forget: (clientId) => void server.store.forgetClient(clientId),
        refused: { metadata: { grant_types: ['no such grant'] }, says: / It says: invalid_/ },
      }),
    );

    test('a token that was replaced is dead, and the one in its place is what the answer says', async () => {
      const asked = await metadataOf('tls_client_auth');
      const created = handleOf(
        await dynamicRegistration.create(access(connection, { initialAccessToken: TOKEN }), asked),
      );
      const read = handleOf(await dynamicRegistration.read(access(connection), created), created);
      assert.equal(read.registrationAccessToken !== created.registrationAccessToken, rotation === 'read');
      const updated = handleOf(await dynamicRegistration.update(access(connection), read, asked), read);
      assert.equal(updated.registrationAccessToken !== read.registrationAccessToken, rotation !== 'never');
      if (rotation === 'never') return;
      await assert.rejects(dynamicRegistration.read(access(connection), read), { code: 'RegistrationUnauthorized' });
    });
  });

test('it is what the registry has for its spec', () => {
  assert.equal(driverFor(serverObject({ issuer: 'https://as.example' })), dynamicRegistration);
  assert.equal(driverFor({ spec: { issuer: 'https://as.example' } }), undefined);
});

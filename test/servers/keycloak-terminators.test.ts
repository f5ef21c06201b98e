/** Keycloak behind a terminator, from whose header it takes the certificate: each x509cert-lookup provider of which we have the terminator. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { keepCalling } from '../support/load.ts';
import { requestToken, tokenFor } from '../support/application.ts';
import { forgedHeaders } from '../support/forged-headers.ts';
import { call } from '../support/https-call.ts';
import { boundTo } from '../support/oauth-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { type KeycloakWorld, startKeycloakWorld } from './keycloak-world.ts';

const limitMs = 120_000;

for (const terminator of ['nginx', 'traefik'] as const)
  describe(`Keycloak behind ${terminator}`, () => {
    let world: KeycloakWorld;
    before(async () => {
      world = await startKeycloakWorld(terminator);
      await world.serverBecomes('corporate', 'True', 'Ready');
    });
    after(() => world?.stop());

    it('gives a token for the published Secret alone, and for no other certificate', async () => {
      const [client, other] = [await world.client('alone').apply(), await world.client('other').apply()];
      await Promise.all([client.ready(limitMs), other.ready(limitMs)]);
      const credentials = await client.credentials();
      assert.equal(new URL(credentials.tokenEndpoint).hostname, 'mtls.as.example.test');
      assert.equal(await boundTo(credentials), credentials.x5tS256);
      const { certificate } = await other.credentials();
      const refused = await requestToken(credentials, { certificate });
      assert.equal(refused.status, 401, refused.text);
    });

    it('takes no certificate from a caller’s header', async () => {
      const client = await world.client('forged').apply();
      await client.ready(limitMs);
      const credentials = await client.credentials();
      await tokenFor(credentials);
      const headers = forgedHeaders(terminator, credentials.certificate);
      for (const host of ['mtls.as.example.test', 'as.example.test']) {
        const url = new URL(credentials.tokenEndpoint);
        url.hostname = host;
        const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: credentials.clientId });
        const answer = call({ url: url.href, ca: credentials.caPem, headers, body });
        if (terminator === 'traefik' && host.startsWith('mtls.')) {
          // It ends the handshake of who shows no certificate.
          await assert.rejects(answer);
          continue;
        }
        const { status, text, json } = await answer;
        assert.ok(status === 400 || status === 401, `${host}: ${status} ${text}`);
        assert.equal(json['access_token'], undefined);
      }
    });

    it('refuses no call while certificates rotate', async () => {
      const client = await world.client('rotating', { certificate: { duration: '5m', renewBefore: '4m50s' } }).apply();
      await client.ready(limitMs);
      const load = keepCalling(client);
      try {
        await waitFor(() => load.used.size >= 2, limitMs);
      } finally {
        await load.stop();
      }
      await client.delete();
      await client.gone();
    });
  });

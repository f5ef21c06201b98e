/** RFC 8705 §5: how a client that knows only the issuer finds the host that asks for its certificate. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeJwt } from 'jose';
import * as oauth from 'oauth4webapi';
import { createClientCertificate } from '../support/client-certificate.ts';
import { call } from '../support/https-call.ts';
import { type OAuthDeployment, startOAuthDeployment } from '../support/oauth-deployment.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';

/** How an OAuth client reaches the deployment: by its own rules for discovery and aliases, over our connections. */
function clientOptions(deployment: OAuthDeployment, certificate: KeyPairPem, visited: string[]) {
  return {
    [oauth.customFetch]: async (url: string, init: { method?: string; headers?: object; body?: unknown }) => {
      visited.push(url);
      const body = init.body instanceof URLSearchParams ? { body: init.body } : {};
      const request = { url, ca: deployment.serverCa.certPem, method: init.method ?? 'GET', ...body };
      const answer = await call({ ...request, certificate });
      return new Response(answer.text, { status: answer.status, headers: { 'content-type': 'application/json' } });
    },
  };
}

async function tokenByDiscovery(deployment: OAuthDeployment, subject: string, visited: string[]) {
  const registration = await deployment.register({
    token_endpoint_auth_method: 'tls_client_auth',
    tls_client_certificate_bound_access_tokens: true,
    tls_client_auth_subject_dn: subject,
  });
  const certificate = await createClientCertificate({ subject, ca: deployment.clientCa });
  const options = clientOptions(deployment, certificate, visited);
  const issuer = new URL(deployment.authorizationServer.issuer);
  const server = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, options));
  const client = { client_id: String(registration.json['client_id']), use_mtls_endpoint_aliases: true };
  const response = await oauth.clientCredentialsGrantRequest(server, client, oauth.TlsClientAuth(), {}, options);
  return { response, server, client };
}

test('M13: discovery leads a client to the mTLS host; members it does not know are ignored', async () => {
  const world = await startOAuthDeployment({ terminator: 'nginx', installNginx: true });
  try {
    const visited: string[] = [];
    const { response, server, client } = await tokenByDiscovery(world, 'CN=m13,O=acme', visited);
    assert.ok(Object.hasOwn(server.mtls_endpoint_aliases ?? {}, 'unknown_endpoint'));
    const token = await oauth.processClientCredentialsResponse(server, client, response);
    assert.ok(decodeJwt(token.access_token)['cnf']);
    assert.equal(visited.at(-1), `${world.origin('mtls')}/token`);
    assert.equal(server.token_endpoint, `${world.origin('browser')}/token`);
  } finally {
    await world.stop();
  }
});

test('M13: without aliases a client stays with the top-level endpoint', async () => {
  const other = await startOAuthDeployment({ terminator: 'nginx', installNginx: true, aliases: false });
  try {
    const visited: string[] = [];
    const { response } = await tokenByDiscovery(other, 'CN=m13,O=acme', visited);
    assert.equal(visited.at(-1), `${other.origin('browser')}/token`);
    assert.equal(response.status, 401, 'this host asks for no certificate');
  } finally {
    await other.stop();
  }
});

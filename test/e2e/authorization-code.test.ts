/**
 * Users log in through a rotation (protocols, §1): RFC 9126 with the client's certificate, a code by a user agent, tokens that are
 * bound to the certificate that fetched them, refreshed with the old and the new one, while the old one drains and after.
 */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { claimsOf, requestToken, type ClientCredentials } from '../support/application.ts';
import { apply, documents, namespace } from '../support/cluster-objects.ts';
import { call, type Answer } from '../support/https-call.ts';
import { CLIENTS_ALLOWED, startInstallation, type Installation } from '../support/installation.ts';
import { USER } from '../support/interaction.ts';
import { TestClient } from '../support/oauth-client.ts';
import { SELF_SIGNED_SERVER, selfSignedPlatform } from '../support/self-signed-platform.ts';
import { UserAgent } from '../support/user-agent.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, SCOPES, serverReady } from './lifecycle-world.ts';
import { shows } from '../servers/support.ts';

const REDIRECT_URI = 'https://app.example.test/callback';
const SCOPE = 'openid offline_access accounts:read';
const GRANT_TYPES = ['authorization_code', 'refresh_token'];

/** An application that logs users in, whatever certificate it has. */
class WebApplication {
  readonly #installation: Installation;

  constructor(installation: Installation) {
    this.#installation = installation;
  }

  /** RFC 9126 §2: the request goes from the client to the server, over mutual TLS. */
  async push(as: ClientCredentials): Promise<{ requestUri: string; verifier: string; state: string }> {
    const verifier = randomBytes(32).toString('base64url');
    const state = randomBytes(8).toString('base64url');
    const answer = await call({
      url: new URL('/request', as.tokenEndpoint).href,
      ca: as.caPem,
      certificate: as.certificate,
      body: new URLSearchParams({
        client_id: as.clientId,
        response_type: 'code',
        redirect_uri: REDIRECT_URI,
        scope: SCOPE,
        prompt: 'consent',
        state,
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
      }),
    });
    assert.equal(answer.status, 201, answer.text);
    return { requestUri: String(answer.json['request_uri']), verifier, state };
  }

  /** The user logs in and consents; what comes back to the application. */
  async login(
    { clientId, caPem }: ClientCredentials,
    { requestUri, state }: { requestUri: string; state: string },
  ): Promise<string> {
    const query = new URLSearchParams({ client_id: clientId, request_uri: requestUri });
    const start = `${this.#installation.origin('browser')}/auth?${query.toString()}`;
    const { searchParams } = await new UserAgent(caPem).follow(start, REDIRECT_URI);
    assert.equal(searchParams.get('state'), state);
    return searchParams.get('code') ?? assert.fail(searchParams.toString());
  }

  redeem(as: ClientCredentials, code: string, verifier: string): Promise<Answer> {
    const parameters = {
      grant_type: 'authorization_code',
      code,
      code_verifier: verifier,
      redirect_uri: REDIRECT_URI,
      scope: '',
    };
    return requestToken(as, { parameters });
  }

  refresh(as: ClientCredentials, refreshToken: string): Promise<Answer> {
    return requestToken(as, {
      parameters: { grant_type: 'refresh_token', refresh_token: refreshToken, scope: 'accounts:read' },
    });
  }
}

/** The certificate that a token answer is bound to. */
function boundIn({ status, json, text }: Answer): unknown {
  assert.equal(status, 200, text);
  const { cnf, sub } = claimsOf(String(json['access_token']));
  assert.equal(sub, USER);
  return Reflect.get(Object(cnf), 'x5t#S256');
}

describe('authorization_code and refresh_token through a rotation', { concurrency: true }, () => {
  let installation: Installation;
  let application: WebApplication;
  before(async () => {
    installation = await startInstallation({ accessTokenTTL: 3 });
    application = new WebApplication(installation);
    const scopes = [...SCOPES, 'openid', 'offline_access'];
    const granting = { grantTypes: GRANT_TYPES, scopes, redirectURIs: ['https://app.example.test/*'] };
    await apply(
      installation.kube,
      ...edited(await installation.platform(), granting),
      ...edited(selfSignedPlatform(installation, SCOPES), granting),
      ...(await documents(INGRESSES)),
      namespace('team', CLIENTS_ALLOWED),
    );
    await installation.startOperator();
    await Promise.all(['corporate', SELF_SIGNED_SERVER].map((name) => serverReady(installation, name)));
    await installation.ingressController.settled();
  });
  after(() => installation?.stop());

  const clients = [
    { method: 'tls_client_auth' as const, server: 'corporate' },
    { method: 'self_signed_tls_client_auth' as const, server: SELF_SIGNED_SERVER },
  ];
  for (const { method, server } of clients) {
    it(`${method}: users stay logged in, with tokens of whichever certificate fetched them`, async () => {
      const name = method === 'tls_client_auth' ? 'web' : 'web-self-signed';
      const client = new TestClient(
        installation,
        { namespace: 'team', name },
        { authorizationServerRef: { name: server }, tokenEndpointAuthMethod: method },
      );
      await client.apply({
        grantTypes: GRANT_TYPES,
        redirectURIs: [REDIRECT_URI],
        scope: SCOPE,
        certificate: { drain: '15s' },
      });
      await client.ready(120_000);
      const old = await client.credentials();

      const first = await application.push(old);
      const tokens = await application.redeem(old, await application.login(old, first), first.verifier);
      assert.equal(boundIn(tokens), old.x5tS256, 'the access token is bound to the certificate');
      const refreshToken = String(tokens.json['refresh_token']);
      assert.equal(boundIn(await application.refresh(old, refreshToken)), old.x5tS256);

      // One user is on the login page while the certificate is replaced, another has just come back with a code.
      const pushed = await application.push(old);
      const comingBack = await application.push(old);
      const code = await application.login(old, comingBack);
      await client.annotate({ [RENEW_REQUESTED]: 'now' });
      await waitFor(async () => (await client.credentials()).x5tS256 !== old.x5tS256, 120_000);
      const renewed = await client.credentials();
      // Replicas of the application that have not read the Secret again, and those that have.
      assert.equal(boundIn(await application.refresh(old, refreshToken)), old.x5tS256);
      assert.equal(boundIn(await application.refresh(renewed, refreshToken)), renewed.x5tS256);
      await client.until(({ certificates }) => certificates?.some(({ role }) => role === 'Draining') === true);

      assert.equal(boundIn(await application.redeem(renewed, code, comingBack.verifier)), renewed.x5tS256);
      const late = await application.login(renewed, pushed);
      assert.equal(boundIn(await application.redeem(renewed, late, pushed.verifier)), renewed.x5tS256);

      await client.until(({ certificates }) => certificates?.length === 1, 180_000);
      assert.equal(boundIn(await application.refresh(renewed, refreshToken)), renewed.x5tS256, 'after the drain');
      const retired = await application.refresh(old, refreshToken);
      if (method === 'tls_client_auth') {
        // RFC 8705 §2.1: the server knows the subject alone.
        assert.equal(boundIn(retired), old.x5tS256);
      } else {
        assert.deepEqual([retired.status, retired.json['error']], [401, 'invalid_client']);
      }
      shows('oidc-provider', 'refreshTokens', 'go on');
    });
  }
});

/** What authorization servers without RFC 8705, or with half of it, say of themselves, and what is said of that before anything is created. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { z } from 'zod';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import { serverChecks } from '../../src/authserver/checks.ts';
import { desired as desiredOf } from '../../src/authserver/desired.ts';
import { type Discovery, readMetadata } from '../../src/authserver/discovery.ts';
import { clientChecks } from '../../src/oauthclient/checks/chain.ts';
import { evaluate } from '../../src/runtime/pass.ts';
import { IN_USE_FINALIZER } from '../../src/api/annotations.ts';
import { aClient, aServer, grants, issuerUrl, untouched, viewOf } from '../oauthclient/view.ts';

const now = Date.UTC(2026, 0, 15);

const document = z.looseObject({ issuer: z.string() });

/** As the product publishes it: test/vectors/README.md. */
async function published(product: string): Promise<z.infer<typeof document>> {
  const file = resolve(import.meta.dirname, `../vectors/discovery/${product}.json`);
  return document.parse(JSON.parse(await readFile(file, 'utf8')));
}

/** Whole, or the members of the discovery document that decide anything. */
const products: Record<string, Record<string, unknown>> = {
  'Ory Hydra': await published('ory-hydra'),
  Zitadel: await published('zitadel'),
  Dex: await published('dex'),
  authentik: await published('authentik'),
  'a server that says nothing of it': {},
  Keycloak: {
    registration_endpoint: `${issuerUrl}/clients-registrations/openid-connect`,
    token_endpoint_auth_methods_supported: [
      'private_key_jwt',
      'client_secret_basic',
      'client_secret_post',
      'tls_client_auth',
      'client_secret_jwt',
    ],
    tls_client_certificate_bound_access_tokens: true,
    grant_types_supported: ['authorization_code', 'client_credentials', 'implicit', 'password', 'refresh_token'],
    response_types_supported: ['code', 'none', 'id_token', 'token'],
  },
  'Spring Authorization Server': {
    registration_endpoint: `${issuerUrl}/oauth2/register`,
    token_endpoint_auth_methods_supported: [
      'client_secret_basic',
      'client_secret_post',
      'client_secret_jwt',
      'private_key_jwt',
      'tls_client_auth',
      'self_signed_tls_client_auth',
    ],
    tls_client_certificate_bound_access_tokens: true,
    grant_types_supported: ['authorization_code', 'client_credentials', 'refresh_token'],
    response_types_supported: ['code'],
    scopes_supported: ['openid'],
  },
};

const discovered = (product: string): Discovery => {
  const metadata = { issuer: issuerUrl, token_endpoint: `${issuerUrl}/token`, ...products[product] };
  return readMetadata(metadata, { issuer: metadata.issuer });
};

const nobody = { ca: false, selfSigned: false, pending: [], bundle: undefined, error: undefined };

/** What its AuthorizationServer says: the reason that Ready is False for, and the message. */
function serverSays(product: string): { reason: string; message: string } {
  const server = aServer({ clients: grants }, {});
  const observed = {
    server: { ...server, metadata: { ...server.metadata, finalizers: [IN_USE_FINALIZER] } },
    clients: 0,
    credentialProblem: undefined,
    credential: undefined,
    authorization: undefined,
    caBundle: undefined,
    outages: [],
    keySetsServed: true,
    enforcement: undefined,
    discovered: undefined,
    trustBundle: { trust: nobody, current: undefined, published: [], place: 'served' as const, rewritten: undefined },
  };
  // The test's caBundle is no PEM, and of no account here.
  const desired = { ...desiredOf(observed), caBundleProblem: undefined };
  const known = { ...discovered(product), basis: desired.discoveryBasis, until: now + 1 };
  const { findings } = evaluate(serverChecks, { observed: { ...observed, discovered: known }, desired, now });
  const [{ reason, message } = { reason: 'Ready', message: '' }] = findings;
  return { reason, message };
}

/** What an OAuthClient says that wants to be registered there. */
function clientSays(product: string, method: AuthMethod, grantType: string): string {
  const { reason } = serverSays(product);
  const status = reason === 'Ready' ? 'True' : 'False';
  const server = aServer(
    { defaultIssuerRef: { name: 'corporate-clients' }, clients: grants },
    {
      ...discovered(product),
      conditions: [{ type: 'Ready', status, reason, message: 'So.', lastTransitionTime: '2026-01-01T00:00:00Z' }],
    },
  );
  const spec = {
    tokenEndpointAuthMethod: method,
    grantTypes: [grantType],
    ...(grantType === 'authorization_code' ? { redirectURIs: ['https://app.example.com/cb'] } : {}),
  };
  const observed = { ...untouched(method), server, client: aClient(spec, { finalizers: [] }) };
  const [first] = evaluate(clientChecks, viewOf(observed)).findings;
  return `${first?.condition}=${first?.status}/${first?.reason}`;
}

const refused = 'Registered=False/Unsupported';
const begins = 'Ready=Unknown/Preparing';

describe('what products say of themselves', () => {
  for (const product of ['Ory Hydra', 'Zitadel', 'Dex', 'authentik', 'a server that says nothing of it']) {
    test(`${product}: no mutual TLS, said to the platform and to each team`, () => {
      const { reason, message } = serverSays(product);
      assert.equal(reason, 'MutualTLSUnsupported');
      assert.match(
        message,
        /does not support tls_client_auth or self_signed_tls_client_auth \(RFC 8705\).*register them at one that has/,
      );
      for (const method of ['tls_client_auth', 'self_signed_tls_client_auth'] as const) {
        assert.equal(clientSays(product, method, 'client_credentials'), refused);
      }
    });
  }

  const rows: [product: string, method: AuthMethod, grantType: string, found: string][] = [
    ['Keycloak', 'tls_client_auth', 'client_credentials', begins],
    ['Keycloak', 'self_signed_tls_client_auth', 'client_credentials', refused],
    ['Keycloak', 'tls_client_auth', 'authorization_code', begins],
    ['Spring Authorization Server', 'tls_client_auth', 'client_credentials', begins],
    ['Spring Authorization Server', 'self_signed_tls_client_auth', 'client_credentials', begins],
  ];
  for (const [product, method, grantType, found] of rows) {
    test(`${product}: ${method} with ${grantType}`, () => {
      assert.equal(serverSays(product).reason, 'Ready');
      assert.equal(clientSays(product, method, grantType), found);
    });
  }
});

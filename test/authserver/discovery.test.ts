import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { metadataUrls, readMetadata } from '../../src/authserver/discovery.ts';
import { OperatorError } from '../../src/errors.ts';

const issuer = 'https://as.example.com/tenant';
const document = {
  issuer,
  token_endpoint: 'https://as.example.com/token',
  registration_endpoint: 'https://as.example.com/reg',
  introspection_endpoint: 'https://as.example.com/introspect',
  revocation_endpoint: null,
  token_endpoint_auth_methods_supported: ['tls_client_auth', 'client_secret_basic', 'tls_client_auth'],
  tls_client_certificate_bound_access_tokens: true,
  mtls_endpoint_aliases: {
    token_endpoint: 'https://mtls.example.com/token',
    unknown_endpoint: 7,
    registration_endpoint: 'https://mtls.example.com/reg',
  },
  unknown: { anything: true },
};
const spec = { issuer };

const read = (methods: string[]) => readMetadata({ ...document, token_endpoint_auth_methods_supported: methods }, spec);

function code(attempt: () => unknown): string {
  try {
    attempt();
  } catch (error) {
    assert.ok(error instanceof OperatorError);
    return error.code;
  }
  return 'none';
}

describe('server metadata', () => {
  test('is where RFC 8414 puts it, then where OpenID Connect does', () => {
    assert.deepEqual(metadataUrls('https://as.example.com'), [
      'https://as.example.com/.well-known/oauth-authorization-server',
      'https://as.example.com/.well-known/openid-configuration',
    ]);
    assert.deepEqual(metadataUrls('https://as.example.com:8443/realms/a/'), [
      'https://as.example.com:8443/.well-known/oauth-authorization-server/realms/a',
      'https://as.example.com:8443/realms/a/.well-known/openid-configuration',
    ]);
  });

  test('mTLS aliases are preferred, for what mutual TLS protects', () => {
    assert.deepEqual(readMetadata(document, spec), {
      endpoints: {
        tokenEndpoint: 'https://mtls.example.com/token',
        registrationEndpoint: 'https://as.example.com/reg',
        introspectionEndpoint: 'https://as.example.com/introspect',
      },
      capabilities: { authMethods: ['client_secret_basic', 'tls_client_auth'], certificateBoundTokens: true },
    });
  });

  test('the spec overrides both', () => {
    const mtlsEndpoints = {
      tokenEndpoint: 'https://a/t',
      introspectionEndpoint: 'https://a/i',
      revocationEndpoint: 'https://a/r',
    };
    const { endpoints } = readMetadata(document, { issuer, mtlsEndpoints });
    assert.equal(endpoints.tokenEndpoint, 'https://a/t');
    assert.equal(endpoints.introspectionEndpoint, 'https://a/i');
    assert.equal(endpoints.revocationEndpoint, 'https://a/r');
  });

  test('says of itself what it does not mention: nothing', () => {
    const { capabilities, endpoints } = readMetadata({ issuer, token_endpoint: 'https://as.example.com/t' }, spec);
    assert.deepEqual(capabilities, { authMethods: ['client_secret_basic'], certificateBoundTokens: false });
    assert.deepEqual(endpoints, { tokenEndpoint: 'https://as.example.com/t' });
  });

  test('grant and response types are known where the server says them', () => {
    const names = (value: unknown) =>
      readMetadata({ ...document, grant_types_supported: value, response_types_supported: ['code', 'code'] }, spec)
        .capabilities;
    assert.deepEqual(names(['refresh_token', 'client_credentials']).grantTypes, [
      'client_credentials',
      'refresh_token',
    ]);
    assert.deepEqual(names(null).responseTypes, ['code']);
    // More than status takes, or nothing that can be read: then nothing is held against anybody.
    for (const value of [
      undefined,
      null,
      [],
      'code',
      [7],
      ['x'.repeat(200)],
      Array.from({ length: 40 }, (_, i) => `grant-${i}`),
    ]) {
      assert.equal(names(value).grantTypes, undefined, JSON.stringify(value));
    }
  });

  test('the order of a list is no change', () => {
    const methods = ['tls_client_auth', 'none', 'private_key_jwt'];
    assert.deepEqual(read(methods), read(methods.toReversed()));
    const many = Array.from({ length: 40 }, (_, i) => `method-${i}`);
    const { authMethods } = read([...many, 'self_signed_tls_client_auth']).capabilities;
    assert.equal(authMethods?.length, 16);
    assert.ok(authMethods.includes('self_signed_tls_client_auth'));
  });

  for (const other of [`${issuer}/`, 'https://AS.example.com/tenant', 'https://evil.example', '']) {
    test(`an issuer ${JSON.stringify(other)} is another server's`, () => {
      assert.equal(
        code(() => readMetadata({ ...document, issuer: other }, spec)),
        'IssuerMismatch',
      );
    });
  }

  const bad: [string, unknown][] = [
    ['no object', 'x'],
    ['null', null],
    ['a list', []],
    ['no token endpoint', { ...document, token_endpoint: undefined }],
    ['a token endpoint without TLS', { ...document, token_endpoint: 'http://as.example.com/token' }],
    ['a registration endpoint without TLS', { ...document, registration_endpoint: 'http://as.example.com/reg' }],
    ['an alias without TLS', { ...document, mtls_endpoint_aliases: { token_endpoint: 'http://as.example.com/token' } }],
    ['an endpoint with a user', { ...document, registration_endpoint: 'https://u:p@as.example.com/reg' }],
    ['an endpoint with a fragment', { ...document, registration_endpoint: 'https://as.example.com/reg#x' }],
    ['an endpoint with a line break', { ...document, registration_endpoint: 'https://as.example.com/reg\r\nx: y' }],
    ['an endless endpoint', { ...document, registration_endpoint: `https://as.example.com/${'a'.repeat(3000)}` }],
    ['a number for an endpoint', { ...document, token_endpoint: 7 }],
  ];
  for (const [name, value] of bad) {
    test(`${name} is refused`, () => {
      assert.equal(
        code(() => readMetadata(value, spec)),
        'DiscoveryFailed',
      );
    });
  }
});

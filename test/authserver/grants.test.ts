import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import type { ClientGrants } from '../../src/api/authorization-server.ts';
import { clientGrants, type GrantRequest, redirectUriGranted } from '../../src/authserver/grants.ts';

const grants: ClientGrants = {
  namespaces: { names: ['payments'] },
  issuers: ['corporate-clients'],
  methods: ['tls_client_auth'],
  grantTypes: ['client_credentials', 'authorization_code'],
  scopes: ['accounts:read', 'accounts:write'],
  redirectURIs: ['https://apps.example.com/payments/*', 'https://exact.example.com/cb', 'http://127.0.0.1:8080/cb'],
};
const request: GrantRequest = {
  namespace: { name: 'payments', labels: {} },
  method: 'tls_client_auth',
  issuer: 'corporate-clients',
  grantTypes: ['client_credentials'],
  responseTypes: [],
  scope: 'accounts:read',
  redirectURIs: [],
  deletionPolicy: 'Delete',
};
const fields = (changed: Partial<GrantRequest>, of: ClientGrants | undefined = grants) =>
  clientGrants(of, { ...request, ...changed }).map(({ field }) => field);

describe('grants', () => {
  test('what is granted is no violation', () => {
    assert.deepEqual(fields({}), []);
    assert.deepEqual(
      fields({
        grantTypes: ['authorization_code'],
        responseTypes: ['code'],
        redirectURIs: ['https://apps.example.com/payments/cb'],
      }),
      [],
    );
  });

  const table: [string, Partial<GrantRequest>, string[]][] = [
    ['method', { method: 'self_signed_tls_client_auth' }, ['tokenEndpointAuthMethod']],
    ['issuer', { issuer: 'other' }, ['certificate.issuerRef']],
    ['grant types', { grantTypes: ['client_credentials', 'password'] }, ['grantTypes']],
    ['response types', { responseTypes: ['code', 'token'] }, ['responseTypes']],
    ['scope', { scope: 'accounts:read admin accounts:write root' }, ['scope', 'scope']],
    ['redirect URIs', { redirectURIs: ['https://evil.example/'] }, ['redirectURIs']],
    ['deletion policy', { deletionPolicy: 'Orphan' }, ['deletionPolicy']],
    [
      'several',
      { issuer: 'x', scope: 'x', deletionPolicy: 'Orphan' },
      ['certificate.issuerRef', 'scope', 'deletionPolicy'],
    ],
  ];
  for (const [name, changed, expected] of table) {
    test(`${name}: what is not granted is named`, () => assert.deepEqual(fields(changed), expected));
  }

  test('a namespace that is not granted learns nothing else', () => {
    const violations = clientGrants(grants, { ...request, namespace: { name: 'evil', labels: {} }, issuer: 'other' });
    assert.deepEqual(violations, clientGrants(undefined, request));
    assert.deepEqual(
      violations.map(({ field }) => field),
      ['authorizationServerRef'],
    );
  });

  test('nothing is granted by default but the deletion of what was registered', () => {
    const bare = { namespaces: { names: ['payments'] } };
    assert.deepEqual(fields({ redirectURIs: ['https://a.example/'] }, bare), [
      'tokenEndpointAuthMethod',
      'certificate.issuerRef',
      'grantTypes',
      'scope',
      'redirectURIs',
    ]);
    assert.deepEqual(fields({ deletionPolicy: 'Orphan' }, { ...grants, deletion: ['Orphan'] }), []);
    assert.deepEqual(fields({}, { ...grants, deletion: ['Orphan'] }), ['deletionPolicy']);
  });
});

describe('redirect URI patterns', () => {
  const wildcard = 'https://apps.example.com/payments/*';
  const granted: [string, string][] = [
    [wildcard, 'https://apps.example.com/payments/cb'],
    [wildcard, 'https://apps.example.com/payments/a/b/'],
    [wildcard, 'https://apps.example.com/payments/'],
    [wildcard, 'https://apps.example.com/payments/%C3%A9'],
    ['https://apps.example.com/*', 'https://apps.example.com/cb'],
    ['https://apps.example.com:8443/*', 'https://apps.example.com:8443/cb'],
    ['https://apps.example.com/cb?tenant=1', 'https://apps.example.com/cb?tenant=1'],
    ['http://127.0.0.1:8080/cb', 'http://127.0.0.1:8080/cb'],
    ['http://[::1]:8080/cb', 'http://[::1]:8080/cb'],
    ['com.example.app:/cb', 'com.example.app:/cb'],
  ];
  for (const [pattern, uri] of granted) {
    test(`${pattern} grants ${uri}`, () => assert.equal(redirectUriGranted(pattern, uri), true));
  }

  const denied: [string, string][] = [
    [wildcard, 'https://apps.example.com/payments'],
    [wildcard, 'https://apps.example.com/paymentsx/cb'],
    [wildcard, 'http://apps.example.com/payments/cb'],
    [wildcard, 'https://apps.example.com:8443/payments/cb'],
    [wildcard, 'https://apps.example.com@evil.example/payments/cb'],
    [wildcard, 'https://user@apps.example.com/payments/cb'],
    [wildcard, 'https://apps.example.com.evil.example/payments/cb'],
    [wildcard, 'https://APPS.example.com/payments/cb'],
    [wildcard, 'https://apps.example.com/payments/../admin'],
    [wildcard, 'https://apps.example.com/payments/./x'],
    [wildcard, 'https://apps.example.com/payments/%2e%2e/admin'],
    [wildcard, 'https://apps.example.com/payments/%2E%2E/admin'],
    [wildcard, 'https://apps.example.com/payments/..%2Fadmin'],
    [wildcard, 'https://apps.example.com/payments/%5C..%5Cadmin'],
    [wildcard, 'https://apps.example.com/payments/%252e%252e/admin'],
    [wildcard, 'https://apps.example.com/payments/\\..\\admin'],
    [wildcard, 'https://apps.example.com/payments//evil.example'],
    [wildcard, 'https://apps.example.com/payments/%00'],
    [wildcard, 'https://apps.example.com/payments/%C0%AE%C0%AE/admin'],
    [wildcard, 'https://apps.example.com/payments/%A0'],
    [wildcard, 'https://apps.example.com/payments/cb#x'],
    [wildcard, 'https://apps.example.com/payments/cb?next=https://evil.example'],
    [wildcard, 'https://apps.example.com/payments/cb '],
    [wildcard, 'https://apps.example.com/payments/\tcb'],
    [wildcard, 'https://apps.example.com/payments/é'],
    ['https://*/*', 'https://evil.example/cb'],
    ['https://*.example.com/*', 'https://a.example.com/cb'],
    ['*', 'https://evil.example/cb'],
    ['https://apps.example.com*', 'https://apps.example.com.evil.example'],
    ['http://127.0.0.1:8080/*', 'http://127.0.0.1:8080/cb'],
    ['http://apps.example.com/cb', 'http://apps.example.com/cb'],
    ['https:apps.example.com', 'https:apps.example.com'],
    ['https://apps.example.com/cb#x', 'https://apps.example.com/cb#x'],
    ['com.example.app:/*', 'com.example.app:/cb'],
    ['javascript:alert(1)', 'javascript:alert(1)'],
    ['data:text/html,x', 'data:text/html,x'],
    ['myapp:/cb', 'myapp:/cb'],
  ];
  for (const [pattern, uri] of denied) {
    test(`${pattern} does not grant ${JSON.stringify(uri)}`, () =>
      assert.equal(redirectUriGranted(pattern, uri), false));
  }

  test('whatever is granted below a path is there for every parser', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        '..',
        '.',
        '/',
        '//',
        '\\',
        '%2e',
        '%2E',
        '%2f',
        '%5c',
        '%25',
        '%C0%AE',
        '%C3%A9',
        '@',
        '#',
        '?',
        ':',
        '%',
        ' ',
        '\t',
        'é',
      ),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const uri = `https://apps.example.com/payments/${pieces.join('')}`;
        if (!redirectUriGranted(wildcard, uri)) return;
        const twice = decodeURIComponent(new URL(uri).href);
        for (const text of [uri, twice]) {
          const { origin, pathname, search, hash } = new URL(text);
          assert.equal(origin, 'https://apps.example.com');
          assert.ok(pathname.startsWith('/payments/'), pathname);
          assert.equal(`${search}${hash}`, '');
        }
      }),
      { numRuns: 5000 },
    );
  });
});

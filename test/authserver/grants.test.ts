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
  boundTokens: true,
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
    ['unbound tokens', { boundTokens: false }, ['tlsClientCertificateBoundAccessTokens']],
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

/** What of one field's grant a request needs, and whether it has it. */
interface FieldRow {
  granting: Partial<ClientGrants>;
  asking?: Partial<GrantRequest>;
  granted: boolean;
}
const team = (labels: Record<string, string> = {}, name = 'payments') => ({ namespace: { name, labels } });
const labelled = (matchLabels: Record<string, string>) => ({ namespaces: { selector: { matchLabels } } });
const method = 'self_signed_tls_client_auth' as const;

const fieldRows: Record<string, FieldRow[]> = {
  namespaces: [
    { granting: { namespaces: undefined }, granted: false },
    { granting: { namespaces: {} }, granted: false },
    { granting: { namespaces: { names: [] } }, granted: false },
    { granting: { namespaces: { names: ['payment', 'payments2', 'Payments', '*'] } }, granted: false },
    { granting: { namespaces: { names: ['other', 'payments'] } }, granted: true },
    { granting: { namespaces: { selector: {} } }, granted: true },
    { granting: { namespaces: { selector: { matchLabels: {} } } }, granted: true },
    { granting: labelled({ team: 'a' }), granted: false },
    { granting: labelled({ team: 'a' }), asking: team({ team: 'b' }), granted: false },
    { granting: labelled({ team: 'a' }), asking: team({ team: 'a', more: 'b' }), granted: true },
    { granting: labelled({ team: 'a', tier: '1' }), asking: team({ team: 'a' }), granted: false },
    { granting: labelled({ team: 'a', tier: '1' }), asking: team({ team: 'a', tier: '1' }), granted: true },
    { granting: labelled({ team: '' }), granted: false },
    { granting: labelled({ team: '' }), asking: team({ team: '' }), granted: true },
    { granting: labelled({ constructor: 'a' }), granted: false },
    // Either is enough.
    { granting: { namespaces: { names: ['payments'], selector: { matchLabels: { team: 'a' } } } }, granted: true },
    {
      granting: { namespaces: { names: ['other'], selector: { matchLabels: { team: 'a' } } } },
      asking: team({ team: 'a' }),
      granted: true,
    },
  ],
  issuers: [
    { granting: { issuers: undefined }, granted: false },
    { granting: { issuers: [] }, granted: false },
    { granting: { issuers: ['corporate', 'corporate-clients-2', '*', ''] }, granted: false },
    { granting: { issuers: ['another', 'corporate-clients'] }, granted: true },
    { granting: { issuers: ['corporate-clients'] }, asking: { issuer: '' }, granted: false },
  ],
  methods: [
    { granting: { methods: undefined }, granted: false },
    { granting: { methods: [] }, granted: false },
    { granting: { methods: ['tls_client_auth'] }, asking: { method }, granted: false },
    { granting: { methods: [method] }, asking: { method }, granted: true },
    { granting: { methods: [method] }, granted: false },
  ],
  grantTypes: [
    { granting: { grantTypes: undefined }, granted: false },
    { granting: { grantTypes: ['authorization_code'] }, granted: false },
    { granting: { grantTypes: ['*', 'client', 'Client_Credentials'] }, granted: false },
    { granting: { grantTypes: ['client_credentials'] }, granted: true },
    {
      granting: { grantTypes: ['client_credentials'] },
      asking: { grantTypes: ['client_credentials', 'refresh_token'] },
      granted: false,
    },
    {
      granting: { grantTypes: ['urn:ietf:params:oauth:grant-type:token-exchange'] },
      asking: { grantTypes: ['urn:ietf:params:oauth:grant-type:token-exchange'] },
      granted: true,
    },
    // Nothing is asked for; whether that is of use is not for the grant to say.
    { granting: { grantTypes: undefined }, asking: { grantTypes: [] }, granted: true },
  ],
  scopes: [
    { granting: { scopes: undefined }, granted: false },
    { granting: { scopes: undefined }, asking: { scope: undefined }, granted: true },
    { granting: { scopes: ['accounts'] }, granted: false },
    { granting: { scopes: ['accounts:*', '*'] }, granted: false },
    { granting: { scopes: ['Accounts:read'] }, granted: false },
    // One value with a space in it is not two.
    {
      granting: { scopes: ['accounts:read accounts:write'] },
      asking: { scope: 'accounts:read accounts:write' },
      granted: false,
    },
    {
      granting: { scopes: ['accounts:write', 'accounts:read'] },
      asking: { scope: 'accounts:read accounts:write' },
      granted: true,
    },
    { granting: { scopes: ['accounts:read'] }, asking: { scope: 'accounts:read  accounts:read' }, granted: true },
  ],
  redirectURIs: [
    { granting: { redirectURIs: undefined }, asking: { redirectURIs: ['https://a.example/'] }, granted: false },
    { granting: { redirectURIs: undefined }, asking: { redirectURIs: [] }, granted: true },
    {
      granting: { redirectURIs: ['https://a.example/cb', 'https://b.example/*'] },
      asking: { redirectURIs: ['https://b.example/x', 'https://a.example/cb'] },
      granted: true,
    },
    {
      granting: { redirectURIs: ['https://a.example/cb', 'https://b.example/*'] },
      asking: { redirectURIs: ['https://b.example/x', 'https://a.example/cb2'] },
      granted: false,
    },
  ],
  requireBoundTokens: [
    { granting: {}, asking: { boundTokens: true }, granted: true },
    { granting: {}, asking: { boundTokens: false }, granted: false },
    { granting: { requireBoundTokens: true }, asking: { boundTokens: false }, granted: false },
    { granting: { requireBoundTokens: false }, asking: { boundTokens: false }, granted: true },
    { granting: { requireBoundTokens: false }, asking: { boundTokens: true }, granted: true },
  ],
  deletion: [
    { granting: { deletion: undefined }, granted: true },
    { granting: { deletion: undefined }, asking: { deletionPolicy: 'Orphan' }, granted: false },
    { granting: { deletion: [] }, granted: false },
    { granting: { deletion: ['Delete', 'Orphan'] }, asking: { deletionPolicy: 'Orphan' }, granted: true },
    { granting: { deletion: ['Orphan'] }, granted: false },
  ],
};

describe('each field of spec.clients', () => {
  for (const [field, rows] of Object.entries(fieldRows)) {
    for (const { granting, asking = {}, granted } of rows) {
      const row = `${JSON.stringify(granting)} ${granted ? 'grants' : 'denies'} ${JSON.stringify(asking)}`;
      test(`${field}: ${row}`, () => {
        assert.equal(fields(asking, { ...grants, ...granting }).length === 0, granted);
      });
    }
  }
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
    [wildcard, 'https://apps.example.com/Payments/cb'],
    [wildcard, 'HTTPS://apps.example.com/payments/cb'],
    [wildcard, 'https://apps.example.com:443/payments/cb'],
    [wildcard, 'https://apps.example.com./payments/cb'],
    [wildcard, 'https:\\\\apps.example.com\\payments\\cb'],
    [wildcard, 'https://apps.example.com/payments/..;/admin'],
    ['https://exact.example.com/cb', 'https://exact.example.com/cb/'],
    ['https://exact.example.com/cb', 'https://exact.example.com/cb?x=1'],
    ['https://exact.example.com/cb', 'https://exact.example.com/CB'],
    ['https://exact.example.com/cb', 'https://exact.example.com//cb'],
    ['https://exact.example.com', 'https://exact.example.com/'],
    ['http://localhost/cb', 'http://localhost:8080/cb'],
    ['http://localhost/cb', 'http://localhost.evil.example/cb'],
    ['http://localhost/cb', 'https://localhost/cb'],
    ['http://127.0.0.1/cb', 'http://localhost/cb'],
    ['http://localhost/*', 'http://localhost/cb'],
    ['http://192.0.2.1/cb', 'http://192.0.2.1/cb'],
    ['http://127.0.0.1.example.com/cb', 'http://127.0.0.1.example.com/cb'],
    ['com.example.app:/cb', 'com.example.app2:/cb'],
    ['com.example.app:/cb', 'com.example.app:/cb/x'],
    ['com.example.app:/cb#x', 'com.example.app:/cb#x'],
    ['file:///cb', 'file:///cb'],
    ['urn:ietf:wg:oauth:2.0:oob', 'urn:ietf:wg:oauth:2.0:oob'],
    ['/cb', '/cb'],
    ['', ''],
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

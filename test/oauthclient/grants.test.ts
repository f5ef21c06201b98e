import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Observed } from '../../src/oauthclient/observed.ts';
import { eachRow } from './checks.ts';
import { aClient, aServer, anIssuer, findingsOf, grants, isReady, now, settled, untouched, viewOf } from './view.ts';

const stuck = (condition: string, reason: string) => [`${condition}=False/${reason} blocks`];
const gone = { deletionTimestamp: new Date(now).toISOString() };
const withServer = (...change: Parameters<typeof aServer>): Observed => ({
  ...untouched(),
  server: aServer({ defaultIssuerRef: { name: 'corporate-clients' }, ...change[0] }, change[1]),
});
const withGrants = (change: Partial<typeof grants>) => () => withServer({ clients: { ...grants, ...change } });
const endpoints = { tokenEndpoint: 'https://as.example.com/token' };

const unsupported = stuck('Registered', 'Unsupported');
const offering =
  (
    capabilities: Partial<NonNullable<NonNullable<Observed['server']>['status']>['capabilities']>,
    request: Partial<Observed['client']['spec']> = {},
  ) =>
  (): Observed => ({
    ...withServer(
      {},
      { endpoints, capabilities: { authMethods: ['tls_client_auth'], certificateBoundTokens: true, ...capabilities } },
    ),
    client: aClient(request, { finalizers: [] }),
  });

describe('grants are checked before anything is written', () => {
  const notGranted = stuck('Registered', 'AuthorizationServerNotGranted');
  const issuerNotGranted = stuck('CertificateReady', 'IssuerNotGranted');
  const serverNotReady = ['Registered=Unknown/AuthorizationServerNotReady blocks'];
  eachRow([
    ['no server', () => ({ ...untouched(), server: undefined }), notGranted],
    ['the server is for other namespaces', withGrants({ namespaces: { names: ['other'] } }), notGranted],
    ['the server grants nothing', () => withServer({ clients: undefined }), notGranted],
    ['the namespace is not known yet', () => ({ ...untouched(), namespace: undefined }), notGranted],
    [
      'the server is being deleted',
      () => {
        const server = aServer();
        return { ...untouched(), server: { ...server, metadata: { ...server.metadata, ...gone } } };
      },
      notGranted,
    ],
    ['the server was not discovered yet', () => withServer({}, {}), serverNotReady],
    [
      'the server has a problem',
      () => withServer({}, { endpoints, conditions: isReady('False', 'X') }),
      serverNotReady,
    ],
    [
      'the server is being looked at again',
      () => withServer({}, { endpoints, conditions: isReady('Unknown', 'X') }),
      ['Ready=Unknown/Preparing → addFinalizer'],
    ],
    [
      'the server knows no such method',
      () => withServer({}, { endpoints, capabilities: { authMethods: ['x'], certificateBoundTokens: true } }),
      stuck('Registered', 'Unsupported'),
    ],
    [
      'the server knows no such method, and has a problem for it',
      () =>
        withServer(
          {},
          {
            endpoints,
            capabilities: { authMethods: ['private_key_jwt'], certificateBoundTokens: false },
            conditions: isReady('False', 'MutualTLSUnsupported'),
          },
        ),
      stuck('Registered', 'Unsupported'),
    ],
    ['the server knows no such grant type', offering({ grantTypes: ['authorization_code'] }), unsupported],
    [
      'the server knows no such response type',
      offering(
        { grantTypes: ['authorization_code'], responseTypes: ['id_token'] },
        { grantTypes: ['authorization_code'], redirectURIs: ['https://app.example.com/cb'] },
      ),
      unsupported,
    ],
    [
      'the server does not say which grant types it knows',
      offering({ grantTypes: undefined }),
      ['Ready=Unknown/Preparing → addFinalizer'],
    ],
    [
      'a key that is registered itself, where no registration changes',
      () => ({
        ...untouched('self_signed_tls_client_auth'),
        server: aServer({
          defaultIssuerRef: { name: 'corporate-clients' },
          dynamicRegistration: { configurationMethods: ['GET', 'DELETE'] },
        }),
      }),
      unsupported,
    ],
    [
      'a subject, where no registration changes',
      () => withServer({ dynamicRegistration: { configurationMethods: [] } }),
      ['Ready=Unknown/Preparing → addFinalizer'],
    ],
    ['no issuer is named', () => ({ ...untouched(), server: aServer() }), stuck('CertificateReady', 'IssuerNotNamed')],
    ['no issuer', () => ({ ...untouched(), issuer: undefined }), issuerNotGranted],
    ['the server does not take the issuer', withGrants({ issuers: ['other-clients'] }), issuerNotGranted],
    [
      'the issuer is for other namespaces',
      () => ({ ...untouched(), issuer: anIssuer('tls_client_auth', { policy: {} }) }),
      issuerNotGranted,
    ],
    [
      'the issuer is being deleted',
      () => {
        const issuer = anIssuer();
        return { ...untouched(), issuer: { ...issuer, metadata: { ...issuer.metadata, ...gone } } };
      },
      issuerNotGranted,
    ],
    ['the method is not granted', withGrants({ methods: [] }), stuck('Registered', 'NotGranted')],
    ['the grant type is not granted', withGrants({ grantTypes: [] }), stuck('Registered', 'NotGranted')],
    [
      'the scope is not granted',
      () => ({ ...untouched(), client: aClient({ scope: 'admin' }) }),
      stuck('Registered', 'NotGranted'),
    ],
    [
      'the redirect URI is not granted',
      () => ({ ...untouched(), client: aClient({ redirectURIs: ['https://evil.example/cb'] }) }),
      stuck('Registered', 'NotGranted'),
    ],
    [
      'the response type is not granted',
      () => ({ ...untouched(), client: aClient({ responseTypes: ['token'] }) }),
      stuck('Registered', 'NotGranted'),
    ],
    [
      'the deletion policy is not granted',
      () => ({
        ...withGrants({ deletion: ['Delete'] })(),
        client: aClient({ deletionPolicy: 'Orphan' }),
      }),
      stuck('Registered', 'NotGranted'),
    ],
    [
      'unbound tokens are not granted',
      () => ({ ...untouched(), client: aClient({ tlsClientCertificateBoundAccessTokens: false }) }),
      stuck('Registered', 'NotGranted'),
    ],
    [
      'nor where they are ruled out in so many words',
      () => ({
        ...withGrants({ requireBoundTokens: true })(),
        client: aClient({ tlsClientCertificateBoundAccessTokens: false }),
      }),
      stuck('Registered', 'NotGranted'),
    ],
    [
      'unbound tokens are granted',
      () => ({
        ...withGrants({ requireBoundTokens: false })(),
        client: aClient({ tlsClientCertificateBoundAccessTokens: false }, { finalizers: [] }),
      }),
      ['Ready=Unknown/Preparing → addFinalizer'],
    ],
    ['no scope is granted and none is asked for', withGrants({ scopes: [] }), stuck('Registered', 'NotGranted')],
    [
      'the platform grants other identities',
      withGrants({ identityTemplates: [{ dn: 'CN={name},O=other' }, { dnsName: '{name}.example.com' }] }),
      ['Ready=Unknown/Preparing → addFinalizer'],
    ],
    [
      'a template that fits nobody',
      withGrants({ identityTemplates: [{ dn: 'CN={nmae}' }] }),
      stuck('CertificateReady', 'IdentityNotGranted'),
    ],
    [
      'the issuer signs for the other method',
      () => ({ ...untouched(), issuer: anIssuer('self_signed_tls_client_auth') }),
      stuck('CertificateReady', 'IssuerMethodMismatch'),
    ],
    [
      'the duration is too long',
      () => ({ ...untouched(), client: aClient({ certificate: { duration: '9999h' } }) }),
      stuck('CertificateReady', 'DurationNotGranted'),
    ],
    [
      'the subject is somebody else’s',
      () => ({ ...untouched(), client: aClient({ certificate: { subject: { dn: 'CN=admin' } } }) }),
      stuck('CertificateReady', 'IdentityNotGranted'),
    ],
  ]);

  test('what does not exist and what is not granted read the same', () => {
    const [missing] = findingsOf({ ...untouched(), server: undefined });
    const [withheld] = findingsOf(withGrants({ namespaces: {} })());
    assert.equal(missing?.message, withheld?.message);
    const [noIssuer] = findingsOf({ ...untouched(), issuer: undefined });
    const [notOurs] = findingsOf({ ...untouched(), issuer: anIssuer('tls_client_auth', { policy: {} }) });
    assert.equal(noIssuer?.message, notOurs?.message);
  });

  test('what the server says is no argument against a client that it has registered', () => {
    const { server } = settled();
    const capabilities = { authMethods: ['client_secret_basic'], certificateBoundTokens: true, grantTypes: [] };
    const says = server && { ...server, status: { ...server.status, capabilities } };
    assert.deepEqual(findingsOf({ ...settled(), server: says }), []);
  });

  test('what to do instead is said', () => {
    const message = (observed: Observed) => findingsOf(observed)[0]?.message ?? '';
    const methods = (authMethods: string[]) => message(offering({ authMethods })());
    assert.match(methods(['self_signed_tls_client_auth']), /tokenEndpointAuthMethod: self_signed_tls_client_auth, or/);
    assert.match(methods(['none']), /no mutual TLS \(RFC 8705\), or that is off: ask the platform team/);
    assert.match(message(offering({ grantTypes: ['password'] })()), /Leave it out of grantTypes, or ask/);
  });

  test('a client gets bound tokens whatever the platform would let it have', () => {
    const granting = withGrants({ requireBoundTokens: false })();
    const bound = (observed: Observed) =>
      viewOf(observed).desired.metadata?.['tls_client_certificate_bound_access_tokens'];
    assert.equal(bound(granting), true);
    assert.equal(bound({ ...granting, client: aClient({ tlsClientCertificateBoundAccessTokens: false }) }), false);
  });

  test('what keeps a server from new clients does not keep its clients from renewing', () => {
    const server = withServer({}, { endpoints, conditions: isReady('False', 'CredentialMissing') }).server;
    const due = { ...settled(), server };
    assert.ok(findingsOf(due).every(({ condition }) => condition !== 'Registered'));
  });

  test('a server that stands for another issuer gets nothing of its predecessor’s', () => {
    const server = aServer({ issuer: 'https://other.example.com', defaultIssuerRef: { name: 'corporate-clients' } });
    const found = findingsOf({ ...settled(), server }).at(-1);
    assert.equal(found?.reason, 'AuthorizationServerChanged');
    assert.equal(found.blocks, true);
  });
});

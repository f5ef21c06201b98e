/** What the API server has to refuse, and what it has to accept, of the three kinds. */
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../../src/api/resources.ts';
import type { Resource } from '../../src/kube/resource.ts';

type Spec = Readonly<Record<string, unknown>>;

export interface Refused {
  name: string;
  resource: Resource;
  /** What exists already; absent for a creation. */
  before?: Spec;
  spec: Spec;
  /** The field that the answer names, and what it says of it. */
  field: string;
  says: RegExp;
}
export interface Accepted {
  name: string;
  resource: Resource;
  before?: Spec;
  spec: Spec;
}

const client = (more: Spec = {}): Spec => ({ authorizationServerRef: { name: 'corporate' }, ...more });
const certificate = (more: Spec): Spec => client({ certificate: more });
const server = (more: Spec = {}): Spec => ({
  issuer: 'https://as.example.test',
  dynamicRegistration: {},
  ...more,
});
const registering = (dynamicRegistration: Spec): Spec => server({ dynamicRegistration });
const managed = (more: Spec = {}): Spec => ({ ca: { managed: more } });

const secondClient =
  /is immutable, also against adding or removing it\..* Create a second OAuthClient, switch .* delete this one/s;
const sizes = /size must be 256 or 384 for ECDSA \(the default algorithm\), and 2048, 3072 or 4096 for RSA/;
const oneSubject = /Write exactly one of dn, dnsName, uri, ipAddress and emailAddress: RFC 8705 §2\.1\.2/;
const shorter =
  /renewBefore must be shorter than duration \(720h where it is not set\); leave it out for a third of it/;
const oneDriver = /Write exactly one of dynamicRegistration and keycloak/;
const dn = { dn: 'CN=batch,O=payments' };
const keycloak = (more: Spec = {}): Spec => ({
  clientId: 'certbound',
  clientSecretRef: { name: 'a', key: 'b' },
  ...more,
});
const realm = (more: Spec = {}): Spec => ({
  issuer: 'https://as.example.test/realms/corporate',
  keycloak: keycloak(),
  ...more,
});

const clientCases: Refused[] = [
  { name: 'no server', spec: {}, field: 'spec.authorizationServerRef', says: /Required/ },
  {
    name: 'a server without a name',
    spec: { authorizationServerRef: {} },
    field: 'spec.authorizationServerRef.name',
    says: /Required/,
  },
  {
    name: 'a name that is none',
    spec: { authorizationServerRef: { name: 'Not_A_Name' } },
    field: 'spec.authorizationServerRef.name',
    says: /a-z0-9/,
  },
  {
    name: 'another method',
    spec: client({ tokenEndpointAuthMethod: 'client_secret_basic' }),
    field: 'spec.tokenEndpointAuthMethod',
    says: /"tls_client_auth", "self_signed_tls_client_auth"/,
  },
  ...['-batch', 'a b', 'batch/', 'a?b', 'a%2fb', 'x'.repeat(256)].map((clientId) => ({
    name: `the clientId ${clientId.slice(0, 8)}`,
    spec: client({ clientId }),
    field: 'spec.clientId',
    says: /should match|Too long/,
  })),
  {
    name: 'another adoption policy',
    spec: client({ adoptionPolicy: 'Always' }),
    field: 'spec.adoptionPolicy',
    says: /"Never", "IfMarked"/,
  },
  {
    name: 'a clientId that changes',
    before: client({ clientId: 'a' }),
    spec: client({ clientId: 'b' }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a clientId that is added',
    before: client(),
    spec: client({ clientId: 'b' }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a clientId that is removed',
    before: client({ clientId: 'a' }),
    spec: client(),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'another deletion policy',
    spec: client({ deletionPolicy: 'Forget' }),
    field: 'spec.deletionPolicy',
    says: /"Delete", "Orphan"/,
  },
  {
    name: 'unbound tokens in a word',
    spec: client({ tlsClientCertificateBoundAccessTokens: 'no' }),
    field: 'spec.tlsClientCertificateBoundAccessTokens',
    says: /boolean/,
  },
  {
    name: 'a grant type twice',
    spec: client({ grantTypes: ['a', 'a'] }),
    field: 'spec.grantTypes[1]',
    says: /Duplicate value/,
  },
  {
    name: 'a scope with a quotation mark',
    spec: client({ scope: 'a "b"' }),
    field: 'spec.scope',
    says: /should match/,
  },
  { name: 'a scope with two spaces', spec: client({ scope: 'a  b' }), field: 'spec.scope', says: /should match/ },
  { name: 'a scope of one space', spec: client({ scope: ' ' }), field: 'spec.scope', says: /should match/ },
  {
    name: 'no subject at all',
    spec: certificate({ subject: {} }),
    field: 'spec.certificate.subject',
    says: oneSubject,
  },
  {
    name: 'two subjects',
    spec: certificate({ subject: { ...dn, dnsName: 'batch.example.test' } }),
    field: 'spec.certificate.subject',
    says: oneSubject,
  },
  {
    name: 'all subjects',
    spec: certificate({
      subject: { ...dn, dnsName: 'a.test', uri: 'urn:a', ipAddress: '192.0.2.1', emailAddress: 'a@b.test' },
    }),
    field: 'spec.certificate.subject',
    says: oneSubject,
  },
  {
    name: 'an RSA size for the default algorithm',
    spec: certificate({ privateKey: { size: 2048 } }),
    field: 'spec.certificate.privateKey',
    says: sizes,
  },
  {
    name: 'an RSA size for ECDSA',
    spec: certificate({ privateKey: { algorithm: 'ECDSA', size: 4096 } }),
    field: 'spec.certificate.privateKey',
    says: sizes,
  },
  {
    name: 'an ECDSA size for RSA',
    spec: certificate({ privateKey: { algorithm: 'RSA', size: 256 } }),
    field: 'spec.certificate.privateKey',
    says: sizes,
  },
  {
    name: 'an RSA key that is too short',
    spec: certificate({ privateKey: { algorithm: 'RSA', size: 1024 } }),
    field: 'spec.certificate.privateKey',
    says: sizes,
  },
  {
    name: 'an RSA key that is too long',
    spec: certificate({ privateKey: { algorithm: 'RSA', size: 8192 } }),
    field: 'spec.certificate.privateKey',
    says: sizes,
  },
  {
    name: 'P-521',
    spec: certificate({ privateKey: { size: 521 } }),
    field: 'spec.certificate.privateKey',
    says: sizes,
  },
  {
    name: 'another key algorithm',
    spec: certificate({ privateKey: { algorithm: 'Ed25519' } }),
    field: 'spec.certificate.privateKey.algorithm',
    says: /"ECDSA", "RSA"/,
  },
  {
    name: 'renewBefore as long as duration',
    spec: certificate({ duration: '24h', renewBefore: '24h' }),
    field: 'spec.certificate',
    says: shorter,
  },
  {
    name: 'renewBefore longer than duration, in other units',
    spec: certificate({ duration: '1h', renewBefore: '61m' }),
    field: 'spec.certificate',
    says: shorter,
  },
  {
    name: 'renewBefore as long as the default duration',
    spec: certificate({ renewBefore: '720h' }),
    field: 'spec.certificate',
    says: shorter,
  },
  {
    name: 'a certificate of less than five minutes',
    spec: certificate({ duration: '4m59s' }),
    field: 'spec.certificate.duration',
    says: /duration must be at least 5m, e\.g\. 720h/,
  },
  {
    name: 'a certificate of no time',
    spec: certificate({ duration: '0h' }),
    field: 'spec.certificate.duration',
    says: /duration must be at least 5m/,
  },
  {
    name: 'renewBefore of less than ten seconds',
    spec: certificate({ renewBefore: '9s' }),
    field: 'spec.certificate.renewBefore',
    says: /renewBefore must be at least 10s/,
  },
  ...['3 weeks', '30d', '1.5h', '-1h', '1h 30m', '720', '30m1h', '１h', 'PT720H', '500ms', '99999999999999999h'].map(
    (text) => ({
      name: `the duration ${text}`,
      spec: certificate({ duration: text }),
      field: 'spec.certificate.duration',
      says: /should match '.*h.*m.*s.*'/,
    }),
  ),
  {
    name: 'a duration that is a number',
    spec: certificate({ duration: 720 }),
    field: 'spec.certificate.duration',
    says: /string/,
  },
  {
    name: 'a drain that is endless',
    spec: certificate({ drain: '9999999999h' }),
    field: 'spec.certificate.drain',
    says: /should match/,
  },
  {
    name: 'a server that changes',
    before: client(),
    spec: { authorizationServerRef: { name: 'other' } },
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a server that is removed',
    before: client(),
    spec: {},
    field: 'spec.authorizationServerRef',
    says: /Required/,
  },
  {
    name: 'a method that changes',
    before: client({ tokenEndpointAuthMethod: 'tls_client_auth' }),
    spec: client({ tokenEndpointAuthMethod: 'self_signed_tls_client_auth' }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a method that is added',
    before: client(),
    spec: client({ tokenEndpointAuthMethod: 'tls_client_auth' }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a method that is removed',
    before: client({ tokenEndpointAuthMethod: 'self_signed_tls_client_auth' }),
    spec: client(),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a subject that changes',
    before: certificate({ subject: dn }),
    spec: certificate({ subject: { dn: 'CN=other' } }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a subject that changes its kind',
    before: certificate({ subject: dn }),
    spec: certificate({ subject: { uri: 'urn:a' } }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a subject that is added',
    before: certificate({ duration: '24h' }),
    spec: certificate({ duration: '24h', subject: dn }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a subject that is added with its parent',
    before: client(),
    spec: certificate({ subject: dn }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a subject that is removed',
    before: certificate({ subject: dn, duration: '24h' }),
    spec: certificate({ duration: '24h' }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a subject that is removed with its parent',
    before: certificate({ subject: dn }),
    spec: client(),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a Secret name that changes',
    before: client({ secret: { name: 'a' } }),
    spec: client({ secret: { name: 'b' } }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a Secret name that is added',
    before: client({ secret: {} }),
    spec: client({ secret: { name: 'a' } }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a Secret name that is added with its parent',
    before: client(),
    spec: client({ secret: { name: 'a' } }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a Secret name that is removed',
    before: client({ secret: { name: 'a' } }),
    spec: client({ secret: {} }),
    field: 'spec',
    says: secondClient,
  },
  {
    name: 'a Secret name that is removed with its parent',
    before: client({ secret: { name: 'a' } }),
    spec: client(),
    field: 'spec',
    says: secondClient,
  },
].map((c) => ({ ...c, resource: oauthClients }));

const serverCases: Refused[] = [
  { name: 'no issuer', spec: { dynamicRegistration: {} }, field: 'spec.issuer', says: /Required/ },
  ...[
    'http://as.example.test',
    'https://as.example.test/?a=b',
    'https://as.example.test/#a',
    'https://user@as.example.test',
    'https://as.example.test/a b',
    'as.example.test',
  ].map((issuer) => ({
    name: `the issuer ${issuer}`,
    spec: server({ issuer }),
    field: 'spec.issuer',
    says: /should match '\^https:/,
  })),
  ...[
    'client_secret',
    'grant_types',
    'jwks',
    'jwks_uri',
    'redirect_uris',
    'request_uris',
    'scope',
    'sector_identifier_uri',
  ]
    .concat('software_statement', 'tls_client_auth_subject_dn', 'token_endpoint_auth_method', 'client_name#ja')
    .map((name) => ({
      name: `${name} for all clients`,
      spec: registering({ metadata: [{ name, value: 'x' }] }),
      field: 'spec.dynamicRegistration.metadata[0]',
      says: /This member is not the platform’s to set for all clients: leave it out\. Keys, identity and authentication/,
    })),
  ...[{}, { value: 'x', flag: true }, { value: 'x', values: ['x'] }].map((member) => ({
    name: `a member of the metadata with ${Object.keys(member).length} values`,
    spec: registering({ metadata: [{ name: 'tos_uri', ...member }] }),
    field: 'spec.dynamicRegistration.metadata[0]',
    says: /Write exactly one of value, values and flag/,
  })),
  {
    name: 'a member of the metadata twice',
    spec: registering({
      metadata: [
        { name: 'tos_uri', value: 'x' },
        { name: 'tos_uri', value: 'y' },
      ],
    }),
    field: 'spec.dynamicRegistration.metadata[1]',
    says: /Duplicate value/,
  },
  {
    name: 'a member of the metadata that is none',
    spec: registering({ metadata: [{ name: 'tosURI', value: 'x' }] }),
    field: 'spec.dynamicRegistration.metadata[0].name',
    says: /should match/,
  },
  {
    name: 'another method of the configuration endpoint',
    spec: registering({ configurationMethods: ['PATCH'] }),
    field: 'spec.dynamicRegistration.configurationMethods[0]',
    says: /"GET", "PUT", "DELETE"/,
  },
  {
    name: 'no driver',
    spec: { issuer: 'https://as.example.test' },
    field: 'spec',
    says: oneDriver,
  },
  {
    name: 'a driver that is removed',
    before: server(),
    spec: { issuer: 'https://as.example.test' },
    field: 'spec',
    says: oneDriver,
  },
  {
    name: 'two drivers',
    spec: realm({ dynamicRegistration: {} }),
    field: 'spec',
    says: oneDriver,
  },
  {
    name: 'another driver',
    before: realm(),
    spec: realm({ keycloak: undefined, dynamicRegistration: {} }),
    field: 'spec',
    says: /How clients are registered is immutable.*Create a second AuthorizationServer/s,
  },
  ...['https://as.example.test', 'https://as.example.test/realms/', 'https://as.example.test/realms/a/'].map(
    (issuer) => ({
      name: `Keycloak without a realm: ${issuer}`,
      spec: realm({ issuer }),
      field: 'spec',
      says: /the issuer names the realm: write https:..<host>.realms.<realm>/,
    }),
  ),
  {
    name: 'Keycloak without a client',
    spec: realm({ keycloak: { clientSecretRef: { name: 'a', key: 'b' } } }),
    field: 'spec.keycloak.clientId',
    says: /Required/,
  },
  ...[{ clientSecretRef: undefined }, { clientCertificateSecretRef: { name: 'a' } }].map((more) => ({
    name: `Keycloak with ${'clientSecretRef' in more ? 'no credential' : 'two credentials'}`,
    spec: realm({ keycloak: keycloak(more) }),
    field: 'spec.keycloak',
    says: /Write exactly one of clientSecretRef and clientCertificateSecretRef/,
  })),
  {
    name: 'Keycloak administered over plain HTTP',
    spec: realm({ keycloak: keycloak({ adminURL: 'http://as.example.test' }) }),
    field: 'spec.keycloak.adminURL',
    says: /should match '\^https:/,
  },
  {
    name: 'an issuer that changes',
    before: server(),
    spec: server({ issuer: 'https://other.example.test' }),
    field: 'spec',
    says: /issuer is immutable.*Create a second AuthorizationServer/s,
  },
  {
    name: 'a controller that changes',
    before: server({ controllerName: 'a' }),
    spec: server({ controllerName: 'b' }),
    field: 'spec',
    says: /controllerName is immutable, also against adding or removing/,
  },
  {
    name: 'a controller that is added',
    before: server(),
    spec: server({ controllerName: 'a' }),
    field: 'spec',
    says: /controllerName is immutable/,
  },
  {
    name: 'a controller that is removed',
    before: server({ controllerName: 'a' }),
    spec: server(),
    field: 'spec',
    says: /controllerName is immutable/,
  },
  {
    name: 'proofs that never end',
    spec: server({ verifyInterval: '59s' }),
    field: 'spec.verifyInterval',
    says: /verifyInterval must be at least 1m/,
  },
  {
    name: 'a propagation that is no duration',
    spec: server({ propagation: 'soon' }),
    field: 'spec.propagation',
    says: /should match/,
  },
  {
    name: 'a token lifetime that is no duration',
    spec: server({ accessTokenLifetime: '300' }),
    field: 'spec.accessTokenLifetime',
    says: /should match/,
  },
  {
    name: 'an mTLS endpoint without TLS',
    spec: server({ mtlsEndpoints: { tokenEndpoint: 'http://mtls.example.test/token' } }),
    field: 'spec.mtlsEndpoints.tokenEndpoint',
    says: /should match '\^https:/,
  },
  ...['Identity', 'a/b', ''].map((namespace) => ({
    name: `client CAs that are published to the namespace "${namespace}"`,
    spec: server({ trustBundle: { namespace } }),
    field: 'spec.trustBundle.namespace',
    says: namespace === '' ? /should be at least 1 chars long/ : /should match/,
  })),
  {
    name: 'client CAs that are published nowhere',
    spec: server({ trustBundle: {} }),
    field: 'spec.trustBundle.namespace',
    says: /Required/,
  },
  {
    name: 'another kind of terminator',
    spec: server({ terminators: [{ group: 'apps', kind: 'Deployment', namespace: 'a', name: 'b' }] }),
    field: 'spec.terminators[0].kind',
    says: /"Ingress"/,
  },
  {
    name: 'an identity template with two members',
    spec: server({ clients: { identityTemplates: [{ dn: 'CN={name}', uri: 'urn:{name}' }] } }),
    field: 'spec.clients.identityTemplates[0]',
    says: oneSubject,
  },
  {
    name: 'another method to grant',
    spec: server({ clients: { methods: ['none'] } }),
    field: 'spec.clients.methods[0]',
    says: /"tls_client_auth"/,
  },
  {
    name: 'bound tokens perhaps',
    spec: server({ clients: { requireBoundTokens: 'sometimes' } }),
    field: 'spec.clients.requireBoundTokens',
    says: /boolean/,
  },
  {
    name: 'a client that two may adopt',
    spec: server({
      clients: {
        adoptable: [
          { clientId: 'a', namespace: 'team', name: 'a' },
          { clientId: 'a', namespace: 'team', name: 'b' },
        ],
      },
    }),
    field: 'spec.clients.adoptable[1]',
    says: /Duplicate value/,
  },
  {
    name: 'a client that anybody may adopt',
    spec: server({ clients: { adoptable: [{ clientId: 'a' }] } }),
    field: 'spec.clients.adoptable[0].namespace',
    says: /Required/,
  },
  {
    name: 'an adoption of whatever is there',
    spec: server({ clients: { adoption: 'Always' } }),
    field: 'spec.clients.adoption',
    says: /"Never", "IfMarked"/,
  },
  ...['9s', '0s', '1d'].map((deregistrationDeadline) => ({
    name: `deletions that wait for ${deregistrationDeadline}`,
    spec: server({ clients: { deregistrationDeadline } }),
    field: 'spec.clients.deregistrationDeadline',
    says: deregistrationDeadline === '1d' ? /should match/ : /at least 10s, e\.g\. 24h; leave it out to wait for ever/,
  })),
  {
    name: 'another recovery',
    spec: server({ clients: { recovery: 'Always' } }),
    field: 'spec.clients.recovery',
    says: /"Manual", "Recreate"/,
  },
  {
    name: 'a host twice',
    spec: server({
      connectTo: [
        { host: 'a', addresses: ['::1'] },
        { host: 'a', addresses: ['::1'] },
      ],
    }),
    field: 'spec.connectTo[1]',
    says: /Duplicate value/,
  },
  {
    name: 'a credential without a key',
    spec: server({ dynamicRegistration: { initialAccessTokenSecretRef: { name: 'a' } } }),
    field: 'spec.dynamicRegistration.initialAccessTokenSecretRef.key',
    says: /Required/,
  },
  {
    name: 'CAs in two places',
    spec: server({ caBundle: 'pem', caBundleRef: { kind: 'ConfigMap', name: 'cas', key: 'ca.crt' } }),
    field: 'spec',
    says: /Write caBundle or caBundleRef, not both/,
  },
  {
    name: 'CAs in another kind of object',
    spec: server({ caBundleRef: { kind: 'Pod', name: 'cas', key: 'ca.crt' } }),
    field: 'spec.caBundleRef.kind',
    says: /"ConfigMap", "Secret"/,
  },
  ...['socks5://proxy:1080', 'http://user:secret@proxy:3128', 'http://proxy:3128/path', 'proxy:3128'].map(
    (proxyURL) => ({
      name: `a proxy at ${proxyURL}`,
      spec: server({ proxyURL }),
      field: 'spec.proxyURL',
      says: /should match '\^https\?:/,
    }),
  ),
  {
    name: 'credentials of no proxy',
    spec: server({ proxyCredentialsSecretRef: { name: 'proxy' } }),
    field: 'spec',
    says: /Write a proxyURL that begins with https:\/\//,
  },
  {
    name: 'credentials in clear on the way to the proxy',
    spec: server({ proxyURL: 'http://proxy:3128', proxyCredentialsSecretRef: { name: 'proxy' } }),
    field: 'spec',
    says: /over http the password would be readable/,
  },
  {
    name: 'a rate that is none',
    spec: server({ rateLimit: { requestsPerSecond: 0 } }),
    field: 'spec.rateLimit.requestsPerSecond',
    says: /greater than or equal to 1/,
  },
  {
    name: 'a burst without end',
    spec: server({ rateLimit: { burst: 10_001 } }),
    field: 'spec.rateLimit.burst',
    says: /less than or equal to 10000/,
  },
].map((c) => ({ ...c, resource: authorizationServers }));

const oneIssuer = /Write exactly one of ca and selfSigned/;
const secondIssuer = /is immutable.*[Cc]reate a second (issuer|ClientCertificateIssuer)/s;
const issuerCases: Refused[] = [
  { name: 'an issuer of no kind', spec: {}, field: 'spec', says: oneIssuer },
  { name: 'an issuer of two kinds', spec: { ca: { managed: {} }, selfSigned: {} }, field: 'spec', says: oneIssuer },
  {
    name: 'a CA from nowhere',
    spec: { ca: {} },
    field: 'spec.ca',
    says: /Write exactly one of ca\.managed \(the operator makes the CA\) and ca\.secretRef/,
  },
  {
    name: 'a CA from two places',
    spec: { ca: { managed: {}, secretRef: { name: 'a' } } },
    field: 'spec.ca',
    says: /Write exactly one of ca\.managed/,
  },
  {
    name: 'a CA that becomes self-signed',
    before: managed(),
    spec: { selfSigned: {} },
    field: 'spec',
    says: secondIssuer,
  },
  {
    name: 'self-signed that becomes a CA',
    before: { selfSigned: {} },
    spec: managed(),
    field: 'spec',
    says: secondIssuer,
  },
  {
    name: "a CA's name that changes",
    before: managed({ dn: 'CN=a' }),
    spec: managed({ dn: 'CN=b' }),
    field: 'spec.ca.managed',
    says: secondIssuer,
  },
  {
    name: "a CA's name that is added",
    before: managed(),
    spec: managed({ dn: 'CN=b' }),
    field: 'spec.ca.managed',
    says: secondIssuer,
  },
  {
    name: "a CA's name that is removed",
    before: managed({ dn: 'CN=a' }),
    spec: managed(),
    field: 'spec.ca.managed',
    says: secondIssuer,
  },
  {
    name: 'a CA of less than an hour',
    spec: managed({ duration: '59m' }),
    field: 'spec.ca.managed.duration',
    says: /duration must be at least 1h, e\.g\. 87600h/,
  },
  {
    name: 'a CA key of another size',
    spec: managed({ privateKey: { algorithm: 'RSA', size: 512 } }),
    field: 'spec.ca.managed.privateKey',
    says: sizes,
  },
  {
    name: 'a longest duration that is none',
    spec: { selfSigned: {}, policy: { maxDuration: '90 days' } },
    field: 'spec.policy.maxDuration',
    says: /should match/,
  },
].map((c) => ({ ...c, resource: clientCertificateIssuers }));

export const refused: readonly Refused[] = [...clientCases, ...serverCases, ...issuerCases];

export const accepted: readonly Accepted[] = [
  { name: 'nothing but a server', spec: client() },
  { name: 'renewBefore just below the default duration', spec: certificate({ renewBefore: '719h59m59s' }) },
  { name: 'renewBefore just below duration', spec: certificate({ duration: '5m', renewBefore: '4m59s' }) },
  { name: 'P-384', spec: certificate({ privateKey: { size: 384 } }) },
  { name: 'RSA 3072', spec: certificate({ privateKey: { algorithm: 'RSA', size: 3072 } }) },
  { name: 'RSA without a size', spec: certificate({ privateKey: { algorithm: 'RSA' } }) },
  { name: 'the longest duration', spec: certificate({ duration: '999999h' }) },
  {
    name: 'everything mutable changed, added and removed',
    before: client({ scope: 'a', clientName: 'x', secret: {}, tlsClientCertificateBoundAccessTokens: false }),
    spec: certificate({ duration: '24h', issuerRef: { name: 'b' }, privateKey: { algorithm: 'RSA' } }),
  },
  {
    name: 'immutable fields that stay',
    before: client({ certificate: { subject: dn }, secret: { name: 'a' } }),
    spec: client({ scope: 'a', certificate: { subject: dn, drain: '1h' }, secret: { name: 'a' } }),
  },
]
  .map((c): Accepted => ({ ...c, resource: oauthClients }))
  .concat([
    {
      name: 'everything of a dynamic registration',
      resource: authorizationServers,
      spec: registering({
        softwareStatementSecretRef: { name: 'statement', key: 'jwt' },
        configurationMethods: [],
        metadata: [
          { name: 'tos_uri#ja', value: 'https://example.test' },
          { name: 'contacts', values: ['a@example.test'] },
          { name: 'require_signed_request_object', flag: false },
        ],
      }),
    },
    {
      name: 'grants and endpoints that change',
      resource: authorizationServers,
      before: server({ trustBundle: { namespace: 'identity' } }),
      spec: server({
        trustBundle: { namespace: 'sso' },
        clients: { namespaces: { selector: {} } },
        mtlsEndpoints: { tokenEndpoint: 'https://mtls.example.test/token' },
      }),
    },
    {
      name: 'another way to Keycloak, and another credential there',
      resource: authorizationServers,
      before: realm(),
      spec: realm({
        keycloak: {
          clientId: 'operator',
          adminURL: 'https://admin.example.test/auth',
          clientCertificateSecretRef: { name: 'a' },
        },
      }),
    },
    {
      name: 'a policy that changes',
      resource: clientCertificateIssuers,
      before: managed({ dn: 'CN=a' }),
      spec: { ...managed({ dn: 'CN=a', duration: '1h' }), policy: { namespaces: { names: ['a'] } } },
    },
  ]);

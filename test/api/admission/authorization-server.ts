/** AuthorizationServer: what the API server has to refuse, and what it has to accept. */
import { authorizationServers } from '../../../src/api/resources.ts';
import { type AcceptedCase, of, oneSubject, type RefusedCase, type Spec } from './case.ts';

const server = (more: Spec = {}): Spec => ({
  issuer: 'https://as.example.test',
  dynamicRegistration: {},
  ...more,
});
const registering = (dynamicRegistration: Spec): Spec => server({ dynamicRegistration });
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

const oneDriver = /Write exactly one of dynamicRegistration and keycloak/;

export const refused = of<RefusedCase>(authorizationServers, [
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
    name: 'a way to compare CAs that is none',
    spec: realm({ keycloak: keycloak({ caSubject: 'Never' }) }),
    field: 'spec.keycloak.caSubject',
    says: /Unsupported value: "Never": supported values: "UntilChanged", "Always"/,
  },
  {
    name: 'a burst without end',
    spec: server({ rateLimit: { burst: 10_001 } }),
    field: 'spec.rateLimit.burst',
    says: /less than or equal to 10000/,
  },
]);

export const accepted = of<AcceptedCase>(authorizationServers, [
  {
    name: 'everything of a dynamic registration',
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
    before: server({ trustBundle: { namespace: 'identity' } }),
    spec: server({
      trustBundle: { namespace: 'sso' },
      clients: { namespaces: { selector: {} } },
      mtlsEndpoints: { tokenEndpoint: 'https://mtls.example.test/token' },
    }),
  },
  {
    name: 'another way to Keycloak, and another credential there',
    before: realm(),
    spec: realm({
      keycloak: {
        clientId: 'operator',
        adminURL: 'https://admin.example.test/auth',
        clientCertificateSecretRef: { name: 'a' },
      },
    }),
  },
]);

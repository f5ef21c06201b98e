/** OAuthClient: what the API server has to refuse, and what it has to accept. */
import { oauthClients } from '../../../src/api/resources.ts';
import { type AcceptedCase, of, oneSubject, type RefusedCase, sizes, type Spec } from './case.ts';

const client = (more: Spec = {}): Spec => ({ authorizationServerRef: { name: 'corporate' }, ...more });
const certificate = (more: Spec): Spec => client({ certificate: more });

const secondClient =
  /is immutable, also against adding or removing it\..* Create a second OAuthClient, switch .* delete this one/s;
const shorter =
  /renewBefore must be shorter than duration \(720h where it is not set\); leave it out for a third of it/;
const dn = { dn: 'CN=batch,O=payments' };

export const refused = of<RefusedCase>(oauthClients, [
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
]);

export const accepted = of<AcceptedCase>(oauthClients, [
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
]);

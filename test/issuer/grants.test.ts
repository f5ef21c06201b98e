import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientCertificateIssuerSpec } from '../../src/api/client-certificate-issuer.ts';
import { type IssuerRequest, issuerViolations } from '../../src/issuer/grants.ts';
import { issuerObject } from './issuers.ts';

const hours = (count: number) => count * 3_600_000;
const everybody = { selector: {} };
const request: IssuerRequest = {
  namespace: { name: 'payments', labels: {} },
  durationMs: hours(720),
  keyAlgorithm: 'ECDSA',
  method: 'tls_client_auth',
};
const reasons = (spec: ClientCertificateIssuerSpec, changes: Partial<IssuerRequest> = {}) =>
  issuerViolations(issuerObject('corporate', spec), { ...request, ...changes }).map(({ reason }) => reason);
const ca = { managed: {} };

test('grants nobody anything by default', () => {
  assert.deepEqual(reasons({ ca }), ['IssuerNotGranted']);
  assert.deepEqual(reasons({ ca, policy: {} }), ['IssuerNotGranted']);
  assert.deepEqual(reasons({ ca, policy: { namespaces: { names: ['orders'] } } }), ['IssuerNotGranted']);
});

test('a namespace that is not granted learns that alone', () => {
  const policy = { namespaces: { names: ['orders'] }, maxDuration: '1h', privateKeyAlgorithms: ['RSA' as const] };
  assert.deepEqual(reasons({ ca, policy }, { method: 'self_signed_tls_client_auth' }), ['IssuerNotGranted']);
});

test('grants what the policy says', () => {
  assert.deepEqual(reasons({ ca, policy: { namespaces: everybody } }), []);
  assert.deepEqual(reasons({ ca, policy: { namespaces: { names: ['payments'] } } }), []);
  assert.deepEqual(
    reasons({ selfSigned: {}, policy: { namespaces: everybody } }, { method: 'self_signed_tls_client_auth' }),
    [],
  );
});

test('caps the life of a certificate, at 2160h where nothing is written', () => {
  const policy = { namespaces: everybody };
  assert.deepEqual(reasons({ ca, policy }, { durationMs: hours(2160) }), []);
  assert.deepEqual(reasons({ ca, policy }, { durationMs: hours(2160) + 1000 }), ['DurationNotGranted']);
  const [violation] = issuerViolations(
    issuerObject('corporate', { ca, policy: { ...policy, maxDuration: '24h' } }),
    request,
  );
  assert.equal(violation?.reason, 'DurationNotGranted');
  assert.match(violation.message, /at most 24h, not 720h/);
});

test('says which kind of issuer a method needs', () => {
  const policy = { namespaces: everybody };
  const [mismatch] = issuerViolations(issuerObject('corporate', { selfSigned: {}, policy }), request);
  assert.equal(mismatch?.reason, 'IssuerMethodMismatch');
  assert.match(mismatch.message, /^tls_client_auth needs a ClientCertificateIssuer with ca,/);
  const [other] = issuerViolations(issuerObject('corporate', { ca, policy }), {
    ...request,
    method: 'self_signed_tls_client_auth',
  });
  assert.equal(other?.reason, 'IssuerMethodMismatch');
  assert.match(other.message, /^self_signed_tls_client_auth needs a ClientCertificateIssuer with selfSigned,/);
});

test('allows the key algorithms that are named, or all', () => {
  const policy = { namespaces: everybody, privateKeyAlgorithms: ['RSA' as const] };
  assert.deepEqual(reasons({ ca, policy }), ['KeyAlgorithmNotGranted']);
  assert.deepEqual(reasons({ ca, policy }, { keyAlgorithm: 'RSA' }), []);
  assert.deepEqual(reasons({ ca, policy: { ...policy, privateKeyAlgorithms: [] } }), ['KeyAlgorithmNotGranted']);
});

test('reports everything that is wrong at once', () => {
  const policy = { namespaces: everybody, maxDuration: '1h', privateKeyAlgorithms: ['RSA' as const] };
  assert.deepEqual(reasons({ selfSigned: {}, policy }), [
    'IssuerMethodMismatch',
    'DurationNotGranted',
    'KeyAlgorithmNotGranted',
  ]);
});

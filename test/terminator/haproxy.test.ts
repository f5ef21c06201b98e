import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientCertificates } from '../../src/terminator/driver.ts';
import { haproxy } from '../../src/terminator/drivers/haproxy.ts';

const bundle = { namespace: 'payments', name: 'certbound-trust-1' };
const prefix = 'haproxy-ingress.github.io';
const rendered = (mode: ClientCertificates) =>
  haproxy.render({ bundle, frontend: { namespace: 'payments', name: 'api', settings: {} }, mode, depth: 3 }).settings;

test('four annotations, in haproxy-ingress’ words', () => {
  assert.deepEqual(rendered('required'), {
    [`${prefix}/auth-tls-secret`]: 'payments/certbound-trust-1',
    [`${prefix}/auth-tls-verify-client`]: 'on',
    [`${prefix}/auth-tls-cert-header`]: 'true',
    [`${prefix}/auth-tls-strict`]: 'true',
  });
  assert.equal(rendered('optional')[`${prefix}/auth-tls-verify-client`], 'optional');
  assert.equal(rendered('request')[`${prefix}/auth-tls-verify-client`], 'optional_no_ca');
});

test('a Secret is named by namespace and name, or not at all; a file is no Secret', () => {
  const named = (value: string) => haproxy.bundleOf({ [`${prefix}/auth-tls-secret`]: value });
  for (const none of ['', 'x', '/x', 'x/', 'a/b/c', 'file:///ca.pem']) assert.equal(named(none), undefined, none);
  assert.deepEqual(named('a/b'), { namespace: 'a', name: 'b' });
  assert.deepEqual(named('secret://a/b'), { namespace: 'a', name: 'b' });
});

test('passed through, TLS ends at the backend: no header is replaced', () => {
  assert.equal(haproxy.overwritesHeaders({ [`${prefix}/ssl-passthrough`]: 'true' }), false);
  // The first prefix that says anything goes before the older one.
  const both = { [`${prefix}/ssl-redirect`]: 'true', 'ingress.kubernetes.io/ssl-redirect': 'false' };
  assert.equal(haproxy.hazard(both), undefined);
});

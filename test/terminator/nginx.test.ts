import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientCertificates } from '../../src/terminator/driver.ts';
import { nginx } from '../../src/terminator/drivers/nginx.ts';
import { bundlesNamedBy, driverFor } from '../../src/terminator/registry.ts';

const bundle = { namespace: 'payments', name: 'certbound-trust-1' };
const frontend = { namespace: 'payments', name: 'api', settings: {} };
const prefix = 'nginx.ingress.kubernetes.io';

const verifyClient = (mode: ClientCertificates) =>
  nginx.render({ bundle, frontend, mode, depth: 1 }).settings[`${prefix}/auth-tls-verify-client`];

test('every mode in nginx’s words', () => {
  const modes: ClientCertificates[] = ['required', 'optional', 'request'];
  assert.deepEqual(modes.map(verifyClient), ['on', 'optional', 'optional_no_ca']);
});

test('four annotations, all owned, none of which reaches the configuration unquoted', () => {
  const { settings, companions } = nginx.render({ bundle, frontend, mode: 'required', depth: 2 });
  assert.deepEqual(companions, []);
  assert.deepEqual(settings, {
    [`${prefix}/auth-tls-secret`]: 'payments/certbound-trust-1',
    [`${prefix}/auth-tls-verify-client`]: 'on',
    [`${prefix}/auth-tls-verify-depth`]: '2',
    [`${prefix}/auth-tls-pass-certificate-to-upstream`]: 'true',
  });
  assert.deepEqual(Object.keys(settings).toSorted(), nginx.ownedKeys.toSorted());
  assert.doesNotMatch(nginx.ownedKeys.join(), /match-cn|snippet|error-page/);
  assert.ok(nginx.overwritesHeaders(settings));
  assert.deepEqual(nginx.bundleOf(settings), bundle);
});

test('a Secret is named by namespace and name, or not at all', () => {
  const named = (value: string) => nginx.bundleOf({ [`${prefix}/auth-tls-secret`]: value });
  for (const none of ['', 'x', '/x', 'x/', '/', 'a/b/c']) assert.equal(named(none), undefined, none);
  assert.deepEqual(named('a/b'), { namespace: 'a', name: 'b' });
});

test('headers are overwritten only where a CA is named, asked for, and the certificate passed on', () => {
  const { settings } = nginx.render({ bundle, frontend, mode: 'optional', depth: 1 });
  for (const change of [
    { [`${prefix}/auth-tls-secret`]: '' },
    { [`${prefix}/auth-tls-verify-client`]: 'off' },
    { [`${prefix}/auth-tls-pass-certificate-to-upstream`]: 'yes' },
  ]) {
    assert.equal(nginx.overwritesHeaders({ ...settings, ...change }), false);
  }
  assert.equal(nginx.overwritesHeaders({}), false);
});

test('a Secret is named by namespace and name, or not at all', () => {
  for (const value of ['', 'x', '/x', 'a/b/c'])
    assert.deepEqual(bundlesNamedBy({ [`${prefix}/auth-tls-secret`]: value }), []);
  assert.deepEqual(bundlesNamedBy({ [`${prefix}/auth-tls-secret`]: 'a/b' }), ['a/b']);
});

test('the class controller decides on the driver, exactly', () => {
  assert.equal(driverFor('k8s.io/ingress-nginx'), nginx);
  for (const other of ['', 'nginx.org/ingress-controller', 'k8s.io/ingress-nginx2'])
    assert.equal(driverFor(other), undefined);
});

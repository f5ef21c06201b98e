import assert from 'node:assert/strict';
import { test } from 'node:test';
import { projectCompanion } from '../../src/terminator/companion.ts';
import { clientTrafficPolicies } from '../../src/terminator/drivers/envoy-gateway.ts';
import { projectGateway } from '../../src/terminator/frontends/gateway.ts';

const validation = 'spec.tls.frontend.default.validation';
const metadata = { namespace: 'identity', name: 'mtls', uid: '1', resourceVersion: '2' };
const refs = [{ group: '', kind: 'ConfigMap', name: 'cas', namespace: 'identity' }];
const owned = (...leaves: string[]) => ({
  'f:spec': {
    'f:tls': {
      'f:frontend': { 'f:default': { 'f:validation': Object.fromEntries(leaves.map((leaf) => [leaf, {}])) } },
    },
  },
});

test('a Gateway decides for all its listeners and for no other Gateway’s', () => {
  const { hosts, proofHosts, hostless, tlsHosts, className, backends } = projectGateway({
    metadata,
    spec: {
      gatewayClassName: 'envoy',
      listeners: [
        { name: 'a', protocol: 'HTTPS', hostname: 'mtls.as.example.test' },
        { name: 'b', protocol: 'HTTPS' },
        { name: 'c', protocol: 'HTTP', hostname: 'plain.example.test' },
        { name: 'd', protocol: 'HTTPS', hostname: '*.AS.example.test', port: 8443 },
        { name: 'e', protocol: 'HTTPS', hostname: 'mtls.as.example.test', port: 8443 },
      ],
    },
  });
  assert.deepEqual({ hosts, hostless, tlsHosts }, { hosts: ['identity/mtls'], hostless: false, tlsHosts: hosts });
  assert.deepEqual([className, backends], ['envoy', []]);
  // It is asked as a client would: by the names of its listeners.
  const names = ['mtls.as.example.test', '*', '*.as.example.test'];
  assert.deepEqual(
    proofHosts,
    names.map((name) => `identity/mtls/${name}`),
  );
});

test('without an HTTPS listener there is nobody to ask for a certificate', () => {
  for (const listeners of [[], [{ protocol: 'HTTP' }, { protocol: 'TLS' }]]) {
    assert.deepEqual(projectGateway({ metadata, spec: { gatewayClassName: 'envoy', listeners } }).tlsHosts, []);
  }
  assert.deepEqual(projectGateway({ metadata }).tlsHosts, []);
});

test('its settings are leaves of the spec, each with its owners', () => {
  const projected = projectGateway({
    metadata: {
      ...metadata,
      managedFields: [
        { manager: 'certbound-terminator', operation: 'Apply', fieldsV1: owned('f:caCertificateRefs') },
        { manager: 'argocd', operation: 'Apply', fieldsV1: owned('f:mode') },
      ],
    },
    spec: {
      gatewayClassName: 'envoy',
      listeners: [
        { protocol: 'HTTPS', port: 443 },
        { protocol: 'HTTP', port: 80 },
      ],
      tls: {
        frontend: {
          default: { validation: { mode: 'AllowInsecureFallback', caCertificateRefs: refs } },
          perPort: [{ tls: {}, port: 443 }],
        },
        backend: { clientCertificateRef: { name: 'not-ours' } },
      },
    },
  });
  assert.deepEqual(projected.settings, {
    [`${validation}.caCertificateRefs`]: JSON.stringify(refs),
    [`${validation}.mode`]: '"AllowInsecureFallback"',
    'spec.tls.frontend.perPort': '[{"port":443,"tls":{}}]',
    'spec.listeners.httpsPorts': '[443]',
  });
  assert.deepEqual(projected.ownKeys, [`${validation}.caCertificateRefs`]);
  assert.deepEqual(projected.otherOwners, { [`${validation}.mode`]: ['argocd'] });
});

test('a policy that gives way to another is not in effect, on some listeners or on all', () => {
  const project = projectCompanion(clientTrafficPolicies);
  const policy = (...conditions: { type: string; status: string; observedGeneration?: number }[]) =>
    project({
      metadata: { ...metadata, generation: 2, labels: { 'certbound.dev/role': 'terminator' } },
      spec: {},
      status: { ancestors: [{ conditions: conditions.map((each) => ({ message: each.type, ...each })) }] },
    })?.rejected;
  const accepted = { type: 'Accepted', status: 'True' };
  assert.equal(policy(), undefined);
  assert.equal(policy(accepted), undefined);
  assert.equal(policy({ type: 'Accepted', status: 'False' }), 'Accepted');
  assert.equal(policy(accepted, { type: 'Overridden', status: 'True' }), 'Overridden');
  assert.equal(policy(accepted, { type: 'Overridden', status: 'False' }), undefined);
  assert.equal(
    policy({ type: 'Accepted', status: 'False', observedGeneration: 1 }),
    undefined,
    'of what it was before',
  );
});

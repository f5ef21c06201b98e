import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientCertificates, Rendering } from '../../src/terminator/driver.ts';
import { envoyGateway } from '../../src/terminator/drivers/envoy-gateway.ts';
import { gatewayApi } from '../../src/terminator/drivers/gateway-api.ts';
import { canonicalJson } from '../../src/terminator/frontends/settings.ts';

const bundle = { namespace: 'identity', name: 'certbound-trust-1' };
const frontend = { namespace: 'identity', name: 'mtls', settings: {} };
const rendering = (mode: ClientCertificates): Rendering => ({ bundle, frontend, mode, depth: 1 });
const validation = 'spec.tls.frontend.default.validation';

test('the Gateway verifies strictly, whatever is asked for: only the policy relaxes it', () => {
  const expected = {
    [`${validation}.caCertificateRefs`]:
      '[{"group":"","kind":"ConfigMap","name":"certbound-trust-1","namespace":"identity"}]',
    [`${validation}.mode`]: '"AllowValidOnly"',
  };
  for (const driver of [gatewayApi, envoyGateway]) {
    for (const mode of ['required', 'optional', 'request'] as const) {
      assert.deepEqual(driver.render(rendering(mode)).settings, expected);
    }
    assert.deepEqual(driver.ownedKeys.toSorted(), Object.keys(expected).toSorted());
    assert.deepEqual(driver.bundleOf(expected), bundle);
  }
});

test('Envoy Gateway’s policy: every mode in its words, the certificate forwarded, clients’ own copies replaced', () => {
  const specs = (['required', 'optional', 'request'] as const).map(
    (mode) => envoyGateway.render(rendering(mode)).companions.map(({ spec }) => spec)[0],
  );
  assert.deepEqual(
    specs,
    ['RequireAndVerify', 'VerifyIfGiven', 'Request'].map((mode) => ({
      targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: 'mtls' }],
      headers: { xForwardedClientCert: { mode: 'SanitizeSet', certDetailsToAdd: ['Cert'] } },
      tls: {
        clientValidation: { mode, caCertificateRefs: [{ group: '', kind: 'ConfigMap', name: 'certbound-trust-1' }] },
      },
    })),
  );
});

test('the policy has one name for a Gateway, and another for every other', () => {
  const nameFor = (ref: { namespace: string; name: string }) =>
    envoyGateway.render({ ...rendering('required'), frontend: { ...ref, settings: {} } }).companions[0]?.name;
  const name = nameFor({ namespace: 'a', name: 'b' });
  assert.match(name ?? '', /^certbound-[0-9a-f]{16}$/);
  assert.equal(nameFor({ namespace: 'a', name: 'b' }), name);
  assert.notEqual(nameFor({ namespace: 'a', name: 'c' }), name);
  assert.notEqual(nameFor({ namespace: 'c', name: 'b' }), name);
});

test('what a port has of its own is a hazard where it replaces ours: not beside the policy, which holds on every port', () => {
  const { settings } = gatewayApi.render(rendering('required'));
  const hazard = (perPort: readonly object[], httpsPorts = [443]) =>
    gatewayApi.hazard({
      ...settings,
      'spec.tls.frontend.perPort': canonicalJson(perPort),
      'spec.listeners.httpsPorts': canonicalJson(httpsPorts),
    });
  assert.equal(gatewayApi.hazard(settings), undefined);
  const open = { port: 443, tls: {} };
  const ours = { mode: 'AllowValidOnly', caCertificateRefs: [{ group: '', kind: 'ConfigMap', ...bundle }] };
  assert.match(hazard([open])?.message ?? '', /perPort decides for port 443 /);
  for (const own of [
    { ...ours, mode: 'AllowInsecureFallback' },
    { ...ours, caCertificateRefs: [{ group: '', kind: 'ConfigMap', ...bundle, name: 'theirs' }] },
    {},
  ])
    assert.equal(hazard([{ port: 443, tls: { validation: own } }])?.reason, 'VerificationOverridden');
  assert.equal(hazard([{ port: 443, tls: { validation: ours } }]), undefined, 'equal to ours');
  assert.equal(hazard([{ port: 8443, tls: {} }]), undefined, 'no listener has that port');
  assert.match(hazard([open, { port: 8443, tls: {} }], [443, 8443])?.message ?? '', /port 443, 8443 /);
  assert.equal(hazard([{ port: '443' }])?.reason, 'VerificationOverridden', 'what cannot be read');
  assert.equal(envoyGateway.hazard({ 'spec.tls.frontend.perPort': canonicalJson([open]) }), undefined);
});

test('only one ConfigMap is a bundle of ours', () => {
  const refs = (...names: { kind: string; name: string }[]) => ({
    [`${validation}.caCertificateRefs`]: JSON.stringify(names.map((ref) => ({ group: '', namespace: 'a', ...ref }))),
  });
  const [own, other] = [
    { kind: 'ConfigMap', name: 'b' },
    { kind: 'Secret', name: 'b' },
  ];
  assert.deepEqual(gatewayApi.bundleOf(refs(own)), { namespace: 'a', name: 'b' });
  for (const none of [{}, refs(), refs(other), refs(own, own)]) assert.equal(gatewayApi.bundleOf(none), undefined);
});

test('the class decides on the driver: no product that takes the field and does not verify', () => {
  const [envoy, nginx] = [
    'gateway.envoyproxy.io/gatewayclass-controller',
    'gateway.nginx.org/nginx-gateway-controller',
  ];
  assert.deepEqual([envoyGateway.detect(envoy), gatewayApi.detect(envoy)], [true, false]);
  assert.deepEqual([envoyGateway.detect(nginx), gatewayApi.detect(nginx)], [false, true]);
  for (const other of [
    '',
    'istio.io/gateway-controller',
    'traefik.io/gateway-controller',
    'io.cilium/gateway-controller',
  ])
    assert.deepEqual([envoyGateway.detect(other), gatewayApi.detect(other)], [false, false]);
});

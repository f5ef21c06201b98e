import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contour, CONTOUR } from '../../src/terminator/drivers/contour.ts';
import type { ClientCertificates } from '../../src/terminator/driver.ts';

const bundle = { namespace: 'payments', name: 'certbound-trust-1' };
const tls = 'spec.virtualhost.tls';

const render = (mode: ClientCertificates) =>
  contour.render({ bundle, frontend: { namespace: 'payments', name: 'api', settings: {} }, mode, depth: 2 });

test('every mode says both what is required and what is verified, so that nobody can loosen it without a conflict', () => {
  const common = { [`${tls}.clientValidation.forwardClientCertificate.cert`]: 'true' };
  const modes: Record<ClientCertificates, Record<string, string>> = {
    required: {
      skipClientCertValidation: 'false',
      optionalClientCertificate: 'false',
      caSecret: '"payments/certbound-trust-1"',
    },
    optional: {
      skipClientCertValidation: 'false',
      optionalClientCertificate: 'true',
      caSecret: '"payments/certbound-trust-1"',
    },
    request: { skipClientCertValidation: 'true', optionalClientCertificate: 'true' },
  };
  for (const mode of ['required', 'optional', 'request'] as const) {
    const { settings, companions } = render(mode);
    const expected = Object.entries(modes[mode]).map(([key, value]) => [`${tls}.clientValidation.${key}`, value]);
    assert.deepEqual(settings, { ...common, ...Object.fromEntries(expected) });
    assert.deepEqual(companions, []);
    for (const key of Object.keys(settings)) assert.ok(contour.ownedKeys.includes(key), key);
  }
  assert.deepEqual(Object.keys(render('required').settings).toSorted(), contour.ownedKeys.toSorted());
});

test('owners are told of what undoes client certificates, and of nothing else', () => {
  const { settings } = render('required');
  assert.equal(contour.hazard({ ...settings, 'spec.routes.permitInsecure': 'false' }), undefined);
  assert.match(
    contour.hazard({ ...settings, 'spec.routes.permitInsecure': 'true' })?.message ?? '',
    /^spec\.routes\.permitInsecure /,
  );
  const missing = (more: Record<string, string>) =>
    contour.missing?.({ settings: { ...settings, ...more }, classAnnotations: {} });
  assert.equal(missing({ [`${tls}.enableFallbackCertificate`]: 'false' }), undefined);
  assert.match(missing({ [`${tls}.enableFallbackCertificate`]: 'true' }) ?? '', /out of service/);
  assert.match(missing({ 'spec.tcpproxy': '{}' }) ?? '', /no header/);
});

test('it is the driver of HTTPProxies and of no Ingress', () => {
  assert.equal(contour.frontend, 'HTTPProxy');
  assert.ok(contour.detect(CONTOUR));
  for (const other of ['', 'k8s.io/ingress-nginx', 'projectcontour.io/gateway-controller'])
    assert.ok(!contour.detect(other));
});

test('a Secret is named by namespace and name, or not at all', () => {
  const key = `${tls}.clientValidation.caSecret`;
  assert.deepEqual(contour.bundleOf(render('required').settings), bundle);
  for (const named of ['""', '"x"', '"/x"', '"a/"', '"a/b/c"', '7'])
    assert.equal(contour.bundleOf({ [key]: named }), undefined);
  assert.equal(contour.bundleOf(render('request').settings), undefined);
});

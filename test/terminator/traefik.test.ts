import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClientCertificates, Settings } from '../../src/terminator/driver.ts';
import { SAFE_NAMING } from '../../src/api/annotations.ts';
import { traefik } from '../../src/terminator/drivers/traefik.ts';

const prefix = 'traefik.ingress.kubernetes.io';
const OPTIONS = `${prefix}/router.tls.options`;
const MIDDLEWARES = `${prefix}/router.middlewares`;
const name = 'certbound-trust-0123456789abcdef';
const own = `pay-ments-${name}-blank@kubernetescrd,pay-ments-${name}@kubernetescrd`;

const render = (settings: Settings = {}, mode: ClientCertificates = 'required') =>
  traefik.render({
    bundle: { namespace: 'pay-ments', name },
    frontend: { namespace: 'pay-ments', name: 'api', settings },
    mode,
    depth: 2,
  });
const middlewaresWith = (list: string) => render({ [MIDDLEWARES]: list }).settings[MIDDLEWARES];

test('the settings name the companions, and no other setting is ever written', () => {
  const { settings, companions } = render();
  assert.deepEqual(settings, { [OPTIONS]: `pay-ments-${name}@kubernetescrd`, [MIDDLEWARES]: own });
  assert.deepEqual(Object.keys(settings).toSorted(), traefik.ownedKeys.toSorted());
  assert.deepEqual(
    companions.map((companion) => `${companion.resource.kind} ${companion.name}`),
    [`TLSOption ${name}`, `Middleware ${name}-blank`, `Middleware ${name}`],
  );
  for (const companion of companions) {
    assert.ok(traefik.companionKinds.includes(companion.resource));
    assert.ok(companion.name.length <= 63);
  }
});

test('every mode in Traefik’s words; CAs only where they are verified against', () => {
  const clientAuth = (mode: ClientCertificates) => render({}, mode).companions[0]?.spec['clientAuth'];
  assert.deepEqual(clientAuth('required'), { clientAuthType: 'RequireAndVerifyClientCert', secretNames: [name] });
  assert.deepEqual(clientAuth('optional'), { clientAuthType: 'VerifyClientCertIfGiven', secretNames: [name] });
  assert.deepEqual(clientAuth('request'), { clientAuthType: 'RequestClientCert' });
});

test('the owner’s middlewares keep their order, behind ours', () => {
  assert.equal(middlewaresWith('a@file, b-c@kubernetescrd'), `${own},a@file,b-c@kubernetescrd`);
  assert.equal(middlewaresWith(' ,'), own);
});

test('a list that has ours is as good as ours, wherever the owner put them', () => {
  const [blank = '', pass = ''] = own.split(',');
  for (const list of [own, `${own},a@file`, `a@file, ${blank}, b@file, ${pass}`]) {
    assert.equal(middlewaresWith(list), list);
    assert.ok(traefik.overwritesHeaders({ [OPTIONS]: `pay-ments-${name}@kubernetescrd`, [MIDDLEWARES]: list }));
  }
  // Blanked after it was set, the certificate never arrives.
  assert.equal(middlewaresWith(`${pass},${blank},a@file`), `${own},a@file`);
  assert.equal(middlewaresWith(`${pass},a@file`), `${own},a@file`);
});

test('what was ours for another host goes: its objects do', () => {
  const former = own.replaceAll('0123456789abcdef', 'fedcba9876543210');
  assert.equal(middlewaresWith(`${former},a@file`), `${own},a@file`);
  assert.equal(middlewaresWith(`${own},${former},a@file`), `${own},a@file`);
});

test('a client’s headers are overwritten only with both middlewares and the TLSOption', () => {
  const { settings } = render();
  assert.ok(traefik.overwritesHeaders(settings));
  for (const change of [
    { [OPTIONS]: '' },
    { [OPTIONS]: 'pay-ments-other@kubernetescrd' },
    { [MIDDLEWARES]: own.split(',')[1] ?? '' },
    { [MIDDLEWARES]: own.replaceAll('pay-ments', 'others') },
  ]) {
    assert.equal(traefik.overwritesHeaders({ ...settings, ...change }), false);
  }
  assert.equal(traefik.overwritesHeaders({}), false);
});

test('the bundle is known by the TLSOption, which has its name', () => {
  assert.deepEqual(traefik.bundleOf(render().settings), { namespace: 'pay-ments', name });
  for (const options of ['', 'mtls@file', `${name}@kubernetescrd`, `pay-${name}@file`, `pay-${name}0@kubernetescrd`]) {
    assert.equal(traefik.bundleOf({ [OPTIONS]: options }), undefined, options);
  }
});

test('the class controller decides on the driver, exactly', () => {
  assert.ok(traefik.detect('traefik.io/ingress-controller'));
  for (const other of ['', 'traefik.io/ingress-controller2', 'k8s.io/ingress-nginx']) {
    assert.equal(traefik.detect(other), false);
  }
});

test('what serves the host without TLS is a hazard', () => {
  assert.equal(traefik.hazard({ [`${prefix}/router.tls`]: 'false' })?.reason, 'PlainHTTP');
  assert.equal(traefik.hazard({ [`${prefix}/router.tls`]: 'true' }), undefined);
});

test('with safeNaming, as the platform says on the class, the same by other names', () => {
  const { settings, companions } = traefik.render({
    bundle: { namespace: 'pay-ments', name },
    // As they were written before the platform switched it on.
    frontend: { namespace: 'pay-ments', name: 'api', settings: { [MIDDLEWARES]: `${own},a@file` } },
    mode: 'required',
    depth: 1,
    classAnnotations: { [SAFE_NAMING]: 'true' },
  });
  assert.deepEqual(settings, {
    [OPTIONS]: `pay-ments_${name}@kubernetescrd`,
    [MIDDLEWARES]: `pay-ments_${name}-blank@kubernetescrd,pay-ments_${name}@kubernetescrd,a@file`,
  });
  assert.deepEqual(companions, render().companions);
  assert.deepEqual(traefik.bundleOf(settings), { namespace: 'pay-ments', name });
  assert.ok(traefik.overwritesHeaders(settings));
  assert.equal(traefik.overwritesHeaders({ ...settings, [MIDDLEWARES]: own }), false, 'by halves');
});

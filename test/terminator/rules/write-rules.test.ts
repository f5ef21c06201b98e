/** Bundles and annotations: in which order they are written and taken away, and what of others stops that. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bundleName } from '../../../src/terminator/bundle.ts';
import { bundleContent, writtenOut } from '../../../src/terminator/desired.ts';
import { frontendTarget, lossWindowMs, objectTarget } from '../../../src/terminator/memory.ts';
import { OperatorError } from '../../../src/errors.ts';
import { FIELD_MANAGER } from '../../../src/terminator/field-managers.ts';
import { caBundle } from '../../../src/x509/bundle.ts';
import { corporateCa, otherCa, SCOPE, settledWorld } from '../world.ts';
import { annotated, bundlePem, eachRow, keys, nextStep, prefix, wanted } from './rows.ts';

describe('what is written next', () => {
  eachRow([
    { title: 'all is well, nothing is there', world: settledWorld, said: [], step: 'writeBundle' },
    { title: 'the bundle is there', world: () => settledWorld().bundle(bundlePem), said: [], step: 'configure' },
    {
      title: 'bundle and annotations are there: silence',
      world: () => settledWorld().bundle(bundlePem).ingress(annotated),
      said: [],
      step: undefined,
    },
    {
      title: 'the same annotations in somebody else’s hand are as good',
      world: () =>
        settledWorld()
          .bundle(bundlePem)
          .ingress({ annotations: wanted, managers: { argocd: keys } }),
      said: [],
      step: undefined,
    },
    {
      title: 'an edited bundle comes before the annotations',
      world: () =>
        settledWorld()
          .bundle(caBundle([corporateCa, otherCa]).pem)
          .ingress(annotated),
      said: [],
      step: 'writeBundle',
    },
    {
      title: 'a bundle with one key too many is an edited bundle',
      world: () =>
        settledWorld()
          .bundle(bundlePem, (secret) => ({
            ...secret,
            data: { 'ca.crt': Buffer.from(bundlePem).toString('base64'), 'ca.crl': '' },
          }))
          .ingress(annotated),
      said: [],
      step: 'writeBundle',
    },
    {
      title: 'opted out: the annotations first',
      world: () =>
        settledWorld()
          .bundle(bundlePem)
          .ingress({ ...annotated, server: '-' }),
      said: [],
      step: 'withdraw',
    },
    {
      title: 'mode off is an opt-out',
      world: () =>
        settledWorld()
          .bundle(bundlePem)
          .ingress({ ...annotated, mode: 'off' }),
      said: [],
      step: 'withdraw',
    },
    {
      title: 'opted out, and nothing names the bundle: it goes',
      world: () => settledWorld().bundle(bundlePem).ingress({ server: '-' }),
      said: ['(not in this scope)'],
      step: 'deleteBundle',
    },
    {
      title: 'opted out, but somebody’s annotation names the bundle: it stays',
      world: () => settledWorld().bundle(bundlePem).ingress({ server: '-', annotations: wanted }),
      said: ['(not in this scope)'],
      step: undefined,
    },
    {
      title: 'an Ingress that is being deleted is left alone',
      world: () => settledWorld().ingress({ deleting: true }),
      said: [],
      step: undefined,
    },
    {
      title: 'BundleNameTaken: a Secret of another type',
      world: () => settledWorld().bundle(bundlePem, (secret) => ({ ...secret, type: 'kubernetes.io/tls' })),
      said: ['BundleNameTaken!'],
      step: undefined,
    },
    {
      title: 'ConfigurationConflict: another manager has another value; the bundle is written',
      world: () =>
        settledWorld().ingress({
          annotations: { ...wanted, [`${prefix}/auth-tls-verify-client`]: 'off' },
          managers: { [FIELD_MANAGER]: keys.slice(0, 1), argocd: [`${prefix}/auth-tls-verify-client`] },
        }),
      said: ['ConfigurationConflict!'],
      step: 'writeBundle',
    },
    {
      title: 'ConfigurationConflict: then it rests',
      world: () =>
        settledWorld()
          .bundle(bundlePem)
          .ingress({ annotations: { [`${prefix}/auth-tls-secret`]: 'payments/mine' } }),
      said: ['ConfigurationConflict!'],
      step: undefined,
    },
    {
      title: 'no conflict over a value that is ours alone',
      world: () =>
        settledWorld()
          .bundle(bundlePem)
          .ingress({
            annotations: { ...wanted, [`${prefix}/auth-tls-verify-client`]: 'optional' },
            managers: { [FIELD_MANAGER]: keys },
          }),
      said: [],
      step: 'configure',
    },
  ]);
});

test('a problem of one Ingress leaves the others of its host to be acted on', () => {
  const world = settledWorld()
    .server({ namespaces: ['payments', 'orders'] })
    .ingress({ annotations: { [`${prefix}/auth-tls-secret`]: 'payments/mine' } })
    .ingress({ namespace: 'orders' })
    .bundle(bundlePem);
  const { findings, next } = world.plan();
  assert.deepEqual(
    findings.map(({ reason }) => reason),
    ['HostShared', 'ConfigurationConflict', 'TrustBundlePending'],
  );
  assert.ok(next?.name === 'writeBundle' && next.namespace === 'orders');
});

test('ConfigurationReverted: three losses in ten minutes, and not again before the first of them is past', () => {
  const world = settledWorld().bundle(bundlePem);
  world.memory.applied('payments/api', writtenOut(wanted));
  for (const version of ['1', '2', '2', '3']) {
    world.now += 1000;
    assert.equal(nextStep(world), 'configure');
    world.memory.lost('payments/api', writtenOut(wanted), version, world.now);
  }
  assert.deepEqual(world.said(), ['ConfigurationReverted!']);
  const { next, at } = world.plan();
  assert.equal(next, undefined);
  assert.ok(at !== undefined);
  world.now = at;
  assert.equal(nextStep(world), 'configure');
});

test('BundleReverted: put right at once three times, then after pauses; what is new waits for nobody', () => {
  const world = settledWorld().ingress({ annotations: wanted }).bundle('damaged');
  const target = objectTarget('Secret', 'payments', bundleName(SCOPE));
  const write = () => {
    const { next } = world.plan();
    assert.ok(next?.name === 'writeBundle');
    world.memory.rewrote(target, bundleContent(next.wanted), world.now);
  };
  for (let count = 0; count < 4; count++) write();
  assert.deepEqual(world.said(), ['BundleReverted!']);
  assert.equal(world.plan().next, undefined);
  assert.equal(world.plan().at, world.now + 5_000);
  world.now += 5_000;
  assert.deepEqual(world.said(), []);
  write();
  assert.deepEqual(world.said(), ['BundleReverted!']);
  world.issuer('corporate-clients', otherCa);
  assert.equal(nextStep(world), 'writeBundle');
});

test('losses of other annotations than those last applied do not count', () => {
  const world = settledWorld().bundle(bundlePem);
  world.memory.applied('payments/api', 'other');
  for (const version of ['1', '2', '3']) world.memory.lost('payments/api', writtenOut(wanted), version, world.now);
  assert.deepEqual(world.said(), []);
  assert.ok(lossWindowMs > 0);
});

test('a refused write waits for its time, or for the Ingress to change', () => {
  const world = settledWorld().bundle(bundlePem);
  const version = world.ingresses.get('payments', 'api')?.resourceVersion ?? '';
  const refusal = new OperatorError('KubernetesForbidden', 'You may not.');
  world.memory.refuse(frontendTarget('payments/api'), version, refusal, world.now);
  assert.deepEqual(world.said(), ['KubernetesForbidden!']);
  const { next, at } = world.plan();
  assert.equal(next, undefined);
  assert.equal(at, world.now + 1000);
  world.ingress();
  assert.equal(nextStep(world), 'configure');
});

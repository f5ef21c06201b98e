import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namespaceGranted } from '../../src/api/namespace-grant.ts';

const payments = { name: 'payments', labels: { team: 'money', stage: 'production' } };

test('grants nothing where nothing is written', () => {
  for (const grant of [undefined, {}, { names: [] }]) assert.equal(namespaceGranted(grant, payments), false);
});

test('grants by name, exactly', () => {
  assert.equal(namespaceGranted({ names: ['orders', 'payments'] }, payments), true);
  for (const names of [['payment'], ['payments-2'], ['*'], ['Payments']]) {
    assert.equal(namespaceGranted({ names }, payments), false, names.join());
  }
});

test('grants by all labels of the selector', () => {
  assert.equal(namespaceGranted({ selector: { matchLabels: { team: 'money' } } }, payments), true);
  assert.equal(namespaceGranted({ selector: { matchLabels: { team: 'money', stage: 'production' } } }, payments), true);
  assert.equal(namespaceGranted({ selector: { matchLabels: { team: 'money', stage: 'test' } } }, payments), false);
  assert.equal(namespaceGranted({ selector: { matchLabels: { absent: '' } } }, payments), false);
});

test('the empty selector grants every namespace', () => {
  assert.equal(namespaceGranted({ selector: {} }, payments), true);
  assert.equal(namespaceGranted({ selector: { matchLabels: {} } }, payments), true);
});

test('name or selector suffices', () => {
  const selector = { matchLabels: { team: 'nobody' } };
  assert.equal(namespaceGranted({ names: ['payments'], selector }, payments), true);
  assert.equal(namespaceGranted({ names: ['orders'], selector }, payments), false);
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FreeNames } from '../../src/oauthclient/free-names.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { now } from './view.ts';

test('a name that was free is taken to be so once, and for a moment', () => {
  const clock = new FakeClock(now);
  const names = new FreeNames(clock);
  assert.ok(!names.take('uid-1 batch-oauth'), 'nobody looked');
  names.saw('uid-1 batch-oauth');
  assert.ok(!names.take('uid-2 batch-oauth'));
  assert.ok(names.take('uid-1 batch-oauth'));
  assert.ok(!names.take('uid-1 batch-oauth'), 'the next step looks itself');
  names.saw('uid-1 batch-oauth');
  clock.advance(1_000);
  assert.ok(!names.take('uid-1 batch-oauth'), 'that was long ago');
});

test('of very many the first are forgotten', () => {
  const names = new FreeNames(new FakeClock(now));
  for (let i = 0; i <= 1_000; i++) names.saw(`uid-${i} name`);
  assert.ok(!names.take('uid-0 name'));
  assert.ok(names.take('uid-1000 name'));
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LATE, Tally } from './tally.ts';

const refused = (reason: string) => ({ reason, detail: 'when and where' });

test('calls and refusals are counted by who called', () => {
  const tally = new Tally();
  tally.add('contract', { endpoint: 'token' });
  tally.add('contract', { endpoint: 'API', refusal: refused('400') });
  tally.add('old token', { endpoint: 'API', refusal: refused('401 invalid_token') });
  tally.addResent();
  tally.add('old token', { endpoint: 'API', refusal: LATE });
  assert.deepEqual([tally.calls(), tally.calls('contract'), tally.calls('read-once')], [3, 2, 0]);
  assert.deepEqual([tally.refused(), tally.refused('contract'), tally.refused('read-once')], [2, 1, 0]);
  assert.deepEqual([tally.resent, tally.late], [1, 1]);
});

test('it tells of each reason with its number, and the first refusals in full', () => {
  const tally = new Tally();
  for (let i = 0; i < 50; i++) tally.add('read-once', { endpoint: 'token', refusal: refused('401 invalid_client') });
  const lines = tally.lines();
  assert.equal(lines[0], 'calls of read-once, token: 50');
  assert.equal(lines[1], 'REFUSED to read-once, token: 401 invalid_client: 50');
  assert.equal(lines.length, 22);
  assert.match(lines[2] ?? '', /when and where/);
});

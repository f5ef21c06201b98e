import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tally, type Refusal } from './tally.ts';

const refusal = (more: Partial<Refusal> = {}): Refusal => ({
  caller: 'contract',
  endpoint: 'API',
  reason: '400',
  detail: 'where',
  x5tS256: 'published',
  at: 1_000,
  expiresAt: 5_000,
  ...more,
});
const never = () => false;
/** Of the certificate named `drained` the drain ends at 900, of any other never. */
const drainEnd = (x5tS256: string) => (x5tS256 === 'drained' ? 900 : Infinity);

test('calls and refusals are counted by who called', () => {
  const tally = new Tally(drainEnd, never);
  tally.called('contract', 'token');
  tally.called('contract', 'API');
  tally.called('old token', 'API');
  tally.refuse(refusal());
  tally.refuse(refusal({ caller: 'old token' }));
  tally.addResent();
  assert.deepEqual([tally.calls(), tally.calls('contract'), tally.calls('read-once')], [3, 2, 0]);
  assert.deepEqual([tally.refused(), tally.refused('contract'), tally.refused('read-once')], [2, 1, 0]);
  assert.deepEqual([tally.resent, tally.late], [1, 0]);
});

test('what was no longer good when the answer came is told apart, however late that is known', () => {
  let end = Infinity;
  const tally = new Tally((x5tS256) => (x5tS256 === 'late news' ? end : drainEnd(x5tS256)), never);
  tally.refuse(refusal({ x5tS256: 'drained', at: 899 }));
  tally.refuse(refusal({ x5tS256: 'drained', at: 900 }));
  tally.refuse(refusal({ expiresAt: 1_000 }));
  tally.refuse(refusal({ x5tS256: 'late news' }));
  assert.deepEqual([tally.refused(), tally.late], [2, 2]);
  end = 500;
  assert.deepEqual([tally.refused(), tally.late], [1, 3]);
});

test('it tells of each reason with its number, and the first refusals in full', () => {
  const tally = new Tally(drainEnd, never);
  for (let i = 0; i < 50; i++) {
    tally.called('read-once', 'token');
    tally.refuse(refusal({ caller: 'read-once', endpoint: 'token', reason: '401 invalid_client' }));
  }
  const lines = tally.lines();
  assert.equal(lines[0], 'calls of read-once, token: 50');
  assert.equal(lines[1], 'REFUSED to read-once, token: 401 invalid_client: 50');
  assert.equal(lines.length, 22);
  assert.match(lines[2] ?? '', /where/);
});

test('what a terminator refused that took longer than the platform says is told apart', () => {
  const tally = new Tally(drainEnd, (at) => at > 1_000 && at < 2_000);
  for (const at of [999, 1_500, 2_000]) tally.refuse(refusal({ at }));
  assert.deepEqual([tally.refused(), tally.overdue, tally.late], [2, 1, 0]);
});

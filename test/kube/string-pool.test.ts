import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { StringPool } from '../../src/kube/string-pool.ts';

test('what is shared is equal to what it was', () => {
  const pool = new StringPool();
  const date = new Date(0);
  const make = () => ({
    list: ['a string that is long enough', 1, null, undefined, { nested: 'a string that is long enough' }],
    short: 'a',
    date,
    map: new Map([['key', 'a string that is long enough']]),
  });
  assert.deepEqual(pool.share(make()), make());
  assert.equal(pool.share('text'), 'text');
  assert.equal(pool.share(undefined), undefined);
});

/** In a process of its own, for only there a garbage collection can be asked for. */
const kept = (share: boolean): number =>
  Number(
    execFileSync(
      process.execPath,
      ['--expose-gc', resolve(import.meta.dirname, 'string-pool-heap.ts'), String(share)],
      { encoding: 'utf8' },
    ),
  );

test('objects that say the same weigh less, and what is unique does not stay', () => {
  const [apart, shared] = [kept(false), kept(true)];
  assert.ok(shared < apart * 0.6, `${shared} bytes against ${apart}`);
});

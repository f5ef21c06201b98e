import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brief, findingsOf, type Row } from './view.ts';

/** Through the whole chain: what a check finds only matters where the checks before it let it speak. */
export function eachRow(rows: readonly Row[]): void {
  for (const [name, observed, found, at] of rows) {
    test(name, () => assert.deepEqual(findingsOf(observed(), at).map(brief), found));
  }
}

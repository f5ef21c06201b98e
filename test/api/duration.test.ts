import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { durationMs, durationString } from '../../src/api/duration.ts';

test('durations are hours, minutes and seconds', () => {
  const table: [string, number][] = [
    ['1s', 1_000],
    ['5m', 300_000],
    ['720h', 2_592_000_000],
    ['1h30m', 5_400_000],
    ['2h0m5s', 7_205_000],
    ['90m', 5_400_000],
    ['0s', 0],
  ];
  for (const [text, milliseconds] of table) assert.equal(durationMs(text), milliseconds, text);
});

test('a duration is written as shortly as it can be', () => {
  const table: [number, string][] = [
    [0, '0s'],
    [499, '0s'],
    [1_499, '1s'],
    [60_000, '1m'],
    [3_599_600, '1h'],
    [5_405_000, '1h30m5s'],
    [2_592_000_000, '720h'],
  ];
  for (const [milliseconds, text] of table) assert.equal(durationString(milliseconds), text);
});

test('what is written is read as the same time', () => {
  fc.assert(
    fc.property(fc.nat(10 * 365 * 24 * 3600), (seconds) => {
      assert.equal(durationMs(durationString(seconds * 1000)), seconds * 1000);
    }),
  );
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from './seeded-random.ts';

const drawn = (seed: number, count = 1_000) => {
  const random = seededRandom(seed);
  return Array.from({ length: count }, random);
};

test('the same seed gives the same numbers, another one others', () => {
  assert.deepEqual(drawn(1), drawn(1));
  assert.notDeepEqual(drawn(1), drawn(2));
});

test('the numbers are in [0, 1), spread over all of it', () => {
  const numbers = drawn(7);
  assert.ok(numbers.every((number) => number >= 0 && number < 1));
  const tenths = new Set(numbers.map((number) => Math.floor(number * 10)));
  assert.equal(tenths.size, 10);
  const average = numbers.reduce((sum, number) => sum + number, 0) / numbers.length;
  assert.ok(Math.abs(average - 0.5) < 0.05, `${average}`);
});

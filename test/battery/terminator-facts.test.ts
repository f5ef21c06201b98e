import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GATHERED, showsFact, tables } from '../servers/support.ts';
import { contradictions } from '../servers/tables.ts';
import { terminatorFacts } from '../servers/terminator-facts.ts';

test('docs/terminators.md says what drivers can be told', async () => {
  const facts = terminatorFacts();
  for (const fact of facts) showsFact(fact);
  if (!GATHERED) assert.deepEqual(await contradictions('terminators', tables.terminators, facts), []);
});

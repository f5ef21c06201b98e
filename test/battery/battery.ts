/** The table of attacks against one real terminator, as tests. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { showsOutcome } from '../servers/support.ts';
import type { Attack } from './attacks/attack.ts';
import { attacks } from './attacks/all.ts';
import { Field } from './field.ts';
import { Outcome } from './outcome.ts';
import { type Product, products } from './product.ts';

/** What an attack came to, in one cell of the document; and what in it needs a remedy. */
async function fight(attack: Attack, field: Field): Promise<{ cell: string; unsafe: readonly string[] }> {
  const outcomes = (await attack.run(field)).filter((outcome) => outcome !== undefined);
  const distinct = [...new Set(outcomes)].toSorted();
  return {
    cell: distinct.length === 0 ? Outcome.notApplicable : distinct.join('; '),
    unsafe: distinct.filter((outcome) => !attack.safe(outcome)),
  };
}

export function battery(product: Product): void {
  describe(`spoofing: ${products[product.name]}`, () => {
    let field: Field;
    before(async () => {
      field = await Field.start(product);
    });
    after(() => field?.stop());

    for (const [id, attack] of Object.entries(attacks)) {
      test(attack.title, async () => {
        const { cell, unsafe } = await fight(attack, field);
        showsOutcome(product.name, id, cell);
        if (attack.remedy === undefined) assert.deepEqual(unsafe, [], cell);
      });
    }
  });
}

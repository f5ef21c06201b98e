/** The table of attacks against one real terminator, as tests. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { showsOutcome, SUPPORT_FILE, tables } from '../servers/support.ts';
import { type Cell, contradictions } from '../servers/tables.ts';
import type { Attack } from './attacks/attack.ts';
import { attacks } from './attacks/all.ts';
import { Field } from './field.ts';
import { Outcome } from './outcome.ts';
import { type Product, products } from './product.ts';

/** Every outcome once. */
async function fight(attack: Attack, field: Field): Promise<string[]> {
  const outcomes = await attack.run(field);
  return [...new Set(outcomes.filter((outcome) => outcome !== undefined))].toSorted();
}

function against(product: Product, judge: (id: string, attack: Attack, outcomes: string[]) => void): void {
  let field: Field;
  before(async () => {
    field = await Field.start(product);
  });
  after(() => field?.stop());
  for (const [id, attack] of Object.entries(attacks)) {
    test(attack.title, async () => judge(id, attack, await fight(attack, field)));
  }
}

function assertSafe({ safe }: Attack, outcomes: readonly string[]): void {
  const unsafe = outcomes.filter((outcome) => !safe(outcome));
  assert.deepEqual(unsafe, [], outcomes.join('; '));
}

export interface Battery {
  product: Product;
  /**
   * The product with the settings that docs/terminators.md asks of the platform, where it asks for some; what it lets by
   * then is what no setting closes.
   */
  hardened?: Product;
}

export function battery({ product, hardened }: Battery): void {
  const title = products[product.name];
  describe(`${title} as it comes`, () => {
    const cells: Cell[] = [];
    against(product, (id, attack, outcomes) => {
      const cell = outcomes.length === 0 ? Outcome.notApplicable : outcomes.join('; ');
      cells.push({ column: product.name, row: id, cell });
      showsOutcome(product.name, id, cell);
      if (attack.remedy === undefined) assertSafe(attack, outcomes);
    });
    // Where cells are gathered, they are compared, or written, when all have run.
    test('docs/terminators.md says so', { skip: process.env[SUPPORT_FILE] !== undefined }, async () => {
      assert.deepEqual(await contradictions('battery', tables.battery, cells), []);
    });
  });
  if (hardened === undefined) return;
  describe(`${title} with the settings of docs/terminators.md`, () => {
    against(hardened, (_id, attack, outcomes) => {
      if (attack.remedy?.by !== 'elsewhere') assertSafe(attack, outcomes);
    });
  });
}

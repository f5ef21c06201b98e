/** The table of cases against one real terminator, as tests; what was seen is a column of docs/terminators.md. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { GATHERED, showsOutcome, showsVersion, tables } from '../servers/support.ts';
import { type Cell, contradictions } from '../servers/tables.ts';
import { type Case, cases } from './cases.ts';
import { Field } from './field.ts';
import { isHarmless, isRefused, Outcome } from './outcome.ts';
import { type Product, products } from './product.ts';

const fulfils: Readonly<Record<Case['expected'], (outcome: string) => boolean>> = {
  harmless: isHarmless,
  refused: isRefused,
  itself: (outcome) => outcome === Outcome.itself,
  'harmless or unread': (outcome) => isHarmless(outcome) || outcome === Outcome.unread,
};

interface Battery {
  product: Product;
  /** The product with the settings that docs/terminators.md asks of the platform, where it asks for some. */
  hardened?: Product;
}

/** All that is not as it should be, but for what the remedy is for. */
function assertExpected({ expected, remedy }: Case, outcomes: readonly string[], remedied: boolean): void {
  const letBy = remedied ? undefined : remedy?.lets;
  const wrong = outcomes.filter((outcome) => !fulfils[expected](outcome) && outcome !== letBy);
  assert.deepEqual(wrong, [], outcomes.join('; '));
}

const textOf = (outcomes: readonly string[]): string =>
  outcomes.length === 0 ? Outcome.notApplicable : outcomes.join('; ');

export function battery({ product, hardened }: Battery): void {
  describe(products[product.name], () => {
    const cells: Cell[] = [];
    let field: Field;
    let hardenedField: Field | undefined;
    before(async () => {
      field = await Field.start(product);
      if (hardened !== undefined) hardenedField = await Field.start(hardened);
      showsVersion(product.name, field.version);
    });
    after(async () => {
      await hardenedField?.stop();
      await field?.stop();
    });
    for (const [row, each] of Object.entries<Case>(cases)) {
      test(each.title, async () => {
        const seen = await field.outcomes(each);
        const then = await hardenedField?.outcomes(each);
        const differs = then !== undefined && textOf(then) !== textOf(seen);
        const cell = differs ? `${textOf(seen)} → ${textOf(then)}` : textOf(seen);
        cells.push({ column: product.name, row, cell });
        showsOutcome(product.name, row, cell);
        assertExpected(each, seen, each.remedy?.by === 'settings' && hardened === undefined);
        if (then !== undefined) assertExpected(each, then, each.remedy?.by === 'settings');
      });
    }
    // Where cells are gathered, they are compared, or written, when all have run.
    test('docs/terminators.md says so', { skip: GATHERED }, async () => {
      assert.deepEqual(await contradictions('battery', tables.battery, cells), []);
    });
  });
}

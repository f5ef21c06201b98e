/** The guide's table of metrics, against what the operator registers. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { exposedMetrics } from './support/exposed-metrics.ts';

const guide = await readFile(new URL('../docs/guide.md', import.meta.url), 'utf8');
const section = /^## Metrics and alerts\n(.*?)^## /ms.exec(guide)?.[1] ?? '';

/** Names with their labels, from the rows of the table. */
const described = [...section.matchAll(/^\| `(certbound_\w+)`[^|]*\| ([^|]*?) *\|/gm)].map(([, name, labels]) => [
  name,
  [...String(labels).matchAll(/`(\w+)`/g)].map(([, label]) => label),
]);
const registered = exposedMetrics()
  .filter(({ name }) => name.startsWith('certbound_'))
  .map(({ name, labelNames }) => [name, labelNames]);

describe('the guide’s table of metrics', () => {
  test('has every one that the operator exposes, and no other, with its labels', () => {
    assert.ok(registered.length > 10);
    assert.deepEqual(Object.fromEntries(described), Object.fromEntries(registered));
    assert.equal(described.length, registered.length);
  });

  test('names every alert, and no other', async () => {
    const alerts = await readFile(new URL('../charts/certbound/alerts.yaml', import.meta.url), 'utf8');
    const named = (text: string, pattern: RegExp) => new Set([...text.matchAll(pattern)].map(([, name]) => name));
    assert.deepEqual(named(section, /`(Certbound[A-Z]\w+)`/g), named(alerts, /- alert: (\w+)/g));
  });
});

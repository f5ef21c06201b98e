/** B7, small: that the load is one, and that nothing of it is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findNginx } from '../../support/nginx-binary.ts';
import { runOnce } from '../measures.ts';

const nginx = await findNginx({ install: true });
const clients = 6;
const rotations = 18;

test(
  'nothing is refused while certificates, CAs and terminators change under load',
  { skip: nginx === undefined && 'there is no nginx' },
  async (t) => {
    const lines: string[] = [];
    const figures = await runOnce('B7', {
      run: 0,
      clients,
      rotations,
      reloadSeconds: 2,
      restSeconds: 0,
      minutes: 0,
      say: (line) => lines.push(line),
    });
    for (const line of lines) t.diagnostic(line);
    const value = (what: string) => figures.find(({ measure }) => measure === `B7, ${clients} clients: ${what}`)?.value;
    assert.equal(value('refused calls'), 0, lines.join('\n'));
    assert.equal(value('rotations'), rotations);
    for (const [what, least] of [
      ['calls, contract', 10 * clients],
      ['calls, read-once', 10 * clients],
      ['calls, old token', clients],
      ['rotations to another CA', 1],
      ['changes of the CA bundle', 2],
      ['reloads of a replica', 4],
    ] as const) {
      assert.ok((value(what) ?? 0) >= least, `${what}: ${value(what)}`);
    }
  },
);

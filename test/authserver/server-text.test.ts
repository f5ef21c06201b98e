import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { quotable, serverSays } from '../../src/authserver/connection/server-text.ts';

describe('text of a server', () => {
  test('is one line of visible characters, and short', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), (text) => {
        const quoted = quotable(text);
        assert.ok(Array.from(quoted).length <= 300);
        assert.ok(!/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u.test(quoted));
      }),
    );
    assert.equal(quotable('a\u202Eb\r\nc\u0000\u001b[31md'), 'a b c [31md');
  });

  test('never repeats a secret that we sent, not even a piece or in another encoding', () => {
    const secret = 'Ab1~Cd2/Ef3+Gh4=Ij5';
    for (const text of [secret, `token ${secret} is bad`, secret.slice(3, 16), encodeURIComponent(secret)]) {
      assert.equal(quotable(text, [secret]), '(withheld: it repeats a secret)');
    }
    assert.equal(quotable('short', [undefined, 'x'.repeat(20)]), 'short');
  });

  test('is quoted only where it is an OAuth error', () => {
    assert.equal(serverSays({ error: 'invalid_client', error_description: 'No.' }), ' It says: invalid_client: No.');
    assert.equal(serverSays({ error: 'invalid_client', error_description: 7 }), ' It says: invalid_client.');
    for (const json of [undefined, null, 'x', [], {}, { error: 7 }, { error: { a: 1 } }])
      assert.equal(serverSays(json), '');
  });
});

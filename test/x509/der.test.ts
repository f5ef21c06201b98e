import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { fromBER, Integer, ObjectIdentifier, OctetString, UTCTime, GeneralizedTime } from 'asn1js';
import * as fc from 'fast-check';
import { integer, octetString, oid, sequence, setOf, time } from '../../src/x509/der.ts';

function read(der: Uint8Array): ReturnType<typeof fromBER>['result'] {
  const { offset, result } = fromBER(der);
  assert.equal(offset, der.byteLength);
  return result;
}

describe('a reader of another author reads what we write', () => {
  test('lengths of every size', () => {
    for (const size of [0, 1, 127, 128, 255, 256, 65_535, 65_536, 1_000_000]) {
      const content = Buffer.alloc(size, 7);
      const result = read(octetString(content));
      assert(result instanceof OctetString);
      assert.deepEqual(Buffer.from(result.valueBlock.valueHexView), content);
    }
  });

  test('integers', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const result = read(integer(value));
        assert(result instanceof Integer);
        assert.equal(result.toBigInt(), BigInt(value));
        assert.deepEqual(Buffer.from(result.toBER()), Buffer.from(integer(value)));
      }),
    );
    assert.equal(Buffer.from(integer(0)).toString('hex'), '020100');
    assert.equal(Buffer.from(integer(128)).toString('hex'), '02020080');
    assert.equal(Buffer.from(integer(Uint8Array.of(0, 0, 0x80))).toString('hex'), '02020080');
  });

  test('object identifiers', () => {
    const arc = fc.nat({ max: 999_999_999 });
    const dotted = fc.oneof(
      fc.tuple(fc.constantFrom(0, 1), fc.nat({ max: 39 }), fc.array(arc, { minLength: 1, maxLength: 10 })),
      fc.tuple(fc.constant(2), arc, fc.array(arc, { minLength: 1, maxLength: 10 })),
    );
    fc.assert(
      fc.property(dotted, ([first, second, rest]) => {
        const text = [first, second, ...rest].join('.');
        const result = read(oid(text));
        assert(result instanceof ObjectIdentifier);
        assert.equal(result.getValue(), text);
      }),
    );
  });

  test('times, in the form that their year wants', () => {
    for (const text of ['2026-03-01T12:00:09.000Z', '2049-12-31T23:59:59.000Z', '2050-01-01T00:00:00.000Z']) {
      const result = read(time(new Date(text)));
      assert.equal(result.constructor, text < '2050' ? UTCTime : GeneralizedTime);
      assert(result instanceof UTCTime || result instanceof GeneralizedTime);
      assert.equal(result.toDate().toISOString(), text);
    }
  });

  test('sets are sorted by encoding', () => {
    const sorted = setOf(integer(1), integer(300), octetString(Buffer.alloc(0)));
    assert.deepEqual(setOf(octetString(Buffer.alloc(0)), integer(300), integer(1)), sorted);
    assert.equal(Buffer.from(sorted).toString('hex'), '31090201010202012c0400');
    assert.equal(Buffer.from(sequence()).toString('hex'), '3000');
  });
});

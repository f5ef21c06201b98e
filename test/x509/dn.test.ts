import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import * as fc from 'fast-check';
import { OperatorError } from '../../src/errors.ts';
import { attributeProblem, attributeType } from '../../src/x509/attribute-type.ts';
import { canonicalDn, formatDn, parseDn, sameDn, type Dn } from '../../src/x509/dn.ts';
import { dnFromDer, dnToDer } from '../../src/x509/dn-name.ts';

/** Any value that the type admits, made of what is hard: specials, spaces at the ends, any Unicode. */
function valueOf(type: string): fc.Arbitrary<string> {
  const known = attributeType(type);
  assert(known !== undefined);
  if (type === 'C') return fc.stringMatching(/^[A-Z]{2}$/);
  const units: fc.Arbitrary<string> =
    known.syntax === 'printable'
      ? fc.constantFrom(...Array.from("abzABZ019 '()+,-./:=?"))
      : known.syntax === 'ia5'
        ? fc.constantFrom(...Array.from('abz019 ,+"\\<>;=#@.-'))
        : fc.oneof(
            fc.constantFrom(...Array.from(' ,+"\\<>;=#'), 'é', 'e\u0301', '名', '😀', '\ufeff', '0a'),
            fc.string({ unit: 'binary', maxLength: 1 }),
          );
  return fc
    .array(units, { minLength: 1, maxLength: known.maximum })
    .map((characters) => Array.from(characters.join('')).slice(0, known.maximum).join(''))
    .filter((value) => attributeProblem(known, value) === undefined);
}

const TYPES = [
  'CN',
  'L',
  'ST',
  'O',
  'OU',
  'C',
  'STREET',
  'DC',
  'UID',
  '2.5.4.5',
  '1.2.840.113549.1.9.1',
  '1.3.6.1.4.1.99999.1',
];
const rdn = fc
  .uniqueArray(fc.constantFrom(...TYPES), { minLength: 1, maxLength: 3 })
  .chain((types) => fc.tuple(...types.map((type) => valueOf(type).map((value) => ({ type, value })))));
const dn: fc.Arbitrary<Dn> = fc.array(rdn, { minLength: 1, maxLength: 5 });

function refusal(text: string): string {
  try {
    parseDn(text);
  } catch (error) {
    assert(error instanceof OperatorError);
    assert.equal(error.code, 'InvalidDistinguishedName');
    assert.equal(error.retry.class, 'terminal');
    return error.message;
  }
  throw new Error(`${JSON.stringify(text)} was accepted`);
}

describe('parseDn', () => {
  const accepted: readonly (readonly [string, Dn])[] = [
    // RFC 4514 §4
    [
      'UID=jsmith,DC=example,DC=net',
      [[{ type: 'UID', value: 'jsmith' }], [{ type: 'DC', value: 'example' }], [{ type: 'DC', value: 'net' }]],
    ],
    [
      'OU=Sales+CN=J.  Smith,DC=net',
      [
        [
          { type: 'OU', value: 'Sales' },
          { type: 'CN', value: 'J.  Smith' },
        ],
        [{ type: 'DC', value: 'net' }],
      ],
    ],
    ['CN=James \\"Jim\\" Smith\\, III', [[{ type: 'CN', value: 'James "Jim" Smith, III' }]]],
    ['CN=Lu\\C4\\8Di\\C4\\87', [[{ type: 'CN', value: 'Lučić' }]]],
    ['cn=a', [[{ type: 'CN', value: 'a' }]]],
    ['2.5.4.3=a', [[{ type: 'CN', value: 'a' }]]],
    ['CN=#0C0161', [[{ type: 'CN', value: 'a' }]]],
    ['CN=#1E0400610062', [[{ type: 'CN', value: 'ab' }]]],
    ['1.3.6.1.4.1.99999.1=#130161', [[{ type: '1.3.6.1.4.1.99999.1', value: 'a' }]]],
    ['emailAddress=a@example.com', [[{ type: '1.2.840.113549.1.9.1', value: 'a@example.com' }]]],
    ['CN=a\\2Cb\\2cc', [[{ type: 'CN', value: 'a,b,c' }]]],
    ['CN=a=b#c d', [[{ type: 'CN', value: 'a=b#c d' }]]],
    ['CN=\\ a\\ ', [[{ type: 'CN', value: ' a ' }]]],
    ['CN=\\#a', [[{ type: 'CN', value: '#a' }]]],
    ['CN=\ufeffa', [[{ type: 'CN', value: '\ufeffa' }]]],
  ];
  for (const [text, expected] of accepted) {
    test(`reads ${text}`, () => assert.deepEqual(parseDn(text), expected));
  }

  const refused: readonly (readonly [string, RegExp])[] = [
    ['', /empty/],
    ['CN=a, O=b', /character 6: a space.*remove it/],
    ['CN=a ,O=b', /character 5: a space ends the value/],
    ['CN= a', /character 4: a space begins/],
    ['CN =a', /character 3: a space/],
    ['CN=a;O=b', /character 5: ; stands unescaped: write '\\;'/],
    ['CN="a"', /character 4: " stands unescaped/],
    ['CN=a<b', /character 5/],
    ['CN=a,', /character 6: an attribute type is missing/],
    ['CN=a,b', /character 7: '=' is missing after b/],
    ['CN', /'=' is missing/],
    ['=a', /attribute type is missing/],
    ['FOO=a', /FOO is not known/],
    ['3.1=a', /not known/],
    ['2.05.4=a', /not known/],
    ['OID.2.5.4.3=a', /not known/],
    ['CN=a\\', /'\\' escapes only/],
    ['CN=a\\zz', /character 5: '\\' escapes only/],
    ['CN=\\C4', /not UTF-8/],
    ['CN=\\C0\\AF', /not UTF-8/],
    ['CN=\\ED\\A0\\80', /not UTF-8/],
    ['CN=\ud800', /surrogate/],
    ['CN=', /empty/],
    ['CN=\\ ', /empty/],
    ['CN=\u200b', /empty/],
    ['CN=a\\00b', /control character/],
    ['CN=a\nb', /control character/],
    ['CN=a\u0085b', /control character/],
    ['CN=#', /begins a value in hexadecimal/],
    ['CN=#0C0', /hexadecimal/],
    ['CN=#0C016100', /not the DER of one string/],
    ['CN=#04024869', /no UTF8String/],
    ['CN=#0C01C4', /no UTF8String/],
    ['CN=#30030C0161', /not the DER of one string/],
    ['CN=#0C0161x', /hexadecimal/],
    ['CN=a+CN=b', /character 6: CN stands twice/],
    ['C=DEU', /country code/],
    ['C=D1', /country code/],
    [`CN=${'a'.repeat(65)}`, /65 characters: shorten it to 64/],
    [`O=${'a'.repeat(65)}`, /64/],
    [`OU=${'a'.repeat(65)}`, /64/],
    [`L=${'a'.repeat(129)}`, /128/],
    [`ST=${'a'.repeat(129)}`, /128/],
    [`serialNumber=${'1'.repeat(65)}`, /64/],
    ['serialNumber=a_b', /PrintableString/],
    ['DC=ä', /ASCII/],
    ['😀=a', /character 1: an attribute type/],
    ['CN=😀,O=a;', /character 9: ;/],
    [`CN=${'a'.repeat(2048)}`, /longer than 2048/],
    [Array.from({ length: 33 }, () => 'OU=a').join(','), /more than 32/],
  ];
  for (const [text, message] of refused) {
    test(`refuses ${JSON.stringify(text.slice(0, 40))}`, () => assert.match(refusal(text), message));
  }

  test('upper bounds count characters, not UTF-16 units', () => {
    assert.equal(parseDn(`CN=${'😀'.repeat(64)}`)[0]?.[0]?.value, '😀'.repeat(64));
    assert.match(refusal(`CN=${'😀'.repeat(65)}`), /65 characters/);
  });

  test('never throws anything but InvalidDistinguishedName, and what it accepts survives a round trip', () => {
    const pieces = fc.constantFrom(
      'CN',
      'O',
      '=',
      ',',
      '+',
      '\\',
      '#',
      ' ',
      '"',
      ';',
      'a',
      '2C',
      '2.5.4.3',
      '0C0161',
      'é',
      '\0',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(pieces).map((p) => p.join('')),
        ),
        (text) => {
          let parsed: Dn;
          try {
            parsed = parseDn(text);
          } catch (error) {
            return error instanceof OperatorError && error.code === 'InvalidDistinguishedName';
          }
          assert.deepEqual(byType(parseDn(formatDn(parsed))), byType(parsed));
          return true;
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** Within an RDN the order means nothing. */
const byType = (name: Dn) =>
  name.map((attributes) => attributes.toSorted((one, other) => (one.type < other.type ? -1 : 1)));

describe('formatDn', () => {
  test('parses back to the same name, whatever the values hold', () => {
    fc.assert(
      fc.property(dn, (name) => assert.deepEqual(byType(parseDn(formatDn(name))), byType(name))),
      { numRuns: 500 },
    );
  });

  test('is the text of the name as a certificate has it, whatever order an RDN was written in', () => {
    const text = (name: string) => formatDn(parseDn(name));
    assert.equal(text('UID=7+CN=batch,O=a'), 'CN=batch+UID=7,O=a');
    assert.equal(text('CN=a longer name+UID=7,O=a'), 'UID=7+CN=a longer name,O=a');
    fc.assert(
      fc.property(dn, (name) => {
        let der: Uint8Array;
        try {
          der = dnToDer(name);
        } catch (error) {
          // No certificate can have it.
          return error instanceof OperatorError;
        }
        assert.equal(formatDn(name), formatDn(dnFromDer(der)));
        return true;
      }),
      { numRuns: 500 },
    );
  });

  const written: readonly (readonly [string, string])[] = [
    [' ', '\\ '],
    ['  ', '\\ \\ '],
    [' a ', '\\ a\\ '],
    // As java.security writes them, and RFC 4514 §2.4 allows.
    ['#a#', '\\#a\\#'],
    ['a,b+c"d\\e<f>g;h=i', 'a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h\\=i'],
    ['é😀', 'é😀'],
  ];
  for (const [value, text] of written) {
    test(`writes ${JSON.stringify(value)} as ${text}`, () =>
      assert.equal(formatDn([[{ type: 'CN', value }]]), `CN=${text}`));
  }

  test('types without a short name are dotted, their values hexadecimal DER (RFC 4514 §2.4)', () => {
    assert.equal(formatDn(parseDn('serialNumber=42')), '2.5.4.5=#13023432');
    assert.equal(formatDn(parseDn('emailAddress=a@b')), '1.2.840.113549.1.9.1=#1603614062');
    assert.equal(formatDn(parseDn('1.3.6.1.4.1.99999.1=é')), '1.3.6.1.4.1.99999.1=#0c02c3a9');
  });
});

const canonical = (text: string): string => canonicalDn(parseDn(text));

describe('canonicalDn', () => {
  const same: readonly (readonly [string, string])[] = [
    ['CN=Payments,O=ACME', 'cn=payments,o=acme'],
    ['CN=a  b', 'CN=a b'],
    ['CN=\\ a\\ ', 'CN=a'],
    ['CN=é', 'CN=e\u0301'],
    ['CN=straße', 'CN=STRASSE'],
    ['CN=ﬁle', 'CN=file'],
    ['CN=pay\u200bments', 'CN=payments'],
    ['CN=pay\u00adments', 'CN=payments'],
    ['CN=e\u200d\u0301', 'CN=é'],
    ['CN=a\u00a0b', 'CN=a b'],
    ['CN=a+O=b', 'O=B+CN=A'],
    ['CN=Ａ', 'CN=a'],
    ['2.5.4.3=#0C0161', 'CN=A'],
    ['CN=#130161', 'CN=a'],
  ];
  for (const [a, b] of same) {
    test(`${a} is ${b}`, () => assert.equal(canonical(a), canonical(b)));
  }

  const different: readonly (readonly [string, string])[] = [
    ['CN=a,O=b', 'O=b,CN=a'],
    ['CN=a\\,O=b', 'CN=a,O=b'],
    ['CN=a\\+O=b', 'CN=a+O=b'],
    ['CN=a+O=b', 'CN=a,O=b'],
    ['CN=a', 'OU=a'],
    ['CN=ab', 'CN=a b'],
  ];
  for (const [a, b] of different) {
    test(`${a} is not ${b}`, () => assert.notEqual(canonical(a), canonical(b)));
  }

  test('is its own canonical form', () => {
    fc.assert(
      fc.property(valueOf('CN'), (value) => {
        const once = canonicalDn([[{ type: 'CN', value }]]);
        const inner = once.slice('cn='.length).replace(/\\(.)/gu, '$1');
        assert.equal(canonicalDn([[{ type: 'CN', value: inner }]]), once);
      }),
      { numRuns: 500 },
    );
  });
});

describe('DER', () => {
  test('a name survives DER, but for the order inside a multi-valued RDN, which DER sorts', () => {
    fc.assert(
      fc.property(dn, (name) => {
        const der = dnToDer(name);
        const read = dnFromDer(der);
        assert(sameDn(read, name));
        assert.deepEqual(dnToDer(read), der);
        assert.equal(canonicalDn(read), canonicalDn(name));
      }),
      { numRuns: 500 },
    );
  });

  test('the first RDN of the string is the last one of the encoding', () => {
    assert.equal(
      Buffer.from(dnToDer(parseDn('CN=a,C=DE'))).toString('hex'),
      '3019310b3009060355040613024445310a300806035504030c0161',
    );
  });

  test('refuses values over the bounds', () => {
    assert.throws(() => dnToDer([[{ type: 'CN', value: 'a'.repeat(65) }]]), { code: 'InvalidDistinguishedName' });
    assert.throws(() => dnToDer([[{ type: 'CN', value: 'a\0b' }]]), { code: 'InvalidDistinguishedName' });
    assert.throws(() => dnToDer([[{ type: 'nonsense', value: 'a' }]]), { code: 'InvalidDistinguishedName' });
  });

  test('refuses what is not a Name', () => {
    for (const hex of ['', '0c0161', '3000ff', '30023100', '300431023000', '30053103020101']) {
      assert.throws(() => dnFromDer(Buffer.from(hex, 'hex')), { code: 'InvalidDistinguishedName' }, hex);
    }
  });
});

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeCertificateHeader, type HeaderLines } from '../../src/verifier/certificate-header.ts';
import { type TerminatorHeaders, type TerminatorName, terminators } from '../../src/verifier/terminators.ts';
import { malformedHeaders } from './malformed-headers.ts';
import { der, type MalformedHeader } from './malformed/material.ts';
import { names, sentBy } from './product-headers.ts';

const rowOf = (name: TerminatorName): TerminatorHeaders => terminators[name];
const lines = (value: string | readonly string[]): readonly string[] => [value].flat();

/** As that terminator's, with all else as it is for a good certificate. */
function as(name: TerminatorName, { value, chain }: MalformedHeader): HeaderLines {
  const row = rowOf(name);
  return {
    ...sentBy(name, der),
    [row.certificate]: lines(value),
    ...(row.chain !== undefined && { [row.chain]: lines(chain ?? []) }),
  };
}

function refusalOf(headers: HeaderLines, terminator: TerminatorHeaders): string {
  const decoded = decodeCertificateHeader(headers, { terminator, verification: 'none' });
  return decoded.ok ? 'accepted' : decoded.error.code;
}

test('there are at least 200 of them, no two the same', () => {
  const twice = (texts: readonly string[]) => texts.filter((text, at) => texts.indexOf(text) !== at);
  assert.deepEqual(twice(malformedHeaders.map(({ terminator, name }) => `${terminator}: ${name}`)), []);
  const written = malformedHeaders.map(({ terminator, value, chain }) => JSON.stringify([terminator, value, chain]));
  assert.deepEqual(twice(written), []);
  assert.ok(new Set(malformedHeaders.map(({ name }) => name)).size >= 200);
});

for (const name of names) {
  test(`${name}: none is accepted`, () => {
    for (const malformed of malformedHeaders) {
      // A chain in a header that this product does not send is not read.
      if (malformed.chain !== undefined && rowOf(name).chain === undefined) continue;
      const refusal = refusalOf(as(name, malformed), rowOf(name));
      const where = `${malformed.terminator}: ${malformed.name}`;
      if (malformed.terminator === name) assert.equal(refusal, malformed.code, where);
      else assert.notEqual(refusal, 'accepted', where);
    }
  });
}

test("a refusal's message has nothing of the header", () => {
  for (const malformed of malformedHeaders) {
    const { terminator } = malformed;
    const decoded = decodeCertificateHeader(as(terminator, malformed), { terminator, verification: 'none' });
    assert.ok(!decoded.ok);
    const { message, code, stack = '' } = decoded.error;
    const { cause, detail } = decoded.error;
    assert.deepEqual({ cause, detail }, { cause: undefined, detail: undefined });
    for (const line of [malformed.value, malformed.chain ?? []].flat()) {
      if (line.length < 30) continue;
      for (const text of [message, code, stack]) assert.ok(!text.includes(line.slice(0, 30)), malformed.name);
    }
  }
});

const MEGABYTE = 1_048_576;
const WORDS = String.raw`M MII= = , ; : " \ \" % %0 %0A %25 %2C é - a= a=; a=, a=" a=""; a="\""; Cert=" :M :M: :M:, M, ----- ,,`;
const BLOCK = '-----BEGIN CERTIFICATE-----\n';
const BLANKS = [' ', '\t', '\0', '\n', ' :', ', ', ' ,'];
const PIECES = [...WORDS.split(' '), ...BLANKS, BLOCK, encodeURIComponent(BLOCK), '%0A-----END%20CERTIFICATE-----'];

const codecs = new Map(names.map((name) => [rowOf(name).decode, name]));

for (const name of codecs.values()) {
  test(`${name}: a megabyte is refused in a time that grows with its length and no faster`, () => {
    const row = rowOf(name);
    const sent = sentBy(name, der);
    const [good = ''] = sent[row.certificate] ?? [];
    for (const piece of [...PIECES, good]) {
      const long = piece.repeat(MEGABYTE / piece.length);
      for (const header of new Set([row.certificate, row.chain ?? row.certificate])) {
        const headers = { ...sent, [header]: [good.slice(0, -1) + long + good.slice(-1)] };
        assert.equal(refusalOf(headers, row), 'TooLarge');
        // Without the limit, which says nothing of how the codecs behave below it. What is quadratic takes an hour.
        const started = process.cpuUsage();
        refusalOf(headers, { ...row, longest: Infinity });
        refusalOf({ ...headers, [header]: [long] }, { ...row, longest: Infinity });
        const { user, system } = process.cpuUsage(started);
        assert.ok(user + system < 20_000_000, `${piece.slice(0, 30)} took ${user + system} µs`);
      }
    }
  });
}

import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { decodeCertificateHeader, type HeaderLines } from '../../src/verifier/certificate-header.ts';
import { clientCertFields } from '../../src/verifier/client-cert.ts';
import { type TerminatorHeaders, type TerminatorName, terminators } from '../../src/verifier/terminators.ts';
import { createClientCertificate } from '../support/client-certificate.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { derOfPem, hashOf, vector } from './malformed/material.ts';
import { names, SENDS_CHAIN, sentBy } from './product-headers.ts';

const named = fc.constantFrom(...names);

interface Issued {
  der: Buffer;
  chain: readonly Buffer[];
}

/** Of random sizes, so that base64 ends in each of its ways, with and without a CA. */
async function randomCertificates(): Promise<Issued[]> {
  const ca = await createThrowawayCa('Client CA');
  const contents = fc.sample(
    fc.record({
      cn: fc
        .string({ unit: fc.constantFrom(...Array.from('abcxyz019 .-')), minLength: 1, maxLength: 40 })
        .map((text) => `x${text}x`),
      dns: fc.array(fc.domain(), { maxLength: 12 }),
      extension: fc.uint8Array({ maxLength: 700 }),
      signed: fc.boolean(),
    }),
    40,
  );
  return Promise.all(
    contents.map(async ({ cn, dns, extension, signed }) => {
      const { der } = await createClientCertificate({
        subject: `CN=${cn}`,
        ...(signed && { ca }),
        ...(dns.length > 0 && { san: dns.map((value) => ({ type: 'dns' as const, value })) }),
        extensions: [{ oid: '1.3.6.1.4.1.99999.1', value: Uint8Array.from(extension) }],
      });
      return { der, chain: signed ? [derOfPem(ca.certPem)] : [] };
    }),
  );
}

const large: Issued = { der: vector('rsa-4096-many-names'), chain: [] };
const certificates = [...(await randomCertificates()), large];
const anyOne = fc.constantFrom(...certificates);

const decode = (headers: HeaderLines, terminator: TerminatorName) =>
  decodeCertificateHeader(headers, { terminator, verification: 'none' });

test('property: what any product sends comes out as it went in, and again by way of RFC 9440', () => {
  for (const terminator of names) {
    for (const { der, chain } of certificates) {
      const decoded = decode(sentBy(terminator, der, { chain }), terminator);
      assert.ok(decoded.ok, terminator);
      assert.ok(der.equals(decoded.der));
      assert.deepEqual(decoded.chain, SENDS_CHAIN.has(terminator) ? chain : []);
      const lines = Object.entries(clientCertFields(decoded)).map(([field, value]) => [field, [value]]);
      assert.deepEqual(decode(Object.fromEntries(lines), 'rfc9440'), decoded);
    }
  }
});

const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  remove: fc.nat(8),
  insert: fc.oneof(
    fc.string({ maxLength: 4 }),
    fc.string({ unit: fc.constantFrom(...Array.from('ABCabc019+/=')), maxLength: 5 }),
    fc.constantFrom(
      '%0A',
      '%0a',
      '%00',
      '%2B',
      '%25',
      ',',
      ', ',
      ';',
      ':',
      '"',
      '\\"',
      'Cert="',
      'Hash=',
      'DNS=',
      '==',
      '-',
    ),
  ),
});
type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never;

const mutate = (line: string, mutations: readonly Mutation[]): string =>
  mutations.reduce((text, { at, remove, insert }) => {
    const from = Math.floor(at * text.length);
    return text.slice(0, from) + insert + text.slice(from + remove);
  }, line);

/** Of the header that was accepted: the same as the product would write for what came out of it. */
function assertSpelled(
  terminator: TerminatorName,
  line: string,
  accepted: { der: Uint8Array; chain: readonly Uint8Array[] },
) {
  if (terminator === 'envoy') {
    assert.ok(line.toLowerCase().includes(`hash=${hashOf(accepted.der)}`), 'the hash is of another certificate');
    return;
  }
  const chain = accepted.chain.map((der) => Buffer.from(der));
  const [canonical = ''] =
    sentBy(terminator, Buffer.from(accepted.der), { chain })[terminators[terminator].certificate] ?? [];
  const same = (text: string) =>
    text.replaceAll(/%[0-9A-Fa-f]{2}/g, (triplet) => triplet.toUpperCase()).replace(/%0A$/, '');
  assert.equal(same(line), same(canonical));
}

test('property: a damaged header is never accepted as anything but the certificate that it spells, to the letter', () => {
  fc.assert(
    fc.property(
      named,
      anyOne,
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      (terminator, { der, chain }, mutations) => {
        const { certificate } = terminators[terminator];
        const headers = sentBy(terminator, der, { chain });
        const line = mutate(headers[certificate]?.[0] ?? '', mutations);
        const decoded = decode({ ...headers, [certificate]: [line] }, terminator);
        if (decoded.ok) assertSpelled(terminator, line, decoded);
      },
    ),
    { numRuns: 4_000 },
  );
});

test('property: pieces of two headers are accepted as one of the two certificates, if at all', () => {
  fc.assert(
    fc.property(named, anyOne, anyOne, fc.nat(), fc.nat(), (terminator, a, b, i, j) => {
      const { certificate } = terminators[terminator];
      const [one = '', two = ''] = [a, b].map(({ der, chain }) => sentBy(terminator, der, { chain })[certificate]?.[0]);
      const separators = ['', ',', ', ', ';', '\n', '%0A', ':', '"', ',"', '\0'];
      const line =
        one.slice(0, i % (one.length + 1)) +
        (separators[i % separators.length] ?? '') +
        two.slice(j % (two.length + 1));
      const decoded = decode({ ...sentBy(terminator, a.der), [certificate]: [line] }, terminator);
      if (!decoded.ok) return;
      assertSpelled(terminator, line, decoded);
      const whole = [a, b].some(({ der }) => der.equals(decoded.der));
      // Two certificates can be cut and joined to a third that is well-formed: its signature is nobody's, its hash new.
      if (!whole) assert.ok(line.length > 0 && terminator !== 'envoy');
    }),
    { numRuns: 2_000 },
  );
});

test('property: no input makes it throw, whichever lines there are', () => {
  const line = (terminator: TerminatorName) =>
    fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc.string({ unit: fc.constantFrom(...Array.from('%,;:="\\-+/ AMI0\n')), maxLength: 200 }),
      anyOne.map(
        ({ der, chain }) => sentBy(terminator, der, { chain })[terminators[terminator].certificate]?.[0] ?? '',
      ),
    );
  const input = named.chain((terminator) => {
    const row: TerminatorHeaders = terminators[terminator];
    const verification = typeof row.verification === 'string' ? [] : row.verification.map(({ header }) => header);
    const header = fc.constantFrom(
      row.certificate,
      row.chain ?? row.certificate,
      ...verification,
      '__proto__',
      'constructor',
    );
    return fc.tuple(
      fc.constant(terminator),
      fc.array(fc.tuple(header, fc.array(line(terminator), { maxLength: 3 })), { maxLength: 4 }),
    );
  });
  fc.assert(
    fc.property(
      input,
      fc.constantFrom('required' as const, 'assumed' as const, 'none' as const),
      ([terminator, lines], verification) => {
        const headers = { ...sentBy(terminator, large.der), ...Object.fromEntries(lines) };
        const decoded = decodeCertificateHeader(headers, { terminator, verification });
        assert.equal(typeof decoded.ok, 'boolean');
        if (!decoded.ok) assert.match(decoded.error.code, /^[A-Z][A-Za-z0-9]+$/);
      },
    ),
    { numRuns: 1_500 },
  );
});

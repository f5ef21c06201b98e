import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { decodeCertificateHeader, type HeaderLines } from '../../src/verifier/certificate-header.ts';
import { x5tS256 } from '../../src/x509/thumbprint.ts';
import { createClientCertificate } from '../support/client-certificate.ts';

const pem = (await readFile(new URL('../vectors/rfc8705-appendix-a.pem', import.meta.url), 'utf8')).replace(/\r/g, '');
const der = new X509Certificate(pem).raw;
const base64 = der.toString('base64');
const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';
const layout = (text: string, width = 64): string => text.replaceAll(new RegExp(`.{${width}}(?=.)`, 'g'), '$&\n');
const wrap = (body: string): string => `${BEGIN}\n${body}\n${END}\n`;
const canonical = wrap(layout(base64));
const good = encodeURIComponent(canonical);
const other = await createClientCertificate({ subject: 'CN=other' });

const decode = (
  certificate: string | string[],
  verify: string | string[] | undefined = 'SUCCESS',
  verification: 'required' | 'none' = 'required',
) => {
  const headers: Record<string, string[]> = { 'ssl-client-cert': [certificate].flat() };
  if (verify !== undefined) headers['ssl-client-verify'] = [verify].flat();
  return decodeCertificateHeader(headers, { format: 'nginx', verification });
};
const reasonOf = (...args: Parameters<typeof decode>): string => {
  const decoded = decode(...args);
  return decoded.ok ? 'accepted' : decoded.reason;
};

test('RFC 8705 Appendix A: its certificate, as nginx writes it, comes out whole', () => {
  const decoded = decode(good);
  assert.ok(decoded.ok);
  assert.equal(x5tS256(decoded.der), 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0');
  assert.equal(x5tS256(decoded.certificate), 'A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0');
});

test('spellings that nginx versions differ in are accepted', () => {
  assert.equal(reasonOf(encodeURIComponent(canonical.trimEnd())), 'accepted', 'no final newline');
  assert.equal(
    reasonOf(good.toLowerCase().includes('%2b') ? good.replaceAll(/%[0-9A-F]{2}/g, (e) => e.toLowerCase()) : good),
    'accepted',
    'lower-case escapes',
  );
  assert.equal(reasonOf(good.replaceAll('%2F', '/').replaceAll('%3D', '=')), 'accepted', '/ and = bare');
  assert.equal(reasonOf(good.replaceAll('%2B', '+')), 'accepted', 'a bare + is a + (never a space)');
});

const flip = (text: string, at: number, by: string): string => text.slice(0, at) + by + text.slice(at + by.length);
const middle = Math.floor(base64.length / 2);
const twoLines = layout(base64).split('\n');
const malformed: [name: string, header: string | string[], reason: string][] = [
  ['no line', [], 'Absent'],
  ['an empty line', '', 'Absent'],
  ['two equal lines', [good, good], 'Repeated'],
  ['an empty and a good line', ['', good], 'Repeated'],
  ['a good and an empty line', [good, ''], 'Repeated'],
  ['two certificates in two lines', [good, encodeURIComponent(other.certPem)], 'Repeated'],
  ['three lines', [good, good, good], 'Repeated'],
  ['longer than the cap', 'A'.repeat(16_385), 'TooLarge'],
  ['a good one and padding past the cap', good + '%0A'.repeat(6_000), 'TooLarge'],
  ['a lone %', '%', 'BadEscape'],
  ['% at the end', `${good}%`, 'BadEscape'],
  ['half an escape', `${good}%2`, 'BadEscape'],
  ['an escape that is not hex', `${good}%GG`, 'BadEscape'],
  ['an escape cut in the middle', good.slice(0, good.indexOf('%') + 2), 'BadEscape'],
  ['bytes that are not UTF-8', `${good}%FF`, 'BadEscape'],
  ['an overlong encoding of a newline', good.replace('%0A', '%C0%8A'), 'BadEscape'],
  ['half a UTF-8 sequence', `${good}%E2%82`, 'BadEscape'],
  ['a surrogate in UTF-8', `${good}%ED%A0%80`, 'BadEscape'],
  ['form encoding: + for the spaces', good.replaceAll('%20', '+'), 'NotOneCertificate'],
  ['not encoded, newlines gone', canonical.replaceAll('\n', ''), 'NotOneCertificate'],
  ['not encoded, newlines as tabs (older nginx)', canonical.replaceAll('\n', '\n\t'), 'NotOneCertificate'],
  ['encoded twice', encodeURIComponent(good), 'NotOneCertificate'],
  ['bare base64 (Traefik)', base64, 'NotOneCertificate'],
  ['RFC 9440', `:${base64}:`, 'NotOneCertificate'],
  ['XFCC', `Hash=${'0'.repeat(64)};Cert="${good}"`, 'NotOneCertificate'],
  ['quoted', `"${good}"`, 'NotOneCertificate'],
  ['two joined by a comma, as Node joins lines', `${good}, ${good}`, 'NotOneCertificate'],
  ['two joined by a comma without a space', `${good},${good}`, 'NotOneCertificate'],
  ['two PEM blocks', encodeURIComponent(canonical + other.certPem), 'NotOneCertificate'],
  ['the same PEM block twice', encodeURIComponent(canonical + canonical), 'NotOneCertificate'],
  ['a chain', encodeURIComponent(canonical + canonical + other.certPem), 'NotOneCertificate'],
  ['text before', encodeURIComponent(`subject=CN=x\n${canonical}`), 'NotOneCertificate'],
  ['a newline before', encodeURIComponent(`\n${canonical}`), 'NotOneCertificate'],
  ['a space before', ` ${good}`, 'NotOneCertificate'],
  ['text after', encodeURIComponent(`${canonical}x`), 'NotOneCertificate'],
  ['two newlines after', encodeURIComponent(`${canonical}\n`), 'NotOneCertificate'],
  ['a space after', `${good}%20`, 'NotOneCertificate'],
  ['a NUL after', `${good}%00`, 'NotOneCertificate'],
  ['a NUL inside', good.replace('%0A', '%0A%00'), 'NotOneCertificate'],
  ['a byte order mark', `%EF%BB%BF${good}`, 'NotOneCertificate'],
  ['CRLF', encodeURIComponent(canonical.replaceAll('\n', '\r\n')), 'NotOneCertificate'],
  ['CR', encodeURIComponent(canonical.replaceAll('\n', '\r')), 'NotOneCertificate'],
  [
    'another label',
    encodeURIComponent(canonical.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE')),
    'NotOneCertificate',
  ],
  ['X509 label', encodeURIComponent(canonical.replaceAll('CERTIFICATE', 'X509 CERTIFICATE')), 'NotOneCertificate'],
  ['a request', encodeURIComponent(canonical.replaceAll('CERTIFICATE', 'CERTIFICATE REQUEST')), 'NotOneCertificate'],
  ['lower-case label', encodeURIComponent(canonical.replaceAll('CERTIFICATE', 'certificate')), 'NotOneCertificate'],
  [
    'labels that differ',
    encodeURIComponent(canonical.replace(END, '-----END X509 CERTIFICATE-----')),
    'NotOneCertificate',
  ],
  ['four dashes', encodeURIComponent(canonical.replace('-----BEGIN', '----BEGIN')), 'NotOneCertificate'],
  ['no BEGIN', encodeURIComponent(canonical.slice(BEGIN.length + 1)), 'NotOneCertificate'],
  ['no END', encodeURIComponent(canonical.slice(0, canonical.indexOf(END))), 'NotOneCertificate'],
  ['END before BEGIN', encodeURIComponent(`${END}\n${layout(base64)}\n${BEGIN}\n`), 'NotOneCertificate'],
  ['no body', encodeURIComponent(wrap('')), 'NotOneCertificate'],
  ['a PEM header', encodeURIComponent(wrap(`Proc-Type: 4,ENCRYPTED\n\n${layout(base64)}`)), 'NotOneCertificate'],
  ['base64url', encodeURIComponent(wrap(layout(der.toString('base64url')))), 'NotOneCertificate'],
  ['a space in the base64', encodeURIComponent(wrap(flip(layout(base64), 10, ' '))), 'NotOneCertificate'],
  ['a tab in the base64', encodeURIComponent(wrap(flip(layout(base64), 10, '\t'))), 'NotOneCertificate'],
  ['a comma in the base64', encodeURIComponent(wrap(flip(layout(base64), 10, ','))), 'NotOneCertificate'],
  ['a letter outside ASCII', encodeURIComponent(wrap(flip(layout(base64), 10, 'é'))), 'NotOneCertificate'],
  ['full-width letters', encodeURIComponent(canonical.replace('CERTIFICATE', 'ＣERTIFICATE')), 'NotOneCertificate'],
  ['= in the middle', encodeURIComponent(wrap(layout(flip(base64, middle, '=')))), 'BadBase64'],
  ['= at the start', encodeURIComponent(wrap(layout(`=${base64}`))), 'BadBase64'],
  ['a = too many', encodeURIComponent(wrap(layout(`${base64}=`))), 'BadBase64'],
  ['a character too few', encodeURIComponent(wrap(layout(base64.slice(0, -5)))), 'BadBase64'],
  ['a character too many', encodeURIComponent(wrap(layout(`${base64}A`))), 'BadBase64'],
  [
    'padding that hides bits',
    encodeURIComponent(wrap(layout(`${base64.replace(/=+$/, '')}AB==`.slice(0, base64.length + 4)))),
    'BadBase64',
  ],
  ['only padding', encodeURIComponent(wrap('====')), 'BadBase64'],
  ['one line', encodeURIComponent(wrap(base64)), 'BadBase64'],
  ['lines of 76', encodeURIComponent(wrap(layout(base64, 76))), 'BadBase64'],
  ['lines of 63', encodeURIComponent(wrap(layout(base64, 63))), 'BadBase64'],
  ['a blank line', encodeURIComponent(wrap(twoLines.join('\n\n'))), 'BadBase64'],
  ['a blank first line', encodeURIComponent(wrap(`\n${layout(base64)}`)), 'BadBase64'],
  ['a blank last line', encodeURIComponent(wrap(`${layout(base64)}\n`)), 'BadBase64'],
  ['not a certificate', encodeURIComponent(wrap('AAAA')), 'BadCertificate'],
  ['an empty SEQUENCE', encodeURIComponent(wrap('MAA=')), 'BadCertificate'],
  [
    'a certificate cut short',
    encodeURIComponent(wrap(layout(der.subarray(0, -1).toString('base64')))),
    'BadCertificate',
  ],
  [
    'a byte after the certificate',
    encodeURIComponent(wrap(layout(Buffer.concat([der, Buffer.of(0)]).toString('base64')))),
    'BadCertificate',
  ],
  [
    'a certificate after the certificate',
    encodeURIComponent(wrap(layout(Buffer.concat([der, other.der]).toString('base64')))),
    'BadCertificate',
  ],
  [
    'a byte before the certificate',
    encodeURIComponent(wrap(layout(Buffer.concat([Buffer.of(0), der]).toString('base64')))),
    'BadCertificate',
  ],
  ['PEM in base64', encodeURIComponent(wrap(layout(Buffer.from(canonical).toString('base64')))), 'BadCertificate'],
  [
    'a public key',
    encodeURIComponent(
      wrap(layout(new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' }).toString('base64'))),
    ),
    'BadCertificate',
  ],
  [
    'a CRL-like SEQUENCE',
    encodeURIComponent(wrap(layout(Buffer.from('300a020101300506032b6570', 'hex').toString('base64')))),
    'BadCertificate',
  ],
];

for (const [name, header, reason] of malformed) {
  test(`refused: ${name}`, () => {
    assert.equal(reasonOf(header), reason);
  });
}

test("PEM of another certificate inside an extension is never taken for the client's certificate", async () => {
  const extension = { oid: '1.3.6.1.4.1.99999.1', value: Buffer.from(`\n${other.certPem}`) };
  const carrier = await createClientCertificate({ subject: 'CN=carrier', extensions: [extension] });
  const decoded = decode(encodeURIComponent(carrier.certPem));
  assert.ok(!decoded.ok || decoded.certificate.raw.equals(carrier.der));
});

test('the verification header decides, exactly', () => {
  const expected: [verify: string | string[] | undefined, required: string, none: string][] = [
    ['SUCCESS', 'accepted', 'accepted'],
    ['FAILED:self-signed certificate', 'NotVerified', 'accepted'],
    ['FAILED:certificate has expired', 'NotVerified', 'accepted'],
    ['FAILED', 'NotVerified', 'NotVerified'],
    ['NONE', 'NotVerified', 'NotVerified'],
    ['', 'NotVerified', 'NotVerified'],
    ['success', 'NotVerified', 'NotVerified'],
    ['SUCCESS ', 'NotVerified', 'NotVerified'],
    [' SUCCESS', 'NotVerified', 'NotVerified'],
    ['SUCCESS, SUCCESS', 'NotVerified', 'NotVerified'],
    ['SUCCESSFUL', 'NotVerified', 'NotVerified'],
    ['0', 'NotVerified', 'NotVerified'],
    [[], 'VerificationAbsent', 'VerificationAbsent'],
    [['SUCCESS', 'SUCCESS'], 'VerificationRepeated', 'VerificationRepeated'],
    [['SUCCESS', 'FAILED:x'], 'VerificationRepeated', 'VerificationRepeated'],
    [['FAILED:x', 'SUCCESS'], 'VerificationRepeated', 'VerificationRepeated'],
  ];
  for (const [verify, required, none] of expected) {
    assert.equal(reasonOf(good, verify, 'required'), required, `required, ${JSON.stringify(verify)}`);
    assert.equal(reasonOf(good, verify, 'none'), none, `none, ${JSON.stringify(verify)}`);
  }
});

test('names that only look like the header are not read', () => {
  for (const name of [
    'ssl_client_cert',
    'x-ssl-client-cert',
    'client-cert',
    'ssl-client-certificate',
    'ssl-client-subject-dn',
  ]) {
    const headers: HeaderLines = { [name]: [good], 'ssl-client-verify': ['SUCCESS'] };
    assert.deepEqual(decodeCertificateHeader(headers, { format: 'nginx', verification: 'required' }), {
      ok: false,
      reason: 'Absent',
    });
  }
});

test('property: what is accepted is exactly what the header spells, whatever happened to it', () => {
  const mutation = fc.record({
    at: fc.nat(good.length),
    remove: fc.nat(4),
    insert: fc.oneof(fc.string({ maxLength: 4 }), fc.constantFrom('%0A', '%00', '=', '+', '%2B', BEGIN, END)),
  });
  fc.assert(
    fc.property(fc.array(mutation, { maxLength: 3 }), (mutations) => {
      const header = mutations.reduce(
        (text, { at, remove, insert }) => text.slice(0, at) + insert + text.slice(at + remove),
        good,
      );
      const decoded = decode(header);
      if (!decoded.ok) return;
      const spelled = wrap(layout(Buffer.from(decoded.der).toString('base64')));
      assert.equal(decodeURIComponent(header).trimEnd(), spelled.trimEnd());
      assert.deepEqual(decoded.certificate.raw, Buffer.from(decoded.der));
    }),
    { numRuns: 2_000 },
  );
});

test('property: no input makes it throw', () => {
  const lines = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.constant(good)), { maxLength: 3 });
  fc.assert(
    fc.property(
      lines,
      lines,
      fc.constantFrom('required' as const, 'none' as const),
      (certificate, verify, verification) => {
        const decoded = decode(certificate, verify, verification);
        assert.equal(typeof decoded.ok, 'boolean');
      },
    ),
    { numRuns: 1_000 },
  );
});

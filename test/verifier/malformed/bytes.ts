/** What is no certificate, and what is no base64: the same in every format. */
import { X509Certificate } from 'node:crypto';
import { base64, BEGIN, der, END, layout, type Malformed, other, pemOf, replaceAt } from './material.ts';

const middle = Math.floor(base64.length / 8) * 4;
const flipped = (at: number, bits: number): Buffer => {
  const copy = Buffer.from(der);
  copy.writeUInt8((copy[at] ?? 0) ^ bits, at);
  return copy;
};
/** The outer SEQUENCE with its length in three octets, where two are enough: BER, no DER. */
const longLength = Buffer.concat([Buffer.of(0x30, 0x83, 0x00), der.subarray(2)]);

export const notCertificates: readonly Malformed<Buffer>[] = [
  ['three zero bytes', Buffer.alloc(3), 'BadCertificate'],
  ['text', Buffer.from('hello'), 'BadCertificate'],
  ['JSON', Buffer.from('{"x5c":[]}'), 'BadCertificate'],
  ['an empty SEQUENCE', Buffer.of(0x30, 0x00), 'BadCertificate'],
  ['a SEQUENCE that promises 4 GB', Buffer.from('3084ffffffff', 'hex'), 'BadCertificate'],
  ['an indefinite length', Buffer.concat([Buffer.of(0x30, 0x80), der.subarray(4), Buffer.alloc(2)]), 'BadCertificate'],
  ['a length in too many octets', longLength, 'BadCertificate'],
  ['deeply nested SEQUENCEs', Buffer.from('3080'.repeat(500), 'hex'), 'BadCertificate'],
  ['a certificate cut short', der.subarray(0, -1), 'BadCertificate'],
  ['half a certificate', der.subarray(0, der.length / 2), 'BadCertificate'],
  ['its first byte alone', der.subarray(0, 1), 'BadCertificate'],
  ['its TBSCertificate alone', der.subarray(4, -80), 'BadCertificate'],
  ['a byte after the certificate', Buffer.concat([der, Buffer.of(0)]), 'BadCertificate'],
  ['a newline after the certificate', Buffer.concat([der, Buffer.from('\n')]), 'BadCertificate'],
  ['a certificate after the certificate', Buffer.concat([der, other]), 'BadCertificate'],
  ['the certificate twice', Buffer.concat([der, der]), 'BadCertificate'],
  ['a byte before the certificate', Buffer.concat([Buffer.of(0), der]), 'BadCertificate'],
  [
    'a certificate in an OCTET STRING',
    Buffer.concat([Buffer.of(4, 0x82, der.length >> 8, der.length & 255), der]),
    'BadCertificate',
  ],
  ['a SET for the SEQUENCE', flipped(0, 0x01), 'BadCertificate'],
  ['a length that is one less', flipped(3, 0x01), 'BadCertificate'],
  ['PEM', Buffer.from(pemOf(der)), 'BadCertificate'],
  ['PEM with text before it', Buffer.from(`subject=CN=x\n${pemOf(der)}`), 'BadCertificate'],
  ['base64 once more', Buffer.from(base64), 'BadCertificate'],
  ['PEM after another certificate', Buffer.concat([other, Buffer.from(`\n${pemOf(der)}`)]), 'BadCertificate'],
  ['a public key', new X509Certificate(der).publicKey.export({ type: 'spki', format: 'der' }), 'BadCertificate'],
  ['the beginning of a CRL', Buffer.from('300a020101300506032b6570', 'hex'), 'BadCertificate'],
  ['an empty PKCS #7', Buffer.from('300b06092a864886f70d010702', 'hex'), 'BadCertificate'],
];

/** Good letters, but no text that an encoder writes. */
export const brokenBase64: readonly Malformed[] = [
  ['= in the middle', replaceAt(base64, middle, '='), 'BadBase64'],
  ['== in the middle, as of two texts', `${base64.slice(0, middle)}==${base64.slice(middle)}`, 'BadBase64'],
  ['= at the start', `=${base64}`, 'BadBase64'],
  ['a = too many', `${base64}=`, 'BadBase64'],
  ['four = too many', `${base64}====`, 'BadBase64'],
  ['only padding', '====', 'BadBase64'],
  ['a single letter', 'M', 'BadBase64'],
  ['five characters too few', base64.slice(0, -5), 'BadBase64'],
  ['a letter too many', `${base64.replace(/=+$/, '')}AAA`.slice(0, base64.length + 1), 'BadBase64'],
  ['padding that hides bits', 'MB==', 'BadBase64'],
  ['padding that hides two bits', 'MIB=', 'BadBase64'],
  ['padding left out', Buffer.from('30', 'hex').toString('base64url'), 'BadBase64'],
];

/** Characters that no base64 has. A header's own parser may find them first. */
export const foreignCharacters: readonly (readonly [name: string, text: string])[] = [
  ['base64url', replaceAt(replaceAt(base64, 8, '-'), 12, '_')],
  ['a space in the base64', replaceAt(base64, 8, ' ')],
  ['a tab in the base64', replaceAt(base64, 8, '\t')],
  ['a NUL in the base64', replaceAt(base64, 8, '\0')],
  ['a letter outside ASCII', replaceAt(base64, 8, 'é')],
  ['a full-width letter', replaceAt(base64, 8, 'Ａ')],
  ['a lone surrogate', replaceAt(base64, 8, '\ud800')],
  ['a dot in the base64', replaceAt(base64, 8, '.')],
  ['a * in the base64', replaceAt(base64, 8, '*')],
  ['a ! after the base64', `${base64}!`],
  ['a space after the base64', `${base64} `],
  ['a no-break space before the base64', `\u00a0${base64}`],
  ['a byte order mark before the base64', `\ufeff${base64}`],
  ['a text after the padding', `${base64}#comment`],
  [
    'hexadecimal with colons',
    der
      .subarray(0, 40)
      .toString('hex')
      .replaceAll(/..(?=.)/g, '$&:'),
  ],
];

/** PEM texts of which none is one certificate as OpenSSL writes it. */
export const brokenPem: readonly Malformed[] = (() => {
  const good = pemOf(der);
  const lines = layout(base64);
  const wrap = (body: string) => `${BEGIN}\n${body}\n${END}\n`;
  const label = (text: string) => good.replaceAll('CERTIFICATE', text);
  const not = (name: string, pem: string): Malformed => [name, pem, 'NotOneCertificate'];
  const bad = (name: string, pem: string): Malformed => [name, pem, 'BadBase64'];
  return [
    not('newlines gone', good.replaceAll('\n', '')),
    not('newlines as spaces', good.replaceAll('\n', ' ')),
    not('newlines as tabs after newlines (older nginx)', good.replaceAll('\n', '\n\t')),
    not('CRLF', good.replaceAll('\n', '\r\n')),
    not('CR', good.replaceAll('\n', '\r')),
    not('CRLF in its body', wrap(lines.replaceAll('\n', '\r\n'))),
    not('text before', `subject=CN=x\n${good}`),
    not('a newline before', `\n${good}`),
    not('a space before', ` ${good}`),
    not('a byte order mark', `\ufeff${good}`),
    not('text after', `${good}x`),
    not('a letter for the last newline', `${good.trimEnd()}x`),
    not('a space for the last newline', `${good.trimEnd()} `),
    not('two newlines after', `${good}\n`),
    not('a space after', `${good} `),
    not('a NUL after', `${good}\0`),
    not('a NUL inside', good.replace('\n', '\n\0')),
    not('the label TRUSTED CERTIFICATE', label('TRUSTED CERTIFICATE')),
    not('the label X509 CERTIFICATE', label('X509 CERTIFICATE')),
    not('the label PKCS7', label('PKCS7')),
    not('a request', label('CERTIFICATE REQUEST')),
    not('the label in lower case', label('certificate')),
    not('labels that differ', good.replace(END, '-----END X509 CERTIFICATE-----')),
    not('four dashes', good.replace('-----BEGIN', '----BEGIN')),
    not('six dashes', good.replace('-----BEGIN', '------BEGIN')),
    not('dashes outside ASCII', good.replaceAll('-', '\u2010')),
    not('full-width letters', good.replace('CERTIFICATE', 'ＣERTIFICATE')),
    not('no BEGIN', good.slice(BEGIN.length + 1)),
    not('no END', good.slice(0, good.indexOf(END))),
    not('END before BEGIN', `${END}\n${lines}\n${BEGIN}\n`),
    not('BEGIN twice', `${BEGIN}\n${good}`),
    not('END on the last line', good.replace(`\n${END}`, END)),
    not('BEGIN alone', BEGIN),
    not('no body', wrap('')),
    not('a PEM header', wrap(`Proc-Type: 4,ENCRYPTED\n\n${lines}`)),
    not('a comment in it', wrap(`# mine\n${lines}`)),
    not('base64url', wrap(replaceAt(replaceAt(lines, 8, '-'), 12, '_'))),
    not('a space in the base64', wrap(replaceAt(lines, 8, ' '))),
    not('a comma in the base64', wrap(replaceAt(lines, 8, ','))),
    not('a percent sign in the base64', wrap(replaceAt(lines, 8, '%'))),
    not('a letter outside ASCII', wrap(replaceAt(lines, 8, 'é'))),
    bad('one line', wrap(base64)),
    bad('lines of 76', wrap(layout(base64, 76))),
    bad('lines of 63', wrap(layout(base64, 63))),
    bad('a line for each letter', wrap(layout(base64, 1))),
    bad('a blank line', wrap(lines.replaceAll('\n', '\n\n'))),
    bad('a blank first line', wrap(`\n${lines}`)),
    bad('a blank last line', wrap(`${lines}\n`)),
  ];
})();

/** Nearly what RFC 9440 says. */
import { brokenBase64, foreignCharacters, notCertificates } from './bytes.ts';
import { base64, ca, headers, leaf, type Malformed, type MalformedHeader, namesake, other, pemOf } from './material.ts';

const item = (bytes: Uint8Array): string => `:${Buffer.from(bytes).toString('base64')}:`;
const good = `:${base64}:`;
const issuer = item(ca);

const chains: readonly Malformed<string | readonly string[]>[] = [
  ['no member', ' ', 'BadSyntax'],
  ['a comma alone', ',', 'BadSyntax'],
  ['a comma before', `,${issuer}`, 'BadSyntax'],
  ['a comma after', `${issuer},`, 'BadSyntax'],
  ['two commas', `${issuer},,${issuer}`, 'BadSyntax'],
  ['a space for the comma', `${issuer} ${issuer}`, 'BadSyntax'],
  ['a semicolon for the comma', `${issuer};${issuer}`, 'BadSyntax'],
  ['a parameter', `${issuer};a=1`, 'BadSyntax'],
  ['an inner list', `(${issuer})`, 'BadSyntax'],
  ['a dictionary', `a=${issuer}`, 'BadSyntax'],
  ['a token', 'none', 'BadSyntax'],
  ['bare base64', issuer.slice(1, -1), 'BadSyntax'],
  ['an empty byte sequence', '::', 'BadBase64'],
  ['a line for each', [issuer, issuer], 'Repeated'],
  ['no issuer of the leaf', item(other), 'BadChain'],
  ['one with the name of its issuer and another key', item(namesake), 'BadChain'],
  ['the leaf once more', item(leaf), 'BadChain'],
  ['its issuer, and a stranger', `${issuer}, ${item(other)}`, 'BadChain'],
  ['a stranger, and its issuer', `${item(other)}, ${issuer}`, 'BadChain'],
  ['eleven issuers', Array.from({ length: 11 }, () => issuer).join(', '), 'BadChain'],
  ['no certificate', ':AAAA:', 'BadCertificate'],
  ['broken base64', ':MB==:', 'BadBase64'],
  ['longer than any', Array.from({ length: 60 }, () => issuer).join(', '), 'TooLarge'],
];

export const malformedClientCert: readonly MalformedHeader[] = [
  ...headers('rfc9440', [
    ...notCertificates.map(([name, bytes, code]): Malformed => [name, item(bytes), code]),
    ...brokenBase64.map(([name, text, code]): Malformed => [name, `:${text}:`, code]),
    ...foreignCharacters.map(([name, text]): Malformed => [name, `:${text}:`, 'BadSyntax']),
    ['an empty byte sequence', '::', 'BadBase64'],
    ['a lone colon', ':', 'BadSyntax'],
    ['no opening colon', `${base64}:`, 'BadSyntax'],
    ['no closing colon', `:${base64}`, 'BadSyntax'],
    ['colons twice', `:${good}:`, 'BadSyntax'],
    ['a space inside the colons', `: ${base64}:`, 'BadSyntax'],
    ['a newline inside the colons', `:${base64.slice(0, 64)}\n${base64.slice(64)}:`, 'BadSyntax'],
    ['a space before', ` ${good}`, 'BadSyntax'],
    ['a space after', `${good} `, 'BadSyntax'],
    ['a parameter', `${good};a`, 'BadSyntax'],
    ['a parameter with a value', `${good};a=1`, 'BadSyntax'],
    ['a semicolon after', `${good};`, 'BadSyntax'],
    ['a string in it', `:"${base64}":`, 'BadSyntax'],
    ['stars, as drafts of RFC 8941 had them', `*${base64}*`, 'BadSyntax'],
    ['an inner list', `(${good})`, 'BadSyntax'],
    ['a dictionary', `cert=${good}`, 'BadSyntax'],
    ['a boolean', '?1', 'BadSyntax'],
    ['an integer', '42', 'BadSyntax'],
    ['percent-encoded', encodeURIComponent(good), 'BadSyntax'],
    ['PEM in it', `:${pemOf(leaf)}:`, 'BadSyntax'],
    ['a list of the same', `${good}, ${good}`, 'NotOneCertificate'],
    ['a list without a space', `${good},${item(other)}`, 'NotOneCertificate'],
    ['the leaf and its chain', `${item(leaf)}, ${issuer}`, 'NotOneCertificate'],
    ['a comma after', `${good},`, 'NotOneCertificate'],
    ['two lines', [good, good], 'Repeated'],
    ['lines of two certificates', [good, item(other)], 'Repeated'],
    ['longer than any certificate', `:${'M'.repeat(16_384)}:`, 'TooLarge'],
  ]),
  ...chains.map(([name, chain, code]): MalformedHeader => ({
    name: `Client-Cert-Chain: ${name}`,
    terminator: 'rfc9440',
    value: item(leaf),
    chain,
    code,
  })),
  { name: 'Client-Cert-Chain without Client-Cert', terminator: 'rfc9440', value: [], chain: issuer, code: 'Absent' },
];

/** Nearly what HAProxy, OpenShift, Traefik and Cloudflare's older header send. */
import { brokenBase64, foreignCharacters, notCertificates } from './bytes.ts';
import { base64, ca, der, headers, leaf, type Malformed, type MalformedHeader, other, pemOf } from './material.ts';

const encoded = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64');
const [victim, issuer, own] = [base64, encoded(ca), encoded(leaf)];

const bytes: readonly Malformed[] = [
  ...notCertificates.map(([name, value, code]): Malformed => [name, encoded(value), code]),
  ...brokenBase64,
  ...foreignCharacters.map(([name, text]): Malformed => [name, text, 'BadBase64']),
];

export const malformedBase64Der: readonly MalformedHeader[] = [
  ...headers('haproxy', [
    ...bytes,
    ['an empty value', '', 'Absent'],
    ['no line at all', [], 'Absent'],
    ['two lines', [victim, victim], 'Repeated'],
    ['an empty line and a good one', ['', victim], 'Repeated'],
    ['a good line and an empty one', [victim, ''], 'Repeated'],
    ['lines of two certificates', [victim, own], 'Repeated'],
    ['two joined by a comma and a space, as Node joins lines', `${victim}, ${own}`, 'NotOneCertificate'],
    ['a comma after it', `${victim},`, 'NotOneCertificate'],
    ['percent-encoded', encodeURIComponent(victim), 'BadBase64'],
    ['with the labels of PEM', pemOf(der).replaceAll('\n', ''), 'BadBase64'],
    ['in double quotes', `"${victim}"`, 'BadBase64'],
    ['an empty pair of double quotes', '""', 'BadBase64'],
    ['an opening quote', `"${victim}`, 'BadBase64'],
    ['a closing quote', `${victim}"`, 'BadBase64'],
    ['typographic quotes', `“${victim}”`, 'BadBase64'],
    ['in single quotes', `'${victim}'`, 'BadBase64'],
    ['in brackets', `[${victim}]`, 'BadBase64'],
    ['another after a semicolon', `${victim};${own}`, 'BadBase64'],
    ['another after a space', `${victim} ${own}`, 'BadBase64'],
    ['a dash, as HAProxy logs an absent value', '-', 'BadBase64'],
    ['longer than any certificate', 'M'.repeat(16_388), 'TooLarge'],
  ]),
  ...headers('traefik', [
    ['a comma before', `,${victim}`, 'BadSyntax'],
    ['a comma after', `${victim},`, 'BadSyntax'],
    ['two commas', `${own},,${issuer}`, 'BadSyntax'],
    ['a comma alone', ',', 'BadSyntax'],
    ['a thousand commas', ','.repeat(1_000), 'BadSyntax'],
    ['a space after the comma', `${own}, ${issuer}`, 'BadBase64'],
    ['a semicolon between two', `${own};${issuer}`, 'BadBase64'],
    ['the padding of the first left out', `${encoded(Buffer.alloc(1)).replaceAll('=', '')},${issuer}`, 'BadBase64'],
    ["a forged line joined with the terminator's", `${victim},${own},${issuer}`, 'BadChain'],
    ["the victim's certificate at the end of a chain", `${own},${issuer},${victim}`, 'BadChain'],
    ["the victim's certificate instead of a chain", `${own},${victim}`, 'BadChain'],
    ['a chain from the root down', `${issuer},${own}`, 'BadChain'],
    ['a leaf twice', `${own},${own}`, 'BadChain'],
    ['strangers', `${victim},${encoded(other)}`, 'BadChain'],
    ['eleven issuers', [own, ...Array.from({ length: 11 }, () => issuer)].join(','), 'BadChain'],
    ['no certificate second', `${own},AAAA`, 'BadCertificate'],
    ['broken base64 second', `${own},${issuer}=`, 'BadBase64'],
    ['percent-encoded, as before 2.9.4', encodeURIComponent(`${own},${issuer}`), 'BadBase64'],
    ['lines of a chain', [own, issuer], 'Repeated'],
    ['longer than any chain', Array.from({ length: 200 }, () => victim).join(','), 'TooLarge'],
  ]),
];

/** Nearly what Envoy sends. */
import { brokenBase64, brokenPem, notCertificates } from './bytes.ts';
import {
  awsEscape,
  ca,
  der,
  hashOf,
  headers,
  layout,
  leaf,
  type Malformed,
  type MalformedHeader,
  other,
  pemOf,
  wrap,
} from './material.ts';
import { createHash } from 'node:crypto';

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const escaped = (...certificates: readonly Uint8Array[]): string => encodeURIComponent(pemOf(...certificates));

const hash = `Hash=${hashOf(der)}`;
const cert = `Cert="${escaped(der)}"`;
const good = `${hash};${cert}`;
const victim = `Hash=${hashOf(other)};Cert="${escaped(other)}"`;
const chained = `Hash=${hashOf(leaf)};Chain="${escaped(leaf, ca)}"`;

/** With the hash of what it holds, so that nothing else is wrong with it. */
const holding = (bytes: Uint8Array, pem: string): string => `Hash=${sha256(bytes)};Cert="${encodeURIComponent(pem)}"`;

const values: readonly Malformed[] = [
  ...brokenPem.map(([name, pem, code]): Malformed => [name, holding(der, pem), code]),
  ...brokenBase64.map(([name, text, code]): Malformed => [
    name,
    holding(Buffer.from(text, 'base64'), wrap(layout(text))),
    code,
  ]),
  ...notCertificates.map(([name, bytes, code]): Malformed => [name, holding(bytes, pemOf(bytes)), code]),
];

export const malformedXfcc: readonly MalformedHeader[] = headers('envoy', [
  ...values,
  ['no certificate in it', hash, 'Absent'],
  ['only who it is by', 'By=spiffe://example.test/gateway', 'Absent'],
  ['an empty certificate', `${hash};Cert=""`, 'NotOneCertificate'],
  ['an empty chain', `${hash};Chain=""`, 'NotOneCertificate'],
  ['a certificate without its hash', cert, 'HashMismatch'],
  ["another certificate's hash", `Hash=${hashOf(other)};${cert}`, 'HashMismatch'],
  ['a hash in upper case', `Hash=${hashOf(der).toUpperCase()};${cert}`, 'HashMismatch'],
  ['a hash in base64', `Hash="${Buffer.from(hashOf(der), 'hex').toString('base64')}";${cert}`, 'HashMismatch'],
  ['half a hash', `Hash=${hashOf(der).slice(0, 32)};${cert}`, 'HashMismatch'],
  ['an empty hash', `Hash=;${cert}`, 'HashMismatch'],
  ['a hash of SHA-1', `Hash=${createHash('sha1').update(der).digest('hex')};${cert}`, 'HashMismatch'],
  ['a chain of somebody else', `${good};Chain="${escaped(other)}"`, 'HashMismatch'],
  [
    "the chain's hash and another certificate",
    `Hash=${hashOf(leaf)};${cert};Chain="${escaped(leaf, ca)}"`,
    'HashMismatch',
  ],
  ["another certificate and the chain's hash, turned round", `${chained};${cert}`, 'HashMismatch'],
  ['a chain out of order', `Hash=${hashOf(ca)};Chain="${escaped(ca, leaf)}"`, 'BadChain'],
  ['a chain with a stranger', `Hash=${hashOf(leaf)};Chain="${escaped(leaf, der)}"`, 'BadChain'],
  ['two certificates in Cert', `Hash=${hashOf(leaf)};Cert="${escaped(leaf, ca)}"`, 'NotOneCertificate'],
  ['two elements', `${good},${victim}`, 'UnexpectedElements'],
  ['an element before', `${victim},${good}`, 'UnexpectedElements'],
  ['an element of the terminator alone after a forged one', `${good},${hash}`, 'UnexpectedElements'],
  ['an element that a URI brought along', `${good};URI=spiffe://x,${victim}`, 'UnexpectedElements'],
  ['three elements', `${good},${victim},${good}`, 'UnexpectedElements'],
  ['pairs that a URI brought along', `${good};URI=spiffe://x;${victim}`, 'BadSyntax'],
  ['a Cert that a DNS name brought along', `${good};DNS=x;Cert="${escaped(other)}"`, 'BadSyntax'],
  ['a Hash that a URI brought along', `${good};URI=x;Hash=${hashOf(other)}`, 'BadSyntax'],
  ['a Subject that closes its own quotes', `${good};Subject="CN=x";${cert};DNS="`, 'BadSyntax'],
  ['a URI that opens quotes', `${good};URI="x;DNS=y`, 'BadSyntax'],
  ['Cert twice', `${good};${cert}`, 'BadSyntax'],
  ['Cert twice, in two cases', `${good};cert="${escaped(other)}"`, 'BadSyntax'],
  ['Chain twice', `${chained};Chain="${escaped(other)}"`, 'BadSyntax'],
  ['Hash twice', `${hash};${good}`, 'BadSyntax'],
  ['Subject twice', `${good};Subject="CN=a";Subject="CN=b"`, 'BadSyntax'],
  ['a semicolon before', `;${good}`, 'BadSyntax'],
  ['a semicolon after', `${good};`, 'BadSyntax'],
  ['two semicolons', `${hash};;${cert}`, 'BadSyntax'],
  ['a semicolon alone', ';', 'BadSyntax'],
  ['a comma before', `,${good}`, 'BadSyntax'],
  ['a comma after', `${good},`, 'BadSyntax'],
  ['a comma alone', ',', 'BadSyntax'],
  ['a letter for the semicolon', `${cert}x${hash}`, 'BadSyntax'],
  ['a space for the semicolon', `${cert} ${hash}`, 'BadSyntax'],
  ['a comma for the semicolon', `${hash},${cert}`, 'UnexpectedElements'],
  ['two elements joined by a comma and a space', `${good}, ${victim}`, 'BadSyntax'],
  ['a space after the semicolon', `${hash}; ${cert}`, 'BadSyntax'],
  ['a space before the =', good.replace('Cert=', 'Cert ='), 'BadSyntax'],
  ['a space after the =', good.replace('Cert=', 'Cert= '), 'BadSyntax'],
  ['a space before the line', ` ${good}`, 'BadSyntax'],
  ['a colon for the =', good.replace('Cert=', 'Cert:'), 'BadSyntax'],
  ['a key without a value', `${hash};Cert`, 'BadSyntax'],
  ['a value without a key', `${hash};="${escaped(der)}"`, 'BadSyntax'],
  ['a value alone', `"${escaped(der)}"`, 'BadSyntax'],
  ['a key in quotes', `${hash};"Cert"="${escaped(der)}"`, 'BadSyntax'],
  ['a key with a dash', `${good};X-Cert="${escaped(other)}"`, 'BadSyntax'],
  ['a key outside ASCII', `${hash};Ϲert="${escaped(der)}"`, 'BadSyntax'],
  ['an unknown key for the certificate', `${hash};Certificate="${escaped(der)}"`, 'Absent'],
  ['a certificate without quotes', `${hash};Cert=${escaped(der)}`, 'BadSyntax'],
  ['a chain without quotes', `Hash=${hashOf(leaf)};Chain=${escaped(leaf, ca)}`, 'BadSyntax'],
  ['no opening quote', `${hash};Cert=${escaped(der)}"`, 'BadSyntax'],
  ['no closing quote', `${hash};Cert="${escaped(der)}`, 'BadSyntax'],
  ['single quotes', `${hash};Cert='${escaped(der)}'`, 'BadSyntax'],
  ['quotes twice', `${hash};Cert=""${escaped(der)}""`, 'BadSyntax'],
  ['text after the closing quote', `${good}x`, 'BadSyntax'],
  ['a space after the closing quote', `${good} `, 'BadSyntax'],
  ['escaped quotes for quotes', `${hash};Cert=\\"${escaped(der)}\\"`, 'BadSyntax'],
  ['the closing quote escaped', `${hash};Cert="${escaped(der)}\\"`, 'BadSyntax'],
  ['a backslash at the end', `${good};Subject="CN=x\\`, 'BadSyntax'],
  ['an escaped quote in the certificate', `${hash};Cert="${escaped(der)}\\""`, 'NotOneCertificate'],
  ['a backslash in the certificate', `${hash};Cert="\\${escaped(der)}"`, 'NotOneCertificate'],
  ['an escaped letter in the certificate', `${hash};Cert="${escaped(der).replace('M', '\\M')}"`, 'NotOneCertificate'],
  ['the certificate not escaped', `${hash};Cert="${pemOf(der)}"`, 'BadEscape'],
  ['the certificate as AWS escapes it', `${hash};Cert="${awsEscape(pemOf(der))}"`, 'BadEscape'],
  ['the certificate escaped twice', `${hash};Cert="${encodeURIComponent(escaped(der))}"`, 'NotOneCertificate'],
  ['the certificate form-encoded', `${hash};Cert="${escaped(der).replaceAll('%20', '+')}"`, 'NotOneCertificate'],
  ['half an escape in the certificate', `${hash};Cert="${escaped(der)}%2"`, 'BadEscape'],
  ['the certificate in bare base64', `${hash};Cert="${der.toString('base64')}"`, 'NotOneCertificate'],
  ['the certificate as a byte sequence', `${hash};Cert=":${der.toString('base64')}:"`, 'NotOneCertificate'],
  ['everything in quotes', `"${good}"`, 'BadSyntax'],
  ['JSON of it', JSON.stringify([{ hash: hashOf(der), cert: escaped(der) }]), 'BadSyntax'],
  ['a line for each element', [good, victim], 'Repeated'],
  ['longer than any chain', `${good};Subject="${'x'.repeat(65_536)}"`, 'TooLarge'],
]);

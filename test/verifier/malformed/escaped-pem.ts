/** Nearly what nginx and AWS send. */
import { brokenBase64, brokenPem, notCertificates } from './bytes.ts';
import {
  awsEscape,
  base64,
  ca,
  der,
  hashOf,
  headers,
  layout,
  leaf,
  namesake,
  type Malformed,
  type MalformedHeader,
  other,
  pemOf,
  wrap,
} from './material.ts';

type Escape = (pem: string) => string;

/** PEM escaped rightly. */
const wrongPem = (escape: Escape): Malformed[] => [
  ...brokenPem.map(([name, pem, code]): Malformed => [name, escape(pem), code]),
  ...brokenBase64.map(([name, text, code]): Malformed => [name, escape(wrap(layout(text))), code]),
  ...notCertificates.map(([name, bytes, code]): Malformed => [name, escape(pemOf(bytes)), code]),
];

/** A right PEM escaped wrongly. */
const wrongEscape = (escape: Escape): Malformed[] => {
  const good = escape(pemOf(der));
  return [
    ['a lone %', '%', 'BadEscape'],
    ['% at the end', `${good}%`, 'BadEscape'],
    ['half an escape', `${good}%2`, 'BadEscape'],
    ['an escape that is not hexadecimal', `${good}%GG`, 'BadEscape'],
    ['an escape of JavaScript', `${good}%u000A`, 'BadEscape'],
    ['a space in an escape', good.replace('%0A', '% 0A'), 'BadEscape'],
    ['an escape cut in the middle', good.slice(0, good.indexOf('%') + 2), 'BadEscape'],
    ['bytes that are not UTF-8', `${good}%FF`, 'BadEscape'],
    ['an overlong encoding of a newline', good.replace('%0A', '%C0%8A'), 'BadEscape'],
    ['half a UTF-8 sequence', `${good}%E2%82`, 'BadEscape'],
    ['a surrogate in UTF-8', `${good}%ED%A0%80`, 'BadEscape'],
    ['a code point past the last', `${good}%F4%90%80%80`, 'BadEscape'],
    ['dashes escaped', good.replaceAll('-', '%2D'), 'BadEscape'],
    ['a letter escaped', good.replace('M', '%4D'), 'BadEscape'],
    [
      'everything escaped',
      pemOf(der).replaceAll(/[^]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`),
      'BadEscape',
    ],
    ['not escaped at all', pemOf(der), 'BadEscape'],
    ['spaces bare', good.replaceAll('%20', ' '), 'BadEscape'],
    ['newlines bare', good.replaceAll('%0A', '\n'), 'BadEscape'],
    ['form encoding: + for the spaces', good.replaceAll('%20', '+'), 'NotOneCertificate'],
    ['newlines as literal \\n', good.replaceAll('%0A', '\\n'), 'NotOneCertificate'],
    ['escaped twice', encodeURIComponent(good), 'NotOneCertificate'],
    ['HTML escapes', good.replaceAll('%', '&#x').replaceAll('&#x0A', '&#x0A;'), 'NotOneCertificate'],
    ['in double quotes', `"${good}"`, 'NotOneCertificate'],
    ['in single quotes', `'${good}'`, 'NotOneCertificate'],
    ['as a query parameter', `cert=${good}`, 'NotOneCertificate'],
    ['a space before the line', ` ${good}`, 'NotOneCertificate'],
    ['a tab after the line', `${good}\t`, 'NotOneCertificate'],
    ['a data URL', `data:application/x-x509-ca-cert;base64,${base64}`, 'NotOneCertificate'],
    ['two joined by a comma, as Node joins lines', `${good}, ${good}`, 'NotOneCertificate'],
    ['two joined by a comma without a space', `${good},${good}`, 'NotOneCertificate'],
    ['two joined by a semicolon', `${good};${good}`, 'NotOneCertificate'],
    ['a fingerprint', hashOf(der), 'NotOneCertificate'],
    ['a distinguished name', 'CN=client,O=example', 'NotOneCertificate'],
    ['a word', 'none', 'NotOneCertificate'],
    ['a null of JavaScript', 'undefined', 'NotOneCertificate'],
  ];
};

const two = encodeURIComponent(pemOf(der, other));
const good = encodeURIComponent(pemOf(der));
const awsChain = (...certificates: readonly Uint8Array[]) => awsEscape(pemOf(...certificates));

export const malformedEscapedPem: readonly MalformedHeader[] = [
  ...headers('nginx', [
    ...wrongPem(encodeURIComponent),
    ...wrongEscape(encodeURIComponent),
    ['two certificates', two, 'NotOneCertificate'],
    ['the same certificate twice', encodeURIComponent(pemOf(der, der)), 'NotOneCertificate'],
    ['a certificate and its issuer', encodeURIComponent(pemOf(leaf, ca)), 'NotOneCertificate'],
    ['two certificates in two lines', [good, encodeURIComponent(pemOf(other))], 'Repeated'],
    ['longer than any certificate', 'A'.repeat(16_385), 'TooLarge'],
    ['a good one and padding past the limit', good + '%0A'.repeat(6_000), 'TooLarge'],
    ['/ bare', good.replaceAll('%2F', '/'), 'BadEscape'],
    ['= bare', good.replaceAll('%3D', '='), 'BadEscape'],
    ['+ bare', good.replaceAll('%2B', '+'), 'BadEscape'],
  ]),
  ...headers('aws-alb', [
    ...wrongPem(awsEscape),
    ...wrongEscape(awsEscape),
    ['two certificates in two lines', [awsChain(der), awsChain(other)], 'Repeated'],
    ['one + escaped', awsChain(der).replace('+', '%2B'), 'BadEscape'],
    ['one / escaped', awsChain(der).replace('/', '%2F'), 'BadEscape'],
    ['its = escaped', awsChain(der).replaceAll('=', '%3D'), 'BadEscape'],
  ]),
  ...headers('aws-alb-passthrough', [
    ['two certificates that have nothing to do with each other', awsChain(der, other), 'BadChain'],
    ["the victim's certificate before a chain", awsChain(der, leaf, ca), 'BadChain'],
    ["the victim's certificate after the own", awsChain(other, der), 'BadChain'],
    ['an issuer of the same name with another key', awsChain(leaf, namesake), 'BadChain'],
    ['a letter for the newline between two', awsEscape(`${pemOf(leaf).trimEnd()}x${pemOf(ca)}`), 'NotOneCertificate'],
    ['a chain from the root down', awsChain(ca, leaf), 'BadChain'],
    ['a leaf twice', awsChain(leaf, leaf), 'BadChain'],
    ['eleven issuers', awsChain(leaf, ...Array.from({ length: 11 }, () => ca)), 'BadChain'],
    ['a blank line between two', awsEscape(`${pemOf(leaf)}\n${pemOf(ca)}`), 'NotOneCertificate'],
    ['no newline between two', awsEscape(`${pemOf(leaf).trimEnd()}${pemOf(ca)}`), 'NotOneCertificate'],
    ['text between two', awsEscape(`${pemOf(leaf)}x\n${pemOf(ca)}`), 'NotOneCertificate'],
    ['a second one cut short', awsChain(leaf, ca).slice(0, -40), 'NotOneCertificate'],
    ['a second one that is none', awsChain(leaf, Buffer.from('hello')), 'BadCertificate'],
    ['longer than any chain', awsChain(...Array.from({ length: 200 }, () => der)), 'TooLarge'],
  ]),
];

/**
 * Distinguished names as strings: RFC 4514, strictly, in both directions.
 *
 * Not left to @peculiar/x509 2.2, whose Name.toString() joins the RDNs in encoded order with ", " (RFC 4514 §2.1 wants the
 * reverse, and "," alone), and whose parser is one regular expression: there a `,` in a value starts another RDN, and a
 * value with a leading `#` becomes raw DER. A tenant's CN could so claim another client's identity.
 */
import { OperatorError } from '../errors.ts';
import { attributeProblem, attributeType, type AttributeType } from './attribute-type.ts';
import { decodeAttributeValue, encodeAttributeValue } from './attribute-value.ts';
import { oid, sequence } from './der.ts';

/** One attribute: its type is a short name of RFC 4514 §3 where one exists, else a dotted OID. */
export interface Attribute {
  readonly type: string;
  readonly value: string;
}
/** A relative distinguished name: one attribute, or several joined with `+`. */
export type Rdn = readonly Attribute[];
/** A distinguished name in the order of its RFC 4514 string, which is the reverse of the encoded order. */
export type Dn = readonly Rdn[];

const MAXIMUM_LENGTH = 2048;
const MAXIMUM_RDNS = 32;

interface Cursor {
  readonly text: string;
  at: number;
}

/** @throws {OperatorError} `InvalidDistinguishedName`, terminal: the message is public and says what to write instead. */
export function invalidDn(problem: string): OperatorError {
  return new OperatorError('InvalidDistinguishedName', `The distinguished name is not valid: ${problem}.`, {
    retry: { class: 'terminal' },
  });
}

function invalidAt(cursor: Cursor, at: number, problem: string): OperatorError {
  const position = Array.from(cursor.text.slice(0, at)).length + 1;
  return new OperatorError(
    'InvalidDistinguishedName',
    `The distinguished name is not valid at character ${position}: ${problem}.`,
    { retry: { class: 'terminal' } },
  );
}

/** The name under which a type is kept in a Dn. */
export function canonicalType(type: AttributeType): string {
  return type.shortName ?? type.oid;
}

/**
 * Parses an RFC 4514 string, as in `CN=payments-batch,O=payments`. What RFC 4514 does not know is an error, not a guess:
 * spaces around separators, `;` as a separator, quoted values.
 * @throws {OperatorError} `InvalidDistinguishedName`, terminal, with the position and what to write instead
 */
export function parseDn(text: string): Dn {
  if (text === '') throw invalidDn('it is empty: write at least one attribute, such as CN=payments-batch');
  if (text.length > MAXIMUM_LENGTH) throw invalidDn(`it is longer than ${MAXIMUM_LENGTH} characters: shorten it`);
  const cursor: Cursor = { text, at: 0 };
  const rdns: Rdn[] = [];
  let rdn: Attribute[] = [];
  for (;;) {
    const start = cursor.at;
    const attribute = parseAttribute(cursor);
    if (rdn.some((other) => other.type === attribute.type)) {
      throw invalidAt(
        cursor,
        start,
        `${attribute.type} stands twice in one RDN (X.501 §9.3): separate the two with ',' instead of '+'`,
      );
    }
    rdn.push(attribute);
    const separator = text[cursor.at];
    cursor.at += 1;
    if (separator === '+') continue;
    rdns.push(rdn);
    rdn = [];
    if (rdns.length > MAXIMUM_RDNS)
      throw invalidAt(cursor, start, `it has more than ${MAXIMUM_RDNS} parts: remove some`);
    if (separator === undefined) return rdns;
  }
}

function parseAttribute(cursor: Cursor): Attribute {
  const start = cursor.at;
  const type = parseType(cursor);
  const value = cursor.text[cursor.at] === '#' ? parseHexValue(cursor) : parseStringValue(cursor);
  const problem = attributeProblem(type, value);
  if (problem !== undefined) throw invalidAt(cursor, start, problem);
  return { type: canonicalType(type), value };
}

function match(cursor: Cursor, pattern: RegExp): string {
  pattern.lastIndex = cursor.at;
  const found = pattern.exec(cursor.text)?.[0] ?? '';
  cursor.at += found.length;
  return found;
}

function parseType(cursor: Cursor): AttributeType {
  const start = cursor.at;
  const name = match(cursor, /[A-Za-z0-9.-]+/y);
  const next = cursor.text[cursor.at];
  if (next === ' ') {
    throw invalidAt(
      cursor,
      cursor.at,
      "a space next to ',', '+' or '=': remove it, or write '\\ ' if it is part of the value",
    );
  }
  if (name === '') {
    throw invalidAt(
      cursor,
      start,
      "an attribute type is missing: write one, such as CN=, or '\\,' for a comma in a value",
    );
  }
  if (next !== '=') {
    throw invalidAt(
      cursor,
      cursor.at,
      `'=' is missing after ${name}: write ${name}=value, or '\\,' for a comma in a value`,
    );
  }
  const type = attributeType(name);
  if (type === undefined) {
    throw invalidAt(
      cursor,
      start,
      `the attribute type ${name} is not known: write one of CN, L, ST, O, OU, C, STREET, DC, UID, or its dotted OID`,
    );
  }
  cursor.at += 1;
  return type;
}

function parseHexValue(cursor: Cursor): string {
  const start = cursor.at;
  cursor.at += 1;
  const hex = match(cursor, /[0-9A-Fa-f]*/y);
  const next = cursor.text[cursor.at];
  if (hex === '' || hex.length % 2 !== 0 || (next !== undefined && next !== ',' && next !== '+')) {
    throw invalidAt(cursor, start, "'#' begins a value in hexadecimal DER: write '\\#' if it is part of the value");
  }
  try {
    return decodeAttributeValue(Buffer.from(hex, 'hex'));
  } catch (error) {
    throw invalidAt(cursor, start, error instanceof Error ? error.message : 'the hexadecimal DER is not a string');
  }
}

function parseStringValue(cursor: Cursor): string {
  const start = cursor.at;
  const parts: Buffer[] = [];
  let endsInSpace = false;
  if (cursor.text[start] === ' ') {
    throw invalidAt(cursor, start, "a space begins the value: remove it, or write '\\ ' if it is part of the value");
  }
  for (;;) {
    const literal = match(cursor, /[^\\,+"<>;]+/y);
    if (literal !== '') {
      if (!literal.isWellFormed()) throw invalidAt(cursor, start, 'half a surrogate pair: write the whole character');
      parts.push(Buffer.from(literal, 'utf8'));
      endsInSpace = literal.endsWith(' ');
    }
    const next = cursor.text[cursor.at];
    if (next === undefined || next === ',' || next === '+') break;
    if (next !== '\\') {
      throw invalidAt(
        cursor,
        cursor.at,
        `${next} stands unescaped: write '\\${next}' (RFC 4514 knows no quotes and no ';')`,
      );
    }
    parts.push(parseEscape(cursor));
    endsInSpace = false;
  }
  if (endsInSpace) {
    throw invalidAt(
      cursor,
      cursor.at - 1,
      "a space ends the value: remove it, or write '\\ ' if it is part of the value",
    );
  }
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.concat(parts));
  } catch {
    throw invalidAt(cursor, start, 'the escaped bytes are not UTF-8: write the character itself');
  }
}

function parseEscape(cursor: Cursor): Buffer {
  const escape = match(cursor, /\\(?:[0-9A-Fa-f]{2}|[\\ #="+,;<>])/y);
  if (escape === '') {
    throw invalidAt(
      cursor,
      cursor.at,
      "'\\' escapes only '\"', '+', ',', ';', '<', '>', ' ', '#', '=', '\\' or two hex digits",
    );
  }
  return escape.length === 3 ? Buffer.from(escape.slice(1), 'hex') : Buffer.from(escape.slice(1), 'latin1');
}

const mustBeEscaped = /["+,;<>\\]/g;
/** RFC 4514 §2.4 lets others be escaped too. Servers in Java compare with X500Principal's text, which has these. */
const escapedByJava = /["+,;<>\\=#]/g;

/** RFC 4514 §2.4 */
function escapeValue(value: string, special = mustBeEscaped): string {
  return value
    .replace(special, '\\$&')
    .replaceAll('\0', '\\00')
    .replace(/^[ #]/, '\\$&')
    .replace(/(?<!^\\) $/, '\\ ');
}

/**
 * The RFC 4514 string of a name. Types without a short name are written as `1.2.3=#<DER in hex>` (RFC 4514 §2.4). The
 * attributes of a multi-valued RDN stand as they do in a certificate: servers in Java compare with the text of that.
 */
export function formatDn(dn: Dn): string {
  return dn
    .map((rdn) =>
      inOrderOfDer(rdn)
        .map(({ type, value }) => {
          const known = attributeType(type);
          if (known === undefined) throw unknownType(type);
          if (known.shortName !== undefined) return `${known.shortName}=${escapeValue(value, escapedByJava)}`;
          return `${known.oid}=#${Buffer.from(encodeAttributeValue(known, value)).toString('hex')}`;
        })
        .join('+'),
    )
    .join(',');
}

function encoded({ type, value }: Attribute): Uint8Array {
  const known = attributeType(type);
  if (known === undefined) throw unknownType(type);
  return sequence(oid(known.oid), encodeAttributeValue(known, value));
}

/** X.690 §11.6: of a SET OF. */
function inOrderOfDer(rdn: Rdn): Rdn {
  if (rdn.length === 1) return rdn;
  return rdn.toSorted((one, other) => Buffer.compare(encoded(one), encoded(other)));
}

function unknownType(type: string): OperatorError {
  return invalidDn(`the attribute type ${type} is neither known nor a dotted OID`);
}

/** RFC 4518 §2, and wider: what two readers could take for the same value is the same value. */
function normaliseValue(value: string): string {
  let before: string;
  let after = value;
  do {
    before = after;
    // Upper case first: it folds what lower case alone keeps apart (ß and ss, final sigma). Removing characters can
    // bring others together that compose, hence the loop.
    after = before
      .replace(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}\ufffc]/gu, (c) => (/\s/.test(c) ? ' ' : ''))
      .normalize('NFKC')
      .toUpperCase()
      .toLowerCase()
      .normalize('NFKC')
      .replace(/\s+/gu, ' ')
      .trim();
  } while (after !== before);
  return after;
}

/**
 * The form in which names are compared to decide who holds an identity (RFC 5280 §7.1): without case, compatibility
 * forms, invisible characters, doubled or outer white space, or the order inside a multi-valued RDN. Wider than what
 * servers match on, so that no two clients get names that one of them could confuse. Not for registration.
 */
export function canonicalDn(dn: Dn): string {
  return dn
    .map((rdn) =>
      rdn
        .map(({ type, value }) => `${type.toLowerCase()}=${escapeValue(normaliseValue(value))}`)
        .toSorted()
        .join('+'),
    )
    .join(',');
}

/** Whether two names have the same values; the order inside a multi-valued RDN and the string types do not count. */
export function sameDn(a: Dn, b: Dn): boolean {
  const ordered = (dn: Dn): string => formatDn(dn.map((rdn) => rdn.toSorted((x, y) => (x.type < y.type ? -1 : 1))));
  return ordered(a) === ordered(b);
}

/**
 * The attribute types of a distinguished name that we write ourselves: their short name (RFC 4514 §3), their string type
 * and their upper bound (RFC 5280 Appendix A.1). Types that are not listed are named by their dotted OID.
 */
export interface AttributeType {
  readonly oid: string;
  /** Names accepted in input, compared without case. */
  readonly names: readonly string[];
  /** The short name that RFC 4514 §3 lets every reader know; without one the dotted OID is written. */
  readonly shortName?: string;
  /** How the value is encoded. */
  readonly syntax: 'utf8' | 'printable' | 'ia5';
  /** Most characters in a value. */
  readonly maximum: number;
}

const ATTRIBUTE_TYPES: readonly AttributeType[] = [
  { oid: '2.5.4.3', shortName: 'CN', names: ['CN', 'commonName'], syntax: 'utf8', maximum: 64 },
  { oid: '2.5.4.7', shortName: 'L', names: ['L', 'localityName'], syntax: 'utf8', maximum: 128 },
  { oid: '2.5.4.8', shortName: 'ST', names: ['ST', 'stateOrProvinceName'], syntax: 'utf8', maximum: 128 },
  { oid: '2.5.4.10', shortName: 'O', names: ['O', 'organizationName'], syntax: 'utf8', maximum: 64 },
  { oid: '2.5.4.11', shortName: 'OU', names: ['OU', 'organizationalUnitName'], syntax: 'utf8', maximum: 64 },
  { oid: '2.5.4.6', shortName: 'C', names: ['C', 'countryName'], syntax: 'printable', maximum: 2 },
  { oid: '2.5.4.9', shortName: 'STREET', names: ['STREET', 'streetAddress'], syntax: 'utf8', maximum: 128 },
  {
    oid: '0.9.2342.19200300.100.1.25',
    shortName: 'DC',
    names: ['DC', 'domainComponent'],
    syntax: 'ia5',
    maximum: 63,
  },
  { oid: '0.9.2342.19200300.100.1.1', shortName: 'UID', names: ['UID', 'userId'], syntax: 'utf8', maximum: 256 },
  { oid: '2.5.4.5', names: ['serialNumber'], syntax: 'printable', maximum: 64 },
  { oid: '2.5.4.46', names: ['dnQualifier'], syntax: 'printable', maximum: 64 },
  { oid: '2.5.4.12', names: ['title'], syntax: 'utf8', maximum: 64 },
  { oid: '2.5.4.4', names: ['SN', 'surname'], syntax: 'utf8', maximum: 64 },
  { oid: '2.5.4.42', names: ['givenName', 'GN'], syntax: 'utf8', maximum: 64 },
  { oid: '1.2.840.113549.1.9.1', names: ['emailAddress', 'E'], syntax: 'ia5', maximum: 255 },
];

const BY_NAME = new Map(
  ATTRIBUTE_TYPES.flatMap((type) => [type.oid, ...type.names].map((name) => [name.toLowerCase(), type] as const)),
);

const DOTTED_OID = /^(?:[01]\.(?:[0-9]|[1-3][0-9])|2\.(?:0|[1-9][0-9]{0,8}))(?:\.(?:0|[1-9][0-9]{0,8})){1,30}$/;

/** Characters of a PrintableString (X.680 §41.4). */
const PRINTABLE_STRING = /^[A-Za-z0-9 '()+,\-./:=?]*$/;
/** Characters of an IA5String that are not control characters. */
const IA5_STRING = /^[\x20-\x7e]*$/;
/** Control characters, line and paragraph separators: invisible in every list of clients, and NUL ends a C string early. */
const FORBIDDEN = /[\p{Cc}\u2028\u2029]/u;
const VISIBLE = /[^\s\p{Cf}\p{Default_Ignorable_Code_Point}]/u;

/** The type of that name or dotted OID; undefined for a name that is neither known nor a dotted OID. */
export function attributeType(nameOrOid: string): AttributeType | undefined {
  const known = BY_NAME.get(nameOrOid.toLowerCase());
  if (known !== undefined) return known;
  return DOTTED_OID.test(nameOrOid) ? { oid: nameOrOid, names: [], syntax: 'utf8', maximum: 256 } : undefined;
}

/** What keeps a value out of a certificate of ours, as a phrase that says what to write instead; undefined when nothing does. */
export function attributeProblem(type: AttributeType, value: string): string | undefined {
  const name = type.shortName ?? type.names[0] ?? type.oid;
  if (!value.isWellFormed()) return `the value of ${name} has half a surrogate pair: write the whole character`;
  if (FORBIDDEN.test(value)) return `the value of ${name} has a control character: remove it`;
  if (!VISIBLE.test(value)) return `the value of ${name} is empty: give it one or remove ${name}`;
  if (type.shortName === 'C' && !/^[A-Za-z]{2}$/.test(value)) {
    return 'the value of C is not a country code: write the two letters of ISO 3166, such as C=DE';
  }
  const characters = Array.from(value).length;
  if (characters > type.maximum) {
    return `the value of ${name} has ${characters} characters: shorten it to ${type.maximum} (RFC 5280, upper bounds)`;
  }
  if (type.syntax === 'printable' && !PRINTABLE_STRING.test(value)) {
    return `the value of ${name} may have only the characters of a PrintableString: A-Z a-z 0-9 space ' ( ) + , - . / : = ?`;
  }
  if (type.syntax === 'ia5' && !IA5_STRING.test(value)) return `the value of ${name} may have only ASCII characters`;
  return undefined;
}

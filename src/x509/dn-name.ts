/** Distinguished names between their RFC 4514 order and DER, where the order of the RDNs is the reverse. */
import { fromBER, ObjectIdentifier, Sequence, Set as Asn1Set } from 'asn1js';
import { attributeProblem, attributeType } from './attribute-type.ts';
import { decodeAttributeValue, encodeAttributeValue } from './attribute-value.ts';
import { oid as oidDer, sequence, setOf } from './der.ts';
import { canonicalType, invalidDn, type Attribute, type Dn, type Rdn } from './dn.ts';

/**
 * The DER of a Name for a certificate of ours.
 * @throws {OperatorError} `InvalidDistinguishedName`, terminal, for values over the bounds of RFC 5280
 */
export function dnToDer(dn: Dn): Uint8Array {
  return sequence(...dn.toReversed().map(rdnToDer));
}

function rdnToDer(rdn: Rdn): Uint8Array {
  const attributes = rdn.map(({ type, value }) => {
    const known = attributeType(type);
    if (known === undefined) throw invalidDn(`the attribute type ${type} is neither known nor a dotted OID`);
    const problem = attributeProblem(known, value);
    if (problem !== undefined) throw invalidDn(problem);
    return sequence(oidDer(known.oid), encodeAttributeValue(known, value));
  });
  return setOf(...attributes);
}

/**
 * Reads a Name of anybody's certificate; bounds are not enforced.
 * @throws {OperatorError} `InvalidDistinguishedName`, terminal, for values that are not strings
 */
export function dnFromDer(der: Uint8Array): Dn {
  const { offset, result } = fromBER(der);
  if (offset !== der.byteLength || !(result instanceof Sequence)) throw invalidDn('it is not the DER of a Name');
  return result.valueBlock.value.map(rdnFromAsn1).toReversed();
}

function rdnFromAsn1(rdn: unknown): Rdn {
  if (!(rdn instanceof Asn1Set) || rdn.valueBlock.value.length === 0) throw invalidDn('it is not the DER of a Name');
  return rdn.valueBlock.value.map((attribute): Attribute => {
    const [type, value] = attribute instanceof Sequence ? attribute.valueBlock.value : [];
    if (!(type instanceof ObjectIdentifier) || value === undefined) throw invalidDn('it is not the DER of a Name');
    const oid = type.getValue();
    const known = attributeType(oid);
    return {
      type: known === undefined ? oid : canonicalType(known),
      value: stringOf(oid, new Uint8Array(value.toBER())),
    };
  });
}

function stringOf(oid: string, der: Uint8Array): string {
  try {
    return decodeAttributeValue(der);
  } catch {
    throw invalidDn(`the value of ${oid} is not a string that can be read`);
  }
}

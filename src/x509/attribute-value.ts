/** The DER of an attribute value of a distinguished name: one of ASN.1's character string types. */
import { fromBER } from 'asn1js';
import type { AttributeType } from './attribute-type.ts';
import { characterString } from './der.ts';

const UNIVERSAL_CLASS = 1;

/** Encodes a value as RFC 5280 Appendix A.1 wants it for the type: UTF8String unless the type admits less. */
export function encodeAttributeValue(type: AttributeType, value: string): Uint8Array {
  return characterString(type.syntax, value);
}

/**
 * Decodes a character string of any type that RFC 5280 §4.1.2.4 names.
 * @throws {Error} whose message is public: the bytes are not one DER string
 */
export function decodeAttributeValue(der: Uint8Array): string {
  const { offset, result } = fromBER(der);
  if (offset !== der.byteLength || result.idBlock.tagClass !== UNIVERSAL_CLASS || result.idBlock.isConstructed) {
    throw new Error('the hexadecimal value is not the DER of one string: write the value as text');
  }
  const bytes = Buffer.from(result.valueBlock.toBER());
  const text = decodeString(result.idBlock.tagNumber, bytes);
  if (text === undefined) {
    throw new Error('the hexadecimal value is no UTF8String, PrintableString or IA5String: write the value as text');
  }
  return text;
}

function decodeString(tag: number, bytes: Buffer): string | undefined {
  switch (tag) {
    case 12: // UTF8String
      return decode('utf-8', bytes);
    case 18: // NumericString
    case 19: // PrintableString
    case 22: // IA5String
    case 26: // VisibleString
      return bytes.every((byte) => byte < 0x80) ? bytes.toString('latin1') : undefined;
    case 20: // TeletexString: written as Latin-1 by all that still write it
      return bytes.toString('latin1');
    case 30: // BMPString
      return decode('utf-16be', bytes);
    default:
      return undefined;
  }
}

function decode(encoding: 'utf-8' | 'utf-16be', bytes: Buffer): string | undefined {
  try {
    return new TextDecoder(encoding, { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

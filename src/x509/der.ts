/**
 * A writer of DER (X.690 §10), for what we encode ourselves. Certificates are made here by the ten thousand: through the
 * generator of @peculiar/x509 2.2, which encodes and parses each part again, one costs 4.5 ms of the main thread; like this
 * 0.4 ms. Reading stays with the libraries.
 */

/** One element: identifier octet, length, content. */
function der(identifier: number, ...content: readonly Uint8Array[]): Uint8Array {
  const length = content.reduce((sum, part) => sum + part.byteLength, 0);
  const header = [identifier];
  if (length < 0x80) header.push(length);
  else {
    const octets = bigEndian(length);
    header.push(0x80 | octets.length, ...octets);
  }
  return Buffer.concat([Uint8Array.from(header), ...content], header.length + length);
}

function bigEndian(value: number): number[] {
  const octets: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return octets;
}

export function sequence(...elements: readonly Uint8Array[]): Uint8Array {
  return der(0x30, ...elements);
}

/** SET OF: DER sorts the elements by their encoding (X.690 §11.6). */
export function setOf(...elements: readonly Uint8Array[]): Uint8Array {
  return der(0x31, ...elements.toSorted((a, b) => Buffer.compare(a, b)));
}

/** A non-negative INTEGER, from a number or from its octets. */
export function integer(value: number | Uint8Array): Uint8Array {
  let octets = typeof value === 'number' ? Uint8Array.from(bigEndian(value)) : value;
  while (octets.byteLength > 1 && octets[0] === 0) octets = octets.subarray(1);
  const signed = octets.byteLength === 0 || (octets[0] ?? 0) >= 0x80;
  return signed ? der(0x02, Uint8Array.of(0), octets) : der(0x02, octets);
}

export function octetString(content: Uint8Array): Uint8Array {
  return der(0x04, content);
}

/** @param unusedBits bits at the end of the last octet that are not part of the string */
export function bitString(content: Uint8Array, unusedBits = 0): Uint8Array {
  return der(0x03, Uint8Array.of(unusedBits), content);
}

export function boolean(value: boolean): Uint8Array {
  return der(0x01, Uint8Array.of(value ? 0xff : 0));
}

export function nothing(): Uint8Array {
  return der(0x05);
}

/** An OBJECT IDENTIFIER from its dotted form; each arc below 2^31. */
export function oid(dotted: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const octets = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc % 128];
    for (let high = Math.floor(arc / 128); high > 0; high = Math.floor(high / 128)) digits.unshift((high % 128) | 0x80);
    return digits;
  });
  return der(0x06, Uint8Array.from(octets));
}

/** [n] EXPLICIT: an element inside a constructed context-specific one. */
export function explicit(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  return der(0xa0 | tag, ...content);
}

/** [n] IMPLICIT of a primitive type: its content under a context-specific identifier. */
export function implicit(tag: number, content: Uint8Array): Uint8Array {
  return der(0x80 | tag, content);
}

const STRING_TAGS = { utf8: 0x0c, printable: 0x13, ia5: 0x16, bmp: 0x1e } as const;

/** A character string. The caller has checked that the type admits the characters. */
export function characterString(type: keyof typeof STRING_TAGS, value: string): Uint8Array {
  const content = type === 'bmp' ? Buffer.from(value, 'utf16le').swap16() : Buffer.from(value, 'utf8');
  return der(STRING_TAGS[type], content);
}

/** A Time of a certificate: UTCTime up to 2049, GeneralizedTime from 2050, both to the second (RFC 5280 §4.1.2.5). */
export function time(date: Date): Uint8Array {
  const digits = date.toISOString().replaceAll(/\.\d+|[-:T]/g, '');
  return date.getUTCFullYear() < 2050 ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits));
}

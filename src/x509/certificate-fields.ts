/** The fields of a certificate that node:crypto does not give, as they are encoded. */
import { type BaseBlock, Constructed, fromBER, Integer, ObjectIdentifier, Sequence } from 'asn1js';

export interface CertificateFields {
  /** 1, 2 or 3. */
  readonly version: number;
  /** The INTEGER's octets, sign included. */
  readonly serialNumber: Uint8Array;
  /** The DER of the issuer's Name, byte for byte. */
  readonly issuer: Uint8Array;
  /** The DER of the subject's Name, byte for byte. */
  readonly subject: Uint8Array;
  /** In their order; RFC 5280 §4.2 allows each type once, and parsers go on all the same. */
  readonly extensions: readonly EncodedExtension[];
}

export interface EncodedExtension {
  /** Dotted decimal. */
  readonly type: string;
  /** Of the whole Extension. */
  readonly der: Uint8Array;
}

/**
 * Reads the fields of RFC 5280 §4.1 out of the DER of a certificate that OpenSSL has parsed before.
 * @throws {TypeError} when it is not a certificate
 */
export function certificateFields(der: Uint8Array): CertificateFields {
  const { result } = fromBER(der);
  const tbs = result instanceof Sequence ? result.valueBlock.value[0] : undefined;
  const children = tbs instanceof Sequence ? tbs.valueBlock.value : [];
  const [first] = children;
  const tagged = first instanceof Constructed && first.idBlock.tagClass === 3 && first.idBlock.tagNumber === 0;
  const version = tagged ? first.valueBlock.value[0] : undefined;
  const [serialNumber, , issuer, , subject] = tagged ? children.slice(1) : children;
  if (!(serialNumber instanceof Integer) || !(issuer instanceof Sequence) || !(subject instanceof Sequence)) {
    throw new TypeError('not the DER of a certificate');
  }
  return {
    version: version instanceof Integer ? version.valueBlock.valueDec + 1 : 1,
    serialNumber: serialNumber.valueBlock.valueHexView,
    issuer: issuer.valueBeforeDecodeView,
    subject: subject.valueBeforeDecodeView,
    extensions: extensionsIn(children),
  };
}

/** RFC 5280 §4.1: they are last, and tagged [3]. */
function extensionsIn(children: readonly BaseBlock[]): EncodedExtension[] {
  const last = children.at(-1);
  const tagged = last instanceof Constructed && last.idBlock.tagClass === 3 && last.idBlock.tagNumber === 3;
  const list = tagged ? last.valueBlock.value[0] : undefined;
  const extensions = list instanceof Sequence ? list.valueBlock.value : [];
  return extensions.flatMap((extension) => {
    const type = extension instanceof Sequence ? extension.valueBlock.value[0] : undefined;
    if (!(type instanceof ObjectIdentifier)) return [];
    return [{ type: type.valueBlock.toString(), der: extension.valueBeforeDecodeView }];
  });
}

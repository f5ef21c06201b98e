/** The certificates we sign: RFC 5280 §4, for clients by RFC 8705, the same for every issuer of ours. */
import { createHash, randomBytes } from 'node:crypto';
import { BitString, fromBER, Sequence } from 'asn1js';
import { OperatorError } from '../errors.ts';
import { bitString, boolean, explicit, implicit, integer, octetString, oid, sequence, time } from './der.ts';
import type { Dn } from './dn.ts';
import { dnToDer } from './dn-name.ts';
import { generateKeyPair, publicKeyDerOf, type KeyAlgorithm, type KeyPair } from './key.ts';
import { privateKeyFromPem, toPem } from './pem.ts';
import { signingKey, type Signer, type SigningKey } from './signer.ts';
import { generalName, type SubjectName } from './subject-name.ts';

export type { SubjectName } from './subject-name.ts';

/** Clocks differ: a certificate that is valid only from this second is refused by a server whose clock is behind. */
const BACKDATED_MILLISECONDS = 5 * 60_000;

export interface Validity {
  readonly now: Date;
  /** Milliseconds from `now` to `notAfter`. */
  readonly duration: number;
}

export interface LeafRequest extends Validity {
  readonly subject: SubjectName;
  /** The CN of a certificate whose identity is a SAN; some software dislikes the empty subject that RFC 5280 allows there. */
  readonly commonName?: string;
  /** SubjectPublicKeyInfo. */
  readonly publicKeyDer: Uint8Array;
}

const BASIC_CONSTRAINTS = '2.5.29.19';
const KEY_USAGE = '2.5.29.15';
const EXTENDED_KEY_USAGE = '2.5.29.37';
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
const SUBJECT_KEY_IDENTIFIER = '2.5.29.14';
const AUTHORITY_KEY_IDENTIFIER = '2.5.29.35';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

function extension(type: string, critical: boolean, value: Uint8Array): Uint8Array {
  // X.690 §11.5: a value equal to its DEFAULT, here FALSE, is left out.
  return sequence(oid(type), ...(critical ? [boolean(true)] : []), octetString(value));
}

/** What every client certificate of ours says. */
const LEAF_EXTENSIONS = [
  extension(BASIC_CONSTRAINTS, true, sequence()),
  extension(KEY_USAGE, true, bitString(Uint8Array.of(0b1000_0000), 7)),
  extension(EXTENDED_KEY_USAGE, false, sequence(oid(CLIENT_AUTH))),
];
/** What every CA of ours says: CA:TRUE, pathLenConstraint 0, keyCertSign and cRLSign. */
const CA_EXTENSIONS = [
  extension(BASIC_CONSTRAINTS, true, sequence(boolean(true), integer(0))),
  extension(KEY_USAGE, true, bitString(Uint8Array.of(0b0000_0110), 1)),
];

/** At least 64 random bits, positive, at most 20 octets (RFC 5280 §4.1.2.2, CA/Browser Forum BR §7.1): here 126 in 16. */
function randomSerialNumber(): Uint8Array {
  const octets = randomBytes(16);
  octets[0] = ((octets[0] ?? 0) & 0x3f) | 0x40;
  return octets;
}

/** RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of the key's bits. */
function keyIdentifier(publicKeyDer: Uint8Array): Uint8Array {
  const { result } = fromBER(publicKeyDer);
  const bits = result instanceof Sequence ? result.valueBlock.value[1] : undefined;
  if (!(bits instanceof BitString)) throw new TypeError('not a SubjectPublicKeyInfo');
  return createHash('sha256').update(bits.valueBlock.valueHexView).digest().subarray(0, 20);
}

function keyIdentifiers(subject: Uint8Array, authority: Uint8Array): Uint8Array[] {
  return [
    extension(SUBJECT_KEY_IDENTIFIER, false, octetString(subject)),
    extension(AUTHORITY_KEY_IDENTIFIER, false, sequence(implicit(0, authority))),
  ];
}

interface Tbs {
  readonly subject: Uint8Array;
  readonly issuer: Uint8Array;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  /** Milliseconds since 1970. */
  readonly notAfter: number;
  readonly publicKeyDer: Uint8Array;
  readonly extensions: readonly Uint8Array[];
}

async function sign(tbs: Tbs, key: SigningKey): Promise<string> {
  const toBeSigned = sequence(
    explicit(0, integer(2)), // v3
    integer(randomSerialNumber()),
    key.algorithm,
    tbs.issuer,
    sequence(time(new Date(tbs.notBefore)), time(new Date(tbs.notAfter))),
    tbs.subject,
    tbs.publicKeyDer,
    explicit(3, sequence(...tbs.extensions)),
  );
  const signature = await key.sign(toBeSigned);
  return toPem('CERTIFICATE', sequence(toBeSigned, key.algorithm, bitString(signature)));
}

/** Subject and extensions of a client certificate, whoever signs it. */
function leaf(
  request: LeafRequest,
  authorityKeyIdentifier?: Uint8Array,
): Pick<Tbs, 'subject' | 'extensions' | 'publicKeyDer'> {
  const { subject, commonName, publicKeyDer } = request;
  const san = generalName(subject);
  const dn: Dn = 'dn' in subject ? subject.dn : commonName === undefined ? [] : [[{ type: 'CN', value: commonName }]];
  if ('dn' in subject && dn.length === 0) throw invalidSubject('The subject DN is empty: write at least a CN.');
  const identifier = keyIdentifier(publicKeyDer);
  return {
    subject: dnToDer(dn),
    publicKeyDer,
    extensions: [
      ...LEAF_EXTENSIONS,
      ...keyIdentifiers(identifier, authorityKeyIdentifier ?? identifier),
      // RFC 5280 §4.2.1.6: the SAN is critical where the subject is empty.
      ...(san === undefined ? [] : [extension(SUBJECT_ALTERNATIVE_NAME, dn.length === 0, sequence(san))]),
    ],
  };
}

function invalidSubject(message: string): OperatorError {
  return new OperatorError('InvalidSubject', message, { retry: { class: 'terminal' } });
}

/**
 * Signs a client certificate: v3, CA:FALSE, digitalSignature and clientAuth alone. `notBefore` is 5 minutes back but not
 * before the CA's; `notAfter` is `now + duration` but at most the CA's.
 * @returns PEM of the leaf alone
 * @throws {OperatorError} `CAExpired`, `CANotYetValid`; `InvalidSubject`, `InvalidDistinguishedName`, terminal
 */
export async function signLeaf(request: LeafRequest, signer: Signer): Promise<string> {
  const now = request.now.getTime();
  if (now > signer.notAfter.getTime()) {
    throw new OperatorError('CAExpired', `The CA expired at ${signer.notAfter.toISOString()}: replace it.`);
  }
  if (now < signer.notBefore.getTime()) {
    const from = signer.notBefore.toISOString();
    throw new OperatorError('CANotYetValid', `The CA is valid only from ${from}: wait, or correct the clock.`);
  }
  return sign(
    {
      ...leaf(request, signer.subjectKeyIdentifier),
      issuer: signer.subject,
      notBefore: Math.max(now - BACKDATED_MILLISECONDS, signer.notBefore.getTime()),
      notAfter: Math.min(now + request.duration, signer.notAfter.getTime()),
    },
    signer,
  );
}

/**
 * Signs a client certificate with its own key, for `self_signed_tls_client_auth` (RFC 8705 §2.2). It is no CA either, so
 * that a terminator that takes it as a trust anchor by mistake lets it sign nothing.
 * @throws {OperatorError} `InvalidSubject`, `InvalidDistinguishedName`, `UnsupportedKey`, terminal
 */
export async function signSelfSignedLeaf(
  request: Omit<LeafRequest, 'publicKeyDer'>,
  privateKeyPem: string,
): Promise<string> {
  const fields = leaf({ ...request, publicKeyDer: publicKeyDerOf(privateKeyPem) });
  if (!('dn' in request.subject) && request.commonName === undefined) {
    // RFC 5280 §4.1.2.4: the issuer, here the subject, is never empty.
    throw invalidSubject('A self-signed certificate needs a subject DN or a common name.');
  }
  const now = request.now.getTime();
  return sign(
    {
      ...fields,
      issuer: fields.subject,
      notBefore: now - BACKDATED_MILLISECONDS,
      notAfter: now + request.duration,
    },
    signingKey(privateKeyFromPem(privateKeyPem)),
  );
}

export interface CaRequest extends Validity, KeyAlgorithm {
  readonly dn: Dn;
  /** Made anew when it is not given. */
  readonly keyPair?: KeyPair;
}

export interface Ca {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
}

/**
 * Makes a root CA that signs leaves only (pathLenConstraint 0). Without name constraints: critical as RFC 5280 §4.2.1.10
 * wants them, they make Go refuse the CA.
 * @throws {OperatorError} `InvalidDistinguishedName`, terminal
 */
export async function createCa(request: CaRequest): Promise<Ca> {
  const { privateKeyPem, publicKeyDer } = request.keyPair ?? (await generateKeyPair(request));
  const identifier = keyIdentifier(publicKeyDer);
  const subject = dnToDer(request.dn);
  const now = request.now.getTime();
  const certificatePem = await sign(
    {
      subject,
      issuer: subject,
      notBefore: now - BACKDATED_MILLISECONDS,
      notAfter: now + request.duration,
      publicKeyDer,
      extensions: [...CA_EXTENSIONS, ...keyIdentifiers(identifier, identifier)],
    },
    signingKey(privateKeyFromPem(privateKeyPem)),
  );
  return { certificatePem, privateKeyPem };
}

import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { asOperatorError, type OperatorError } from '../errors.ts';
import { caBundle, throwawayCa } from './bundle.ts';
import { certificatesFromPem } from './pem.ts';
import { isIssuedBy } from './profile.ts';

/**
 * What terminators in front of an AuthorizationServer, and a server that validates certificates itself, are to trust: the CAs
 * of its issuers, never what tenants chose.
 */
export interface Trust {
  /** Issuers with a CA of their own. */
  ca: boolean;
  /** Issuers whose clients sign their own certificates, which no bundle may hold. */
  selfSigned: boolean;
  /** Granted issuers that are missing or have not published a CA yet. */
  pending: readonly string[];
  /** Undefined where there is no CA to trust. */
  bundle: { pem: string; hashes: readonly string[]; depth: number } | undefined;
  /** Why the CAs do not make a bundle, e.g. `TrustBundleFull`. */
  error: OperatorError | undefined;
}

/** What is kept of an object in which the CAs are. */
export interface TrustObject {
  /** Of a Secret; a ConfigMap counts as `Opaque`. */
  readonly type: string;
  /** Keys of its data; anything besides ca.crt is not ours (a tls.crt or ca.crl would change what a host does). */
  readonly dataKeys: readonly string[];
  /** `ca.crt`; undefined when it is missing or no text. */
  readonly ca: string | undefined;
  /** SHA-256 of each CA certificate's DER, lower-case hexadecimal; empty when ca.crt can't be read. */
  readonly hashes: readonly string[];
  /** When the operator wrote it last, epoch milliseconds. */
  readonly writtenAt: number | undefined;
}

interface Granted {
  name: string;
  /** Undefined where there is none of that name. */
  issuer: ClientCertificateIssuer | undefined;
}

const known = new WeakMap<AuthorizationServer, { granted: readonly Granted[]; trust: Trust }>();

/** Found out once for the same objects: every pass of every client asks, and certificates are read for it. */
export function trustOf(
  server: AuthorizationServer,
  issuerNamed: (name: string) => ClientCertificateIssuer | undefined,
): Trust {
  const granted = (server.spec.clients?.issuers ?? []).map((name) => ({ name, issuer: issuerNamed(name) }));
  const before = known.get(server);
  if (before?.granted.every(({ issuer }, at) => issuer === granted[at]?.issuer) === true) return before.trust;
  const trust = trustIn(granted);
  known.set(server, { granted, trust });
  return trust;
}

function trustIn(granted: readonly Granted[]): Trust {
  const pems: string[] = [];
  const pending: string[] = [];
  const trust: Trust = { ca: false, selfSigned: false, pending, bundle: undefined, error: undefined };
  for (const { name, issuer } of granted) {
    if (issuer?.spec.selfSigned !== undefined) {
      trust.selfSigned = true;
      continue;
    }
    if (issuer !== undefined) trust.ca = true;
    const pem = issuer?.status?.caCertificate ?? '';
    if (pem === '') pending.push(name);
    else pems.push(pem);
  }
  if (pems.length === 0) return trust;
  try {
    const { pem, hashes } = caBundle(pems);
    trust.bundle = { pem, hashes, depth: longestChain(pem) };
  } catch (thrown) {
    trust.error = asOperatorError(thrown);
  }
  return trust;
}

/**
 * CA certificates of the longest chain, the root included. nginx's ssl_verify_depth counts from the leaf; with one too
 * few, valid certificates are refused.
 */
function longestChain(pem: string): number {
  const certificates = certificatesFromPem(pem);
  const lengthFrom = (start: (typeof certificates)[number], seen: ReadonlySet<unknown>): number => {
    const above = certificates.filter((candidate) => !seen.has(candidate) && isIssuedBy(start, candidate));
    return 1 + Math.max(0, ...above.map((issuer) => lengthFrom(issuer, new Set([...seen, issuer]))));
  };
  return Math.max(...certificates.map((certificate) => lengthFrom(certificate, new Set([certificate]))));
}

/** Kept for the life of the process: whoever asks again gets the same certificate. */
let made: Promise<string> | undefined;

/** The bundle of a host where no CA is to be trusted: an empty one would switch client authentication off. */
export async function emptyTrust(now: number): Promise<string> {
  made ??= throwawayCa(new Date(now)).then((pem) => caBundle([pem]).pem);
  try {
    return await made;
  } catch (error) {
    made = undefined;
    throw error;
  }
}

/** What a bundle holds: one that trusts nobody stays the one that it is, for each new one is read anew by whoever trusts by it. */
export async function trustedPem(wanted: string | undefined, held: string | undefined, now: number): Promise<string> {
  if (wanted !== undefined) return wanted;
  return held !== undefined && isEmptyTrust(held) ? held : emptyTrust(now);
}

/**
 * Whether a bundle that we wrote trusts nobody: one certificate, with the throwaway CA's subject. Which of them it is does
 * not matter, and to keep what is there means no write.
 */
export function isEmptyTrust(pem: string): boolean {
  try {
    const [certificate, second] = certificatesFromPem(pem);
    return second === undefined && certificate?.subject.split('\n').includes('CN=No client is trusted') === true;
  } catch {
    return false;
  }
}

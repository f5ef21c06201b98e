/** The certificates that are shown to terminators; their keys live as long as one round, in memory alone. */
import { randomBytes } from 'node:crypto';
import type { ClientCertificateIssuer } from '../../api/client-certificate-issuer.ts';
import { certificateFields } from '../../x509/certificate-fields.ts';
import { createCa, signLeaf } from '../../x509/certificate.ts';
import type { Dn } from '../../x509/dn.ts';
import { dnFromDer } from '../../x509/dn-name.ts';
import { generateKeyPair } from '../../x509/key.ts';
import { certificatesFromPem } from '../../x509/pem.ts';
import { loadSigner } from '../../x509/signer.ts';
import type { SubjectName } from '../../x509/subject-name.ts';
import type { Certificate } from './call.ts';

export type Sign = (
  issuer: ClientCertificateIssuer,
  request: { subject: SubjectName; privateKeyPem: string; durationMs: number; now: number },
  signal: AbortSignal,
) => Promise<{ chainPem: string }>;

export interface Canary extends Certificate {
  issuer: string;
}

export interface ProofCertificates {
  /** Of each issuer whose CA signs here. */
  canaries: readonly Canary[];
  foreign: Certificate;
}

const LIFE_MS = 10 * 60_000;
const P256 = { algorithm: 'ECDSA', size: 256 } as const;

/**
 * @param issuers with a CA; one that cannot sign now gets no canary
 * @param bundlePem the CAs that are trusted; the foreign one takes the name of the first
 */
export async function proofCertificates(
  issuers: readonly ClientCertificateIssuer[],
  { sign, bundlePem, now }: { sign: Sign; bundlePem: string | undefined; now: number },
  signal: AbortSignal,
): Promise<ProofCertificates> {
  // Nobody can be registered under it: whoever took the certificate for a client's would find none.
  const subject: SubjectName = { dn: [[{ type: 'CN', value: `certbound-canary-${randomBytes(16).toString('hex')}` }]] };
  const canaries: Canary[] = [];
  for (const issuer of issuers) {
    const { privateKeyPem } = await generateKeyPair(P256);
    try {
      const { chainPem } = await sign(issuer, { subject, privateKeyPem, durationMs: LIFE_MS, now }, signal);
      canaries.push({ issuer: issuer.metadata.name, chainPem, privateKeyPem });
    } catch {
      // Its own status says why.
      signal.throwIfAborted();
    }
  }
  return { canaries, foreign: await foreignCertificate(subject, bundlePem, now) };
}

/** Right in all that can be copied: names of a client and of its CA; the CA's key is another one. */
async function foreignCertificate(
  subject: SubjectName,
  bundlePem: string | undefined,
  now: number,
): Promise<Certificate> {
  const at = new Date(now);
  const ca = await createCa({ dn: nameOf(bundlePem), ...P256, duration: LIFE_MS, now: at });
  const { privateKeyPem, publicKeyDer } = await generateKeyPair(P256);
  const signer = loadSigner(ca.certificatePem, ca.privateKeyPem);
  const leaf = await signLeaf({ subject, publicKeyDer, duration: LIFE_MS, now: at }, signer);
  return { chainPem: leaf + ca.certificatePem, privateKeyPem };
}

const NOBODY: Dn = [[{ type: 'CN', value: 'certbound-foreign-ca' }]];

function nameOf(bundlePem: string | undefined): Dn {
  try {
    const [ca] = certificatesFromPem(bundlePem ?? '');
    return ca === undefined ? NOBODY : dnFromDer(certificateFields(ca.raw).subject);
  } catch {
    // No bundle, or a name that we could not have written.
    return NOBODY;
  }
}

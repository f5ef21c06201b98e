/** The Secrets that hold a CA: their names, and what the cache keeps of them, which is never the key. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { OWNER, Role, ROLE_LABEL } from '../api/annotations.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { asOperatorError } from '../errors.ts';
import type { KubernetesObject } from '../kube/resource.ts';
import { certificatesFromPem } from '../x509/pem.ts';
import { checkCa, type Violation } from '../x509/profile.ts';
import { loadSigner } from '../x509/signer.ts';
import { type Authority, authorityOf } from './authority.ts';

/** What is kept of a Secret of the operator's namespace that may hold a CA. */
export interface CaProjection {
  readonly uid: string;
  readonly resourceVersion: string;
  readonly name: string;
  readonly type: string;
  /** The value of the label `certbound.dev/role`. */
  readonly role: string | undefined;
  /** Name of the issuer that it was made for, where the operator made it. */
  readonly owner: string | undefined;
  /** The issuing CA first, up to the self-signed root; PEM; empty where it cannot be read. */
  readonly chainPem: string;
  readonly authority: Authority | undefined;
  readonly keyMatches: boolean;
  /** What keeps it from signing whatever the time is; dates are looked at when they matter. */
  readonly problems: readonly Violation[];
}

const LONGEST_NAME = 253;

/** `text`, or so much of it that with a hash of all of it `maximum` characters are kept. */
export function shortened(text: string, maximum: number): string {
  if (text.length <= maximum) return text;
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 12);
  return `${text.slice(0, maximum - hash.length - 1).replace(/[-.]+$/, '')}-${hash}`;
}

/** The Secret of the CA that the operator makes for an issuer. */
export function managedSecretName(issuerName: string): string {
  return shortened(`certbound-ca-${issuerName}`, LONGEST_NAME);
}

/** The Secret that an issuer signs with; undefined where it needs none. */
export function authoritySecretName({
  metadata,
  spec,
}: Pick<ClientCertificateIssuer, 'metadata' | 'spec'>): string | undefined {
  if (spec.ca === undefined) return undefined;
  return spec.ca.secretRef?.name ?? managedSecretName(metadata.name);
}

/** Whether the operator made this Secret for that issuer; the name decides, so that it survives restore and rebuild. */
export function isManagedFor(secret: Pick<CaProjection, 'role' | 'owner'>, issuerName: string): boolean {
  return secret.role === Role.certificateAuthority && secret.owner === issuerName;
}

const secretSchema = z.object({
  metadata: z.object({
    name: z.string(),
    uid: z.string(),
    resourceVersion: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  type: z.string().default('Opaque'),
  data: z.record(z.string(), z.string()).nullish(),
});

export interface CaContent {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly rootsPem: string | undefined;
}

/** Holds the key: use it and let it go. */
export function caContent(object: KubernetesObject): CaContent {
  const data = secretSchema.parse(object).data ?? {};
  const text = (key: string) => (data[key] === undefined ? undefined : Buffer.from(data[key], 'base64').toString());
  return {
    certificatePem: text('tls.crt') ?? '',
    privateKeyPem: text('tls.key') ?? '',
    rootsPem: text('ca.crt') || undefined,
  };
}

/** Reads any Secret as a CA; what is wrong with it is in `problems`. */
export function readCaSecret(object: KubernetesObject): CaProjection {
  const { metadata, type } = secretSchema.parse(object);
  const judged =
    type === 'kubernetes.io/tls'
      ? judge(caContent(object))
      : { authority: undefined, keyMatches: false, problems: [notTls(type)] };
  return {
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    name: metadata.name,
    type,
    role: metadata.labels[ROLE_LABEL],
    owner: metadata.annotations[OWNER],
    chainPem: judged.authority?.chainPem ?? '',
    ...judged,
  };
}

/** What an informer of the operator's namespace keeps; undefined for the operator's Secrets of other roles. */
export function projectCaSecret(object: KubernetesObject): CaProjection | undefined {
  const role = object.metadata.labels?.[ROLE_LABEL];
  return role === undefined || role === Role.certificateAuthority ? readCaSecret(object) : undefined;
}

function notTls(type: string): Violation {
  return {
    reason: 'NotATLSSecret',
    message: `The Secret is of type ${type}: create one of type kubernetes.io/tls with tls.crt and tls.key.`,
  };
}

type Judgement = Pick<CaProjection, 'authority' | 'keyMatches' | 'problems'>;

function judge({ certificatePem, privateKeyPem, rootsPem }: CaContent): Judgement {
  try {
    const [ca] = certificatesFromPem(certificatePem);
    if (ca === undefined) throw new TypeError('no certificate');
    const problems = checkCa(certificatePem, privateKeyPem, ca.validFromDate);
    const keyMatches = !problems.some(({ reason }) => reason === 'CAKeyMismatch' || reason === 'InvalidPEM');
    if (problems.length > 0) return { authority: undefined, keyMatches, problems };
    const authority = authorityOf(certificatePem, rootsPem);
    // Imports the key and drops it: what cannot be signed with is a problem now, not at the first certificate.
    loadSigner(certificatePem, privateKeyPem);
    return { authority, keyMatches, problems };
  } catch (error) {
    const { code: reason, message } = asOperatorError(error);
    return { authority: undefined, keyMatches: false, problems: [{ reason, message }] };
  }
}

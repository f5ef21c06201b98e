import { createHash } from 'node:crypto';
import type { JWK } from 'jose';
import { z } from 'zod';
import { OWNER } from '../api/annotations.ts';
import { subjectParameters } from '../authserver/identity.ts';
import { authMethod } from '../api/oauth-client.ts';
import { OperatorError } from '../errors.ts';
import type { KubernetesObject } from '../kube/resource.ts';

/**
 * The operator's own Secret for a client is the truth about it. `state` is what decisions are made from and holds no
 * secret; `material` is the rest. Caches keep the state alone, so no key byte outlives the steps of a pass that need it.
 */
const instant = z.string();

const certificateState = z.object({
  x5tS256: z.string(),
  role: z.enum(['Next', 'Published', 'Draining']),
  /** Why it was begun: a condition reason. */
  reason: z.string(),
  issuer: z.string(),
  /** SHA-256 (hex) of the root that vouches for it; absent for a self-signed one. */
  caSha256: z.string().optional(),
  /** Its subject as RFC 4514 writes it; absent in records of before there was one. */
  caSubject: z.string().optional(),
  serialNumber: z.string(),
  subject: z.string(),
  notBefore: instant,
  notAfter: instant,
  stagedAt: instant,
  /** When its successor took its place; of a Draining one. */
  replacedAt: instant.optional(),
  /** What was asked of the issuer: a difference to the spec begins a rotation. */
  requested: z.object({ durationMs: z.number(), algorithm: z.enum(['ECDSA', 'RSA']), size: z.number() }),
  /** SHA-256 (hex) of the published Secret's values that come from this certificate. */
  digests: z.record(z.string(), z.string()),
  /** Of the keystores made from it, and of what they trust: salted, so they are kept rather than made again. */
  keystores: z.object({ trust: z.string(), digests: z.record(z.string(), z.string()) }).optional(),
  /** Reported, and a successor is there: the server is told to refuse it (protocols, §7). */
  compromised: z.boolean().optional(),
  /** Public JWK, for self_signed_tls_client_auth (RFC 8705 §2.2). */
  jwk: z.custom<JWK>((value) => z.object({ kty: z.string() }).safeParse(value).success).optional(),
});
export type CertificateState = z.infer<typeof certificateState>;

const registrationState = z.object({
  clientId: z.string(),
  /** The members that we ask for, as the server answered them; what it adds of its own is in the material. */
  accepted: z.record(z.string(), z.unknown()),
  /** Digest of what was asked in the last create or update: a difference to the spec calls for an update. */
  askedDigest: z.string(),
  updatedAt: instant,
  /** A read got another registration access token: there are no more of them than are needed. */
  readsRotate: z.boolean().optional(),
});

/** Written before a call that changes something at the server; still there after a crash, it says an answer may be lost. */
const intent = z.object({
  id: z.string(),
  operation: z.enum(['create', 'update']),
  since: instant,
});
export type Intent = z.infer<typeof intent>;

const identity = z.object({ parameter: z.enum(subjectParameters), value: z.string(), canonical: z.string() });

const recordState = z.object({
  version: z.literal(1),
  clusterId: z.string(),
  owner: z.object({ namespace: z.string(), name: z.string(), uid: z.string() }),
  /** With what the platform allowed when this was last written: its object may be gone when that is needed. */
  server: z.object({ name: z.string(), issuer: z.string(), deregistrationDeadline: z.string().optional() }),
  method: authMethod,
  /** As it is registered, and claimed. */
  identity,
  /** How often it was renewed because a certificate was compromised, and what it was at first. */
  identityGeneration: z.number().int().min(1).optional(),
  firstIdentity: identity.optional(),
  /** When the claims end of the identities that it had before. */
  formerIdentities: z.array(instant).optional(),
  certificates: z.array(certificateState),
  /** Part of the `jwks_uri`, drawn for each attempt to register; absent in records of before there was one. */
  keySetId: z.string().optional(),
  registration: registrationState.optional(),
  intent: intent.optional(),
  /** Times at which the answer to a create was lost: each may have left one unusable client at the server. */
  suspectedOrphans: z.array(instant).default([]),
  /** Registrations that this client has no more, at a server that deletes none (RFC 7592 §2.3). */
  leftBehind: z.array(z.object({ clientId: z.string(), since: instant })).optional(),
  /** What the server substituted for, in the registration that was asked for with this digest; it was removed again. */
  rejected: z.object({ askedDigest: z.string(), message: z.string() }).optional(),
  /** What the published Secret says besides the certificate; kept so that it can be written again without the server. */
  context: z
    .object({
      clientId: z.string(),
      issuer: z.string(),
      tokenEndpoint: z.string(),
      serverCaPem: z.string().optional(),
    })
    .optional(),
  /** Until then the server accepts a certificate that was reported compromised: it knows the client by its subject. */
  compromisedUntil: instant.optional(),
  /** Since when the platform no longer grants what is registered. */
  withdrawal: z.object({ since: instant }).optional(),
  longestTokenLifetimeSeconds: z.number().optional(),
  lastHandledRenew: z.string().optional(),
});
export type RecordState = z.infer<typeof recordState>;

const material = z.object({
  certificates: z.record(
    z.string(),
    z.object({
      privateKeyPem: z.string(),
      chainPem: z.string(),
      caPem: z.string(),
      /** Values of the published Secret, base64. */
      keystores: z.record(z.string(), z.string()).optional(),
    }),
  ),
  registration: z
    .object({
      registrationClientUri: z.string().optional(),
      registrationAccessToken: z.string().optional(),
      previousRegistrationAccessToken: z.string().optional(),
      lastAnswer: z.record(z.string(), z.unknown()),
    })
    .optional(),
});
export type RecordMaterial = z.infer<typeof material>;

/** Of the identities of before, the ends of those that nobody else may have yet; `now` in epoch milliseconds. */
export function claimedStill({ formerIdentities = [] }: RecordState, now: number): string[] {
  return formerIdentities.filter((end) => Date.parse(end) > now);
}

/** The one certificate in a role that only one can have. */
export function certificateIn(
  state: Pick<RecordState, 'certificates'> | undefined,
  role: 'Next' | 'Published',
): CertificateState | undefined {
  return state?.certificates.find((c) => c.role === role);
}

/** The certificate that a Secret with these digests holds, whole. */
export function certificateHeld(
  state: Pick<RecordState, 'certificates'>,
  found: Record<string, string>,
): CertificateState | undefined {
  return state.certificates.find(({ digests }) =>
    Object.entries(digests).every(([key, digest]) => found[key] === digest),
  );
}

export interface ClientRecord {
  state: RecordState;
  material: RecordMaterial;
}

/** What the cache keeps of an own Secret. */
export interface RecordProjection {
  name: string;
  uid: string;
  resourceVersion: string;
  /** SHA-256 (hex) of both halves: another one is another record, whatever others do to the Secret's metadata. */
  digest: string;
  /** `namespace/name` of the OAuthClient, by the annotation that we wrote. */
  owner: string | undefined;
  /** Undefined where either half of the Secret can't be read: it was damaged by hand. */
  state: RecordState | undefined;
}

/** Deterministic, so that a rebuilt cluster or a restarted operator finds it again. */
export function recordName(namespace: string, name: string): string {
  return `certbound-client-${createHash('sha256').update(`${namespace}/${name}`).digest('hex').slice(0, 40)}`;
}

export function projectRecord(object: KubernetesObject): RecordProjection {
  return {
    name: object.metadata.name,
    uid: object.metadata.uid ?? '',
    resourceVersion: object.metadata.resourceVersion ?? '',
    digest: recordDigest(object),
    owner: object.metadata.annotations?.[OWNER],
    state: readRecord(object)?.state,
  };
}

export function recordDigest(object: KubernetesObject): string {
  const { state, material: secret } = secretData.safeParse(object).data?.data ?? {};
  return createHash('sha256')
    .update(`${state ?? ''} ${secret ?? ''}`)
    .digest('hex');
}

/** Undefined where either half is missing or damaged. */
export function readRecord(object: KubernetesObject): ClientRecord | undefined {
  const state = decode(recordState, object, 'state');
  const secret = decode(material, object, 'material');
  return state === undefined || secret === undefined ? undefined : { state, material: secret };
}

export function recordDamaged(name: string, namespace: string): OperatorError {
  return new OperatorError(
    'RecordDamaged',
    `The operator's own Secret ${namespace}/${name} can't be read. Restore it from a backup; to give up what it held ` +
      '(the registration at the server stays behind), delete it.',
    { retry: { class: 'terminal' } },
  );
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64');

export function recordData(record: ClientRecord): Record<string, string> {
  return { state: encode(record.state), material: encode(record.material) };
}

const secretData = z.object({ data: z.record(z.string(), z.string()).default({}) });

function decode<T>(schema: z.ZodType<T>, object: KubernetesObject, key: string): T | undefined {
  const value = secretData.safeParse(object).data?.data[key];
  if (value === undefined) return undefined;
  try {
    return schema.safeParse(JSON.parse(Buffer.from(value, 'base64').toString())).data;
  } catch {
    return undefined;
  }
}

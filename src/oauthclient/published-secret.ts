import { createHash } from 'node:crypto';
import { z } from 'zod';
import { OWNER_UID } from '../api/annotations.ts';
import { OPERATOR_FIELD_MANAGER, lastOtherWriter } from '../kube/field-managers.ts';
import type { KubernetesObject } from '../kube/resource.ts';
import { certificatesFromPem } from '../x509/pem.ts';
import { x5tS256 } from '../x509/thumbprint.ts';

/** What an application needs to get certificate-bound tokens; the keys of the Secret that design and README promise. */
export interface PublishedContent {
  privateKeyPem: string;
  /** Leaf first. */
  chainPem: string;
  /** The CAs that vouch for the leaf. */
  clientCaPem: string;
  x5tS256: string;
}

/** The values that come from the server and the registration: known without any secret. */
export interface PublishedContext {
  clientId: string;
  issuer: string;
  tokenEndpoint: string;
  /** CAs to trust at the server; undefined where the system's are used. */
  serverCaPem?: string | undefined;
}

export function certificateValues(content: PublishedContent): Record<string, string> {
  return {
    'tls.crt': content.chainPem,
    'tls.key': content.privateKeyPem,
    'client-ca.crt': content.clientCaPem,
    // One file with key and chain: two files can be read mid-rotation.
    'tls-bundle.pem': bundleOf(content.privateKeyPem, content.chainPem),
    x5t_s256: content.x5tS256,
  };
}

const bundleOf = (privateKeyPem: string, chainPem: string) => `${privateKeyPem.trimEnd()}\n${chainPem}`;

export function contextValues(context: PublishedContext): Record<string, string> {
  return {
    client_id: context.clientId,
    issuer: context.issuer,
    token_endpoint: context.tokenEndpoint,
    ...(context.serverCaPem === undefined ? {} : { 'ca.crt': context.serverCaPem }),
  };
}

/** SHA-256 (hex) of each value: enough to see that a Secret is as it should be, without holding it. */
export function digests(values: Record<string, string | Uint8Array>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).map(([key, value]) => [key, createHash('sha256').update(value).digest('hex')]),
  );
}

/** What the cache keeps of a Secret in a tenant's namespace. */
export interface SecretProjection {
  namespace: string;
  name: string;
  uid: string;
  resourceVersion: string;
  type: string;
  immutable: boolean;
  labels: Record<string, string>;
  /** uid of the OAuthClient it belongs to; undefined for a foreign one. */
  ownerUid: string | undefined;
  controllerUid: string | undefined;
  /** The field manager other than ours that wrote last. */
  lastWriter: string | undefined;
  digests: Record<string, string>;
  /** Of the certificate that it holds, where its values agree with each other. */
  holds?: HeldCertificate | undefined;
}

export interface HeldCertificate {
  x5tS256: string;
  /** Epoch milliseconds. */
  notBefore: number;
  notAfter: number;
}

const secret = z.object({
  type: z.string().default('Opaque'),
  immutable: z.boolean().default(false),
  data: z.record(z.string(), z.string()).nullish(),
});

export function projectSecret(object: KubernetesObject): SecretProjection {
  const { type, immutable, data } = secret.parse(object);
  const decoded = Object.entries(data ?? {}).map(([key, value]): [string, Buffer] => [
    key,
    Buffer.from(value, 'base64'),
  ]);
  return {
    namespace: object.metadata.namespace ?? '',
    name: object.metadata.name,
    uid: object.metadata.uid ?? '',
    resourceVersion: object.metadata.resourceVersion ?? '',
    type,
    immutable,
    labels: object.metadata.labels ?? {},
    ownerUid: object.metadata.annotations?.[OWNER_UID],
    controllerUid: object.metadata.ownerReferences?.find((owner) => owner.controller === true)?.uid,
    lastWriter: lastOtherWriter(
      object.metadata.managedFields ?? [],
      ({ manager }) => manager === OPERATOR_FIELD_MANAGER,
    ),
    digests: digests(Object.fromEntries(decoded)),
    holds: heldCertificate((key) => decoded.find(([name]) => name === key)?.[1].toString() ?? ''),
  };
}

function heldCertificate(valueOf: (key: string) => string): HeldCertificate | undefined {
  const [chainPem, privateKeyPem] = [valueOf('tls.crt'), valueOf('tls.key')];
  if (valueOf('tls-bundle.pem') !== bundleOf(privateKeyPem, chainPem)) return undefined;
  try {
    const [leaf] = certificatesFromPem(chainPem);
    const thumbprint = valueOf('x5t_s256');
    if (leaf === undefined || x5tS256(leaf) !== thumbprint) return undefined;
    return {
      x5tS256: thumbprint,
      notBefore: leaf.validFromDate.getTime(),
      notAfter: leaf.validToDate.getTime(),
    };
  } catch {
    return undefined;
  }
}

/** Keys of ours that are there only sometimes: where they are not wanted, an old one must not linger. */
export const occasionalKeys = ['ca.crt', 'keystore.p12', 'keystore.password', 'truststore.p12'] as const;

/** Our values are all there and unchanged, and no old one is; keys that others add are left alone. */
export function sameValues(wanted: Record<string, string>, found: Record<string, string>): boolean {
  return (
    Object.entries(wanted).every(([key, digest]) => found[key] === digest) &&
    occasionalKeys.every((key) => key in wanted || !(key in found))
  );
}

/** The object that a terminator reads its client CAs from: a Secret, or for Gateways a ConfigMap. It holds certificates alone. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { Role, ROLE_LABEL } from '../api/annotations.ts';
import { configMaps, type KubernetesObject, type Resource, secrets } from '../kube/resource.ts';
import { certificatesFromPem } from '../x509/pem.ts';
import type { TrustObject } from '../x509/trust.ts';
import { madeAt, type MadeFor, madeMeta, type MadeObject, madeObject, metadataOf } from './made-object.ts';
import { type Scope, scopeKey } from './scope.ts';

export const BUNDLE_SELECTOR = `${ROLE_LABEL}=${Role.trustBundle}`;
const CA_KEY = 'ca.crt';

export type BundleKind = 'Secret' | 'ConfigMap';
export const bundleResources: Readonly<Record<BundleKind, Resource>> = { Secret: secrets, ConfigMap: configMaps };

export interface BundleProjection extends MadeObject, TrustObject {
  kind: BundleKind;
}

const schema = z.object({
  metadata: madeMeta,
  type: z.string().default('Opaque'),
  data: z.record(z.string(), z.string()).default({}),
  binaryData: z.record(z.string(), z.string()).default({}),
});

/** Deterministic: the same scope has the same bundle in a namespace, whoever writes it, whenever. */
export function bundleName(scope: Scope): string {
  return `certbound-trust-${createHash('sha256').update(scopeKey(scope)).digest('hex').slice(0, 16)}`;
}

/** Undefined for an object without our label. */
export const projectBundle =
  (kind: BundleKind) =>
  (object: KubernetesObject): BundleProjection | undefined => {
    const { metadata, type, data, binaryData } = schema.parse(object);
    if (metadata.labels[ROLE_LABEL] !== Role.trustBundle) return undefined;
    const held = data[CA_KEY];
    const ca = held === undefined || kind === 'ConfigMap' ? held : Buffer.from(held, 'base64').toString('utf8');
    return {
      ...madeObject(metadata, object.metadata),
      kind,
      type,
      dataKeys: [...Object.keys(data), ...Object.keys(binaryData)].toSorted(),
      ca,
      hashes: hashesOf(ca),
      writtenAt: madeAt(object.metadata),
    };
  };

function hashesOf(pem: string | undefined): string[] {
  if (pem === undefined) return [];
  try {
    return certificatesFromPem(pem).map(({ raw }) => createHash('sha256').update(raw).digest('hex'));
  } catch {
    // Someone edited it; it is compared as text and written anew.
    return [];
  }
}

export interface BundleContent extends MadeFor {
  kind: BundleKind;
  ca: string;
}

/** The object as it is to be; `uid` and `resourceVersion` where it replaces one. */
export function bundleObject(
  { kind, ca, ...made }: BundleContent,
  current?: Pick<BundleProjection, 'uid' | 'resourceVersion'>,
): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind,
    metadata: metadataOf(bundleName(made.scope), Role.trustBundle, made, current),
    ...(kind === 'ConfigMap'
      ? { data: { [CA_KEY]: ca } }
      : { type: 'Opaque', data: { [CA_KEY]: Buffer.from(ca, 'utf8').toString('base64') } }),
  };
}

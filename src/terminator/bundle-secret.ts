/** The Secret that a terminator reads its client CAs from. It holds certificates alone. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { GROUP, OPT_IN, Role, ROLE_LABEL } from '../api/annotations.ts';
import { objectMeta } from '../api/metadata.ts';
import { OPERATOR_FIELD_MANAGER, lastOtherWriter, lastOwnWrite } from '../kube/field-managers.ts';
import type { KubernetesObject, ManagedFieldsEntry } from '../kube/resource.ts';
import { certificatesFromPem } from '../x509/pem.ts';
import { type Scope, scopeKey } from './scope.ts';

export const BUNDLE_SELECTOR = `${ROLE_LABEL}=${Role.trustBundle}`;
const HOST = `${GROUP}/host`;
const CONTROLLER = `${GROUP}/ingress-controller`;
const CA_KEY = 'ca.crt';

export interface BundleProjection {
  namespace: string;
  name: string;
  uid: string;
  resourceVersion: string;
  /** By the annotations that we wrote; undefined where they are missing. */
  scope: Scope | undefined;
  server: string | undefined;
  type: string;
  /** Keys of `data`; anything besides ca.crt is not ours (a tls.crt or ca.crl would change what the host does). */
  dataKeys: readonly string[];
  /** `ca.crt`; undefined when it is missing or no text. */
  ca: string | undefined;
  /** SHA-256 of each CA certificate's DER, lower-case hexadecimal; empty when ca.crt cannot be read. */
  hashes: readonly string[];
  /** When the operator wrote it last, epoch milliseconds. */
  writtenAt: number | undefined;
  /** The field manager that wrote last, other than the operator's own. */
  lastWriter: string | undefined;
  deleting: boolean;
}

const schema = z.object({
  metadata: objectMeta.extend({ namespace: z.string() }),
  type: z.string().default('Opaque'),
  data: z.record(z.string(), z.string()).default({}),
});

/** Deterministic: the same scope has the same Secret in a namespace, whoever writes it, whenever. */
export function bundleName(scope: Scope): string {
  return `certbound-trust-${createHash('sha256').update(scopeKey(scope)).digest('hex').slice(0, 16)}`;
}

/** Undefined for a Secret without our label. */
export function projectBundle(object: KubernetesObject): BundleProjection | undefined {
  const { metadata, type, data } = schema.parse(object);
  if (metadata.labels[ROLE_LABEL] !== Role.trustBundle) return undefined;
  const host = metadata.annotations[HOST];
  const controller = metadata.annotations[CONTROLLER];
  const ca = data[CA_KEY] === undefined ? undefined : Buffer.from(data[CA_KEY], 'base64').toString('utf8');
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    scope: host === undefined || controller === undefined ? undefined : { controller, host },
    server: metadata.annotations[OPT_IN],
    type,
    dataKeys: Object.keys(data).toSorted(),
    ca,
    hashes: hashesOf(ca),
    writtenAt: lastOwnWrite(object.metadata.managedFields ?? [], isOurs),
    lastWriter: lastOtherWriter(object.metadata.managedFields ?? [], isOurs),
    deleting: metadata.deletionTimestamp !== undefined,
  };
}

const isOurs = ({ manager }: ManagedFieldsEntry): boolean => manager === OPERATOR_FIELD_MANAGER;

function hashesOf(pem: string | undefined): string[] {
  if (pem === undefined) return [];
  try {
    return certificatesFromPem(pem).map(({ raw }) => createHash('sha256').update(raw).digest('hex'));
  } catch {
    // Someone edited it; it is compared as text and written anew.
    return [];
  }
}

export interface BundleContent {
  namespace: string;
  scope: Scope;
  server: string;
  ca: string;
}

/** The Secret as it is to be; `uid` and `resourceVersion` where it replaces one. */
export function bundleSecret(
  { namespace, scope, server, ca }: BundleContent,
  current?: Pick<BundleProjection, 'uid' | 'resourceVersion'>,
): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      namespace,
      name: bundleName(scope),
      ...(current === undefined ? {} : { uid: current.uid, resourceVersion: current.resourceVersion }),
      labels: { [ROLE_LABEL]: Role.trustBundle },
      annotations: { [HOST]: scope.host, [CONTROLLER]: scope.controller, [OPT_IN]: server },
    },
    type: 'Opaque',
    data: { [CA_KEY]: Buffer.from(ca, 'utf8').toString('base64') },
  };
}

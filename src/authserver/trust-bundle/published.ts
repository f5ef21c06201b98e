/**
 * The Secret in which a server that validates client certificates itself finds the CAs to trust (spec.trustBundle). What a
 * terminator's bundle is kept in has a scope besides; this one is a server's own. Pure.
 */
import { OPT_IN, Role, ROLE_LABEL } from '../../api/annotations.ts';
import type { AuthorizationServer } from '../../api/authorization-server.ts';
import type { MadeObject } from '../../kube/made-by-us.ts';
import type { KubernetesObject } from '../../kube/resource.ts';
import { isEmptyTrust, type TrustObject } from '../../x509/trust.ts';

/** What is kept of an object that is labelled as a trust bundle. */
export interface PublishedTrust extends MadeObject, TrustObject {
  readonly kind: string;
  /** The terminators' scope that it was made for. */
  readonly scope: unknown;
  /** The AuthorizationServer that it was made for. */
  readonly server: string | undefined;
}

export interface TrustRef {
  readonly namespace: string;
  readonly name: string;
}

export const TRUST_KIND = 'Secret';
const CA_KEY = 'ca.crt';

export const shownRef = ({ namespace, name }: TrustRef): string => `${TRUST_KIND} ${namespace}/${name}`;

/** Where it is to be; undefined where nothing is to be published. */
export function trustRef({ metadata, spec }: Pick<AuthorizationServer, 'metadata' | 'spec'>): TrustRef | undefined {
  const { trustBundle } = spec;
  return trustBundle && { namespace: trustBundle.namespace, name: `${metadata.name}-client-cas` };
}

/** @param pem undefined: nobody is to be trusted */
export function holds(published: PublishedTrust | undefined, server: string, pem: string | undefined): boolean {
  if (published?.ca === undefined || published.type !== 'Opaque' || published.deleting) return false;
  if (published.server !== server || published.scope !== undefined || published.dataKeys.length !== 1) return false;
  return pem === undefined ? isEmptyTrust(published.ca) : published.ca === pem;
}

/** Written again and again, it is the same. */
export const trustContent = (server: string, pem: string | undefined): string => `${server} ${pem ?? ''}`;

/** The object as it is to be; `uid` and `resourceVersion` where it replaces one. */
export function trustObject(
  { namespace, name }: TrustRef,
  server: string,
  pem: string,
  current: Pick<PublishedTrust, 'uid' | 'resourceVersion'> | undefined,
): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: TRUST_KIND,
    metadata: {
      namespace,
      name,
      ...(current === undefined ? {} : { uid: current.uid, resourceVersion: current.resourceVersion }),
      labels: { [ROLE_LABEL]: Role.trustBundle },
      annotations: { [OPT_IN]: server },
    },
    type: 'Opaque',
    data: { [CA_KEY]: Buffer.from(pem, 'utf8').toString('base64') },
  };
}

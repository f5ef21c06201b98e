import type { KubeClient } from '../kube/client.ts';
import type { KubernetesObject } from '../kube/resource.ts';
import type { Identity } from './identity.ts';

export interface Claim {
  /** Of the ConfigMap. */
  name: string;
  resourceVersion: string;
  /** `namespace/name` of the OAuthClient. */
  holder: string;
  holderUid: string;
  /** Epoch milliseconds; set when its holder released it. */
  expires: number | undefined;
}
export interface ClaimHolder {
  namespace: string;
  name: string;
  uid: string;
}
export interface ClaimRequest {
  operatorNamespace: string;
  /** Issuer URL of the server. */
  issuer: string;
  identity: Identity;
  holder: ClaimHolder;
}
/** `free`: nobody's, expired, or our own predecessor's or released one: acquire it. */
export type ClaimState = { state: 'held' } | { state: 'free' } | { state: 'taken'; until: number | undefined };

export declare function claimName(issuer: string, identity: Pick<Identity, 'parameter' | 'canonical'>): string;
/** For an informer on ConfigMaps with the label certbound.dev/role=claim. */
export declare function projectClaim(object: KubernetesObject): Claim | undefined;
/** Pure. */
export declare function claimState(claim: Claim | undefined, holder: ClaimHolder, now: number): ClaimState;
/** @throws OperatorError `IdentityTaken` when somebody else holds it; KubeErrors */
export declare function acquireClaim(
  client: KubeClient,
  request: ClaimRequest,
  now: number,
  signal: AbortSignal,
): Promise<KubernetesObject>;
/** It stays ours until `until` (epoch milliseconds: the last certificate's notAfter), then it is anybody's. */
export declare function releaseClaim(
  client: KubeClient,
  request: ClaimRequest,
  until: number,
  signal: AbortSignal,
): Promise<void>;

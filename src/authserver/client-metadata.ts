import type { JWK } from 'jose';
import type { AuthMethod } from '../api/oauth-client.ts';
import type { OperatorError } from '../errors.ts';
import type { ClientMetadata } from './driver.ts';
import type { Identity } from './identity.ts';

export interface DesiredClient {
  method: AuthMethod;
  /** Registered for `tls_client_auth`. */
  identity: Identity;
  /** Registered for `self_signed_tls_client_auth`: the JWK of every live certificate. */
  keys: readonly JWK[];
  clientName: string | undefined;
  /** `ownershipMarker()` */
  marker: string;
  grantTypes: readonly string[];
  responseTypes: readonly string[];
  redirectURIs: readonly string[];
  scope: string | undefined;
}
export interface EchoViolation {
  member: string;
  asked: unknown;
  answered: unknown;
}
/** `clusterId/namespace/name`: who a registration belongs to; part of client_name. */
export declare function ownershipMarker(clusterId: string, namespace: string, name: string): string;
export declare function clientMetadata(desired: DesiredClient): ClientMetadata;
/** What a server registered otherwise than asked (RFC 7591 §3.2.1 lets it). */
export declare function echoViolations(asked: ClientMetadata, answered: ClientMetadata): EchoViolation[];
/** `MetadataRejected`, terminal. */
export declare function metadataRejected(violations: readonly EchoViolation[]): OperatorError;
/** The members that a PUT would change; empty means no PUT. */
export declare function changedMembers(asked: ClientMetadata, lastAnswer: ClientMetadata): string[];
/** RFC 7592 §2.2. The driver's update() does it. */
export declare function updateBody(lastAnswer: ClientMetadata, asked: ClientMetadata): ClientMetadata;

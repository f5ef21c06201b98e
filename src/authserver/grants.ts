import type { ClientGrants } from '../api/authorization-server.ts';
import type { NamespaceGrant } from '../api/fields.ts';
import type { AuthMethod } from '../api/oauth-client.ts';

export interface Violation {
  /** Path in the OAuthClient's spec. */
  field: string;
  /** Public: what is not granted and what to do. */
  message: string;
}
export interface Namespace {
  name: string;
  labels: Readonly<Record<string, string>>;
}
/** Effective values of an OAuthClient. */
export interface GrantRequest {
  namespace: Namespace;
  method: AuthMethod;
  /** Name of the ClientCertificateIssuer. */
  issuer: string;
  grantTypes: readonly string[];
  responseTypes: readonly string[];
  /** Space-separated. */
  scope: string | undefined;
  redirectURIs: readonly string[];
  deletionPolicy: 'Delete' | 'Orphan';
}
export declare function grantsNamespace(grant: NamespaceGrant | undefined, namespace: Namespace): boolean;
/** Empty when everything is granted. A namespace that is not granted learns that alone. */
export declare function clientGrants(grants: ClientGrants | undefined, request: GrantRequest): Violation[];
export declare function redirectUriGranted(pattern: string, uri: string): boolean;

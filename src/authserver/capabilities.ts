import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { AuthMethod } from '../api/oauth-client.ts';
import { type SubjectParameter, subjectParameters } from './identity.ts';

/** What can be done at one kind of server, whichever one it is: what a server says of itself comes on top. Pure. */
export interface DriverCapabilities {
  /** What it registers as token_endpoint_auth_method. */
  readonly methods: readonly AuthMethod[];
  /** By what it knows a tls_client_auth client (RFC 8705 §2.1.2). */
  readonly subjectParameters: readonly SubjectParameter[];
  /** The grant types that it can register; undefined where the server alone knows. */
  readonly grantTypes?: readonly string[];
  /** Who chooses client_id. A client whose id is ours can be found again, also where the answer to its creation was lost. */
  readonly clientIdFrom: 'us' | 'server';
  /** What a registration is managed with. A credential can't be lost with one client, and sees for sure that one is gone. */
  readonly managedBy: 'registration access token' | 'credential';
  /** No read has an effect, such as another registration access token: it may be read as often as one likes. */
  readonly readsAreFree: boolean;
  /** It keeps extension members: who a client belongs to, and the name of the CA that its certificates are to come from. */
  readonly keepsExtensions: boolean;
  /** It binds refresh tokens to the certificate, so that they end with it; undefined where nothing is known. */
  readonly bindsRefreshTokens?: boolean;
}

export const dynamicRegistrationCapabilities: DriverCapabilities = {
  methods: ['tls_client_auth', 'self_signed_tls_client_auth'],
  subjectParameters,
  clientIdFrom: 'server',
  managedBy: 'registration access token',
  readsAreFree: false,
  keepsExtensions: false,
};

export const keycloakCapabilities: DriverCapabilities = {
  methods: ['tls_client_auth'],
  subjectParameters: ['tls_client_auth_subject_dn'],
  grantTypes: [
    'authorization_code',
    'client_credentials',
    'refresh_token',
    'urn:ietf:params:oauth:grant-type:device_code',
    'urn:openid:params:grant-type:ciba',
    'urn:ietf:params:oauth:grant-type:token-exchange',
  ],
  clientIdFrom: 'us',
  managedBy: 'credential',
  readsAreFree: true,
  keepsExtensions: true,
  bindsRefreshTokens: true,
};

/** Undefined where the spec names no driver that this version has. */
export function capabilitiesOf(server: Pick<AuthorizationServer, 'spec'>): DriverCapabilities | undefined {
  if (server.spec.keycloak !== undefined) return keycloakCapabilities;
  return server.spec.dynamicRegistration === undefined ? undefined : dynamicRegistrationCapabilities;
}

import { GROUP } from './annotations.ts';

const version = 'v1alpha1';

export const oauthClients = {
  group: GROUP,
  version,
  plural: 'oauthclients',
  kind: 'OAuthClient',
  namespaced: true,
} as const;
export const authorizationServers = {
  group: GROUP,
  version,
  plural: 'authorizationservers',
  kind: 'AuthorizationServer',
  namespaced: false,
} as const;
export const clientCertificateIssuers = {
  group: GROUP,
  version,
  plural: 'clientcertificateissuers',
  kind: 'ClientCertificateIssuer',
  namespaced: false,
} as const;

import { CLIENT_CERTIFICATES, OPT_IN } from '../../src/api/annotations.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { ingress } from './cluster-objects.ts';
import { CLIENTS_ALLOWED, type Installation } from './installation.ts';
import { HOSTS } from './oauth-deployment.ts';

export const SELF_SIGNED_SERVER = 'corporate-self-signed';

/**
 * The same authorization server for clients that sign their own certificates: as a server of its own, on a host of its own
 * whose terminator verifies nothing (RFC 8705 §2.2).
 */
export function selfSignedPlatform(
  world: Pick<Installation, 'origin' | 'serverCa'> & { addresses?: readonly string[] },
  scopes: readonly string[],
  clientKeys: 'jwks' | 'jwks_uri' = 'jwks',
): KubernetesObject[] {
  const mtls = world.origin('selfSigned');
  const { addresses = ['127.0.0.1'] } = world;
  const issuer = 'self-signed';
  const namespaces = { selector: { matchLabels: CLIENTS_ALLOWED } };
  const terminator = { namespace: 'identity', name: 'authorization-server-self-signed' };
  return [
    {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: 'ClientCertificateIssuer',
      metadata: { name: issuer },
      spec: { selfSigned: {}, policy: { namespaces } },
    },
    {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: 'AuthorizationServer',
      metadata: { name: SELF_SIGNED_SERVER },
      spec: {
        issuer: world.origin('browser'),
        dynamicRegistration: {
          clientKeys,
          initialAccessTokenSecretRef: { name: 'corporate-initial-access-token', key: 'token' },
        },
        caBundle: world.serverCa.certPem,
        connectTo: Object.values(HOSTS).map((host) => ({ host, addresses: [...addresses] })),
        mtlsEndpoints: {
          tokenEndpoint: `${mtls}/token`,
          introspectionEndpoint: `${mtls}/token/introspection`,
          revocationEndpoint: `${mtls}/token/revocation`,
          pushedAuthorizationRequestEndpoint: `${mtls}/request`,
        },
        defaultIssuerRef: { name: issuer },
        propagation: '30s',
        terminators: [{ group: 'networking.k8s.io', kind: 'Ingress', ...terminator }],
        clients: {
          namespaces,
          issuers: [issuer],
          methods: ['self_signed_tls_client_auth'],
          grantTypes: ['client_credentials'],
          scopes: [...scopes],
          identityTemplates: [{ dn: 'CN={name},O={namespace}' }],
        },
      },
    },
    ingress(
      { ...terminator, annotations: { [OPT_IN]: SELF_SIGNED_SERVER, [CLIENT_CERTIFICATES]: 'request' } },
      HOSTS.selfSigned,
      'authorization-server',
    ),
  ];
}

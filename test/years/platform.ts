/** What the platform of the simulation has before the first client comes. */
import { CLIENT_CERTIFICATES, OPT_IN } from '../../src/api/annotations.ts';
import type { ClientGrants } from '../../src/api/authorization-server.ts';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import { ingressClasses, ingresses, namespaces } from '../../src/kube/resource.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import { isReady, issuerUrl } from '../oauthclient/view.ts';
import { mtlsOrigin, registrationOrigin } from './authorization-server.ts';
import { OPERATOR_NAMESPACE } from './operator.ts';
import type { People } from './people.ts';

export interface PlatformOptions {
  method: AuthMethod;
  /** Life of a managed CA. */
  caDuration?: string;
  propagation?: string;
  /** What the platform grants besides. */
  grants?: Partial<ClientGrants>;
  verifyInterval?: string;
}

export const INGRESS = { namespace: 'identity', name: 'mtls' };
const HOST = new URL(mtlsOrigin).hostname;
/** What applications trust at the server, in keystores too. */
const serverCaPem = (await createThrowawayCa('Server CA')).certPem;

export function setUp(people: People, options: PlatformOptions, addresses: readonly string[]): void {
  const { method, propagation, verifyInterval } = options;
  const certificates = method === 'tls_client_auth' ? 'required' : 'request';
  const backend = { service: { name: 'as', port: { number: 80 } } };
  for (const name of ['payments', 'identity', OPERATOR_NAMESPACE]) people.create(namespaces, { metadata: { name } });
  people.create(ingressClasses, {
    metadata: { name: 'nginx' },
    spec: { controller: 'k8s.io/ingress-nginx' },
  });
  people.create(ingresses, {
    metadata: { ...INGRESS, annotations: { [OPT_IN]: 'corporate', [CLIENT_CERTIFICATES]: certificates } },
    spec: {
      ingressClassName: 'nginx',
      tls: [{ hosts: [HOST], secretName: 'tls' }],
      rules: [{ host: HOST, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
    },
  });
  people.create(clientCertificateIssuers, { metadata: { name: 'clients-1' }, spec: issuerSpec(options) });
  people.create(authorizationServers, {
    metadata: { name: 'corporate' },
    spec: {
      issuer: issuerUrl,
      dynamicRegistration: {},
      caBundle: serverCaPem,
      connectTo: [{ host: HOST, addresses: addresses }],
      defaultIssuerRef: { name: 'clients-1' },
      ...(propagation === undefined ? {} : { propagation }),
      ...(verifyInterval === undefined ? {} : { verifyInterval }),
      terminators: [{ group: 'networking.k8s.io', kind: 'Ingress', ...INGRESS }],
      clients: {
        namespaces: { names: ['payments'] },
        issuers: ['clients-1'],
        methods: [method],
        grantTypes: ['client_credentials'],
        scopes: ['accounts:read', 'accounts:write'],
        identityTemplates: [
          { dn: 'CN={namespace}.{name},OU={clusterId}' },
          { dnsName: '{name}.{namespace}.clients.example.com' },
        ],
        recovery: 'Recreate',
        ...options.grants,
      },
    },
    // Its own reconciler is tested elsewhere.
    status: {
      endpoints: {
        tokenEndpoint: `${mtlsOrigin}/token`,
        revocationEndpoint: `${mtlsOrigin}/revoke`,
        registrationEndpoint: `${registrationOrigin}/reg`,
      },
      capabilities: { authMethods: [method], certificateBoundTokens: true },
      conditions: isReady(),
    },
  });
}

export function issuerSpec({ method, caDuration }: PlatformOptions) {
  const managed = caDuration === undefined ? {} : { duration: caDuration };
  const policy = { namespaces: { names: ['payments'] }, maxDuration: '8784h' };
  return method === 'tls_client_auth' ? { ca: { managed }, policy } : { selfSigned: {}, policy };
}

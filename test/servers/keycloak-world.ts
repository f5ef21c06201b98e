/** A cluster with the operator as the chart installs it, and Keycloak. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  authorizationServer,
  type AuthorizationServerSpec,
  type AuthorizationServerStatus,
} from '../../src/api/authorization-server.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { KubeClient } from '../../src/kube/client.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { OPT_IN } from '../../src/api/annotations.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import { apply, ingress, localService, namespace, opaqueSecret } from '../support/cluster-objects.ts';
import { startControlPlane } from '../support/control-plane.ts';
import { freePort } from '../support/free-port.ts';
import { startIngressController } from '../support/ingress-controller.ts';
import { grantTerminatorRights } from '../support/chart.ts';
import { type MountedSecret, mountSecret } from '../support/mounted-secret.ts';
import { ProjectedVolume } from '../support/projected-volume.ts';
import { applyTraefikCrds, byPortName, externalService, startTraefik } from '../support/traefik.ts';
import { CLIENTS_ALLOWED, CLUSTER_ID, INGRESS_CLASS } from '../support/installation.ts';
import { type Keycloak, LEAST_ROLES, type Realm, startKeycloak } from '../support/keycloak.ts';
import { TestClient } from '../support/oauth-client.ts';
import { BLANK_CERTIFICATE_HEADERS } from '../support/oauth-deployment.ts';
import { grantOperatorRights } from '../support/operator-rights.ts';
import { startOperator } from '../support/operator.ts';
import { type ServerProxy, startServerProxy } from '../support/server-proxy.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from '../support/throwaway-ca.ts';
import { waitFor } from '../support/wait-for.ts';

export const SCOPES = ['accounts:read', 'accounts:write'];
/** The client that is the API: Keycloak lets nobody introspect a token that is not for them. */
export const API = 'accounts-api';
export const REDIRECT_URI = 'https://app.example.com/cb';
const HOST = 'as.example.test';
/** Its Admin REST API, through a proxy that can be told to do wrong. */
const ADMIN_HOST = 'admin.as.example.test';
/** Where nginx asks for certificates. */
const MTLS_HOST = 'mtls.as.example.test';
const SYSTEM = 'certbound-system';

type ServerSpec = Partial<AuthorizationServerSpec>;
type ServerCondition = NonNullable<AuthorizationServerStatus['conditions']>[number];

/** A cluster whose operator manages clients there. */
export interface Cluster {
  readonly kube: KubeClient;
  /** `corporate`, or another one like it. */
  server(name: string, more?: ServerSpec): Promise<void>;
  serverBecomes(name: string, status: 'True' | 'False', reason: string): Promise<ServerCondition>;
  client(name: string, spec?: ConstructorParameters<typeof TestClient>[2], team?: string): TestClient;
  /** What the realm calls the client of that name. */
  clientId(name: string, team?: string): string;
  secret(name: string, data: Record<string, string>): Promise<void>;
  log(): Promise<string>;
}

export interface KeycloakWorld extends Cluster {
  readonly keycloak: Keycloak;
  readonly realm: Realm;
  readonly adminProxy: ServerProxy;
  readonly clientCa: ThrowawayCa;
  readonly serverCaPem: string;
  readonly apiSecret: string;
  /** Keycloak's truststore, where it is the trust bundle. */
  readonly mounted: MountedSecret | undefined;
  /** Of the operator's client in the realm. */
  readonly clientSecret: string;
  /** Another one, with the same CA and the same realm. */
  cluster(clusterId: string): Promise<Cluster>;
  stop(): Promise<void>;
}

/** What asks for client certificates: Keycloak itself, or a terminator before it. */
type Front = 'its own TLS' | 'nginx' | 'traefik';

export interface KeycloakWorldOptions {
  /** Keycloak's truststore is the server's trust bundle, mounted. */
  trustBundle?: boolean;
  /** Of `corporate`. */
  spec?: ServerSpec;
}

export function startKeycloakWorld(
  front: Front = 'its own TLS',
  options: KeycloakWorldOptions = {},
): Promise<KeycloakWorld> {
  return allOrNothing((parts) => start(front, options, parts));
}

/** A kubelet takes longer. */
const MOUNT_LAG_MS = 2_000;

async function start(
  front: Front,
  { trustBundle = false, spec: corporate = {} }: KeycloakWorldOptions,
  parts: AsyncDisposableStack,
): Promise<KeycloakWorld> {
  const serverCa = await createThrowawayCa('Server CA');
  const clientCa = await createThrowawayCa('Corporate OAuth Clients');
  const port = await freePort();
  const tls = await serverCa.issue({ cn: HOST, dns: [HOST, ADMIN_HOST, MTLS_HOST] });
  const terminator =
    front === 'its own TLS' ? undefined : { kind: front, httpsPort: await freePort(), httpPort: await freePort() };
  const volume = trustBundle ? await truststore(clientCa.certPem, parts) : undefined;
  const keycloak = await startKeycloak({
    host: HOST,
    port,
    tls,
    caPem: serverCa.certPem,
    clientCaPem: clientCa.certPem,
    ...(volume && { trustStoreFile: join(volume.path, 'ca.crt') }),
    ...(terminator && {
      lookup: terminator.kind,
      publicOrigin: `https://${HOST}:${terminator.httpsPort}`,
      httpPort: terminator.httpPort,
    }),
  });
  parts.defer(() => keycloak.stop());
  const adminProxy = await startServerProxy({
    address: '127.0.0.2',
    port,
    certificate: await serverCa.issue({ cn: ADMIN_HOST, dns: [ADMIN_HOST] }),
    target: '127.0.0.1',
    targetCaPem: serverCa.certPem,
  });
  parts.defer(() => adminProxy.stop());
  const realm = await keycloak.realm('corporate');
  for (const scope of SCOPES) await realm.scope(scope, API);
  const { secret: apiSecret } = await realm.serviceAccount(API, []);
  const { secret: clientSecret } = await realm.serviceAccount('certbound', LEAST_ROLES);

  async function startCluster(clusterId: string): Promise<Cluster> {
    const plane = await startControlPlane({
      controllerManager: false,
      crds: [resolve(import.meta.dirname, '../../crds')],
    });
    parts.defer(() => plane.stop());
    const kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
    parts.defer(() => kube.close());
    const secret = async (name: string, data: Record<string, string>, type?: string) => {
      await apply(kube, opaqueSecret({ namespace: SYSTEM, name }, data, type));
    };
    const kubeconfigPath = await grantOperatorRights(plane, kube);
    await apply(kube, namespace('team', CLIENTS_ALLOWED), namespace(SYSTEM, CLIENTS_ALLOWED));
    await secret('clients-ca', { 'tls.crt': clientCa.certPem, 'tls.key': clientCa.keyPem }, 'kubernetes.io/tls');
    await secret('keycloak', { 'client-secret': clientSecret });
    await apply(kube, issuerObject());
    if (trustBundle) await apply(kube, namespace('identity'));
    if (terminator?.kind === 'traefik') {
      await applyTraefikCrds(kube);
      await grantTerminatorRights(kube, ['nginx', 'traefik']);
      await apply(kube, ...behindTraefik(terminator.httpPort, tls));
      const traefik = await startTraefik({
        kubeconfigPath: plane.kubeconfigPath,
        provider: 'kubernetesIngress',
        ingressClass: 'traefik',
        httpsPort: terminator.httpsPort,
      });
      parts.defer(() => traefik.stop());
    }
    if (terminator?.kind === 'nginx') {
      await apply(kube, ...ingressObjects(terminator.httpPort, tls));
      const ingressController = await startIngressController({
        source: { kubeconfigPath: plane.kubeconfigPath },
        httpsPort: terminator.httpsPort,
        installNginx: true,
        terminator: 'nginx',
        proxySetHeaders: BLANK_CERTIFICATE_HEADERS,
      });
      parts.defer(() => ingressController.stop());
    }
    const server = async (name: string, more: ServerSpec = {}) => {
      await apply(kube, serverObject(name, { ...serverSpec(), ...more }));
    };
    await server('corporate', { ...corporate, ...(trustBundle && { trustBundle: { namespace: 'identity' } }) });
    const operator = await startOperator({
      kubeconfigPath,
      clusterId,
      logFile: resolve(plane.dir, 'operator.log'),
      environment: { CERTBOUND_TERMINATORS: front === 'traefik' ? 'nginx,traefik' : 'nginx' },
    });
    parts.defer(async () => void (await operator.stop()));
    return {
      kube,
      server,
      secret: (name, data) => secret(name, data),
      async serverBecomes(name, status, reason) {
        let condition: ServerCondition | undefined;
        await waitFor(async () => {
          const object = await kube.get(authorizationServers, { name });
          condition = authorizationServer.parse(object).status?.conditions?.find(({ type }) => type === 'Ready');
          return condition?.status === status && condition.reason === reason;
        }, 90_000).catch((cause: unknown) => {
          throw new Error(`AuthorizationServer ${name} is ${JSON.stringify(condition)}`, { cause });
        });
        if (condition === undefined) throw new TypeError('no condition');
        return condition;
      },
      client: (name, spec = {}, team = 'team') =>
        new TestClient(
          { kube },
          { namespace: team, name },
          { scope: SCOPES.join(' '), certificate: { duration: '24h' }, ...spec },
        ),
      clientId: (name, team = 'team') => `${clusterId}.${team}.${name}`,
      log: () => operator.log(),
    };
  }

  function serverSpec(): AuthorizationServerSpec {
    return {
      issuer: realm.issuer,
      keycloak: {
        clientId: 'certbound',
        adminURL: `https://${ADMIN_HOST}:${port}`,
        clientSecretRef: { name: 'keycloak', key: 'client-secret' },
      },
      caBundle: serverCa.certPem,
      connectTo: [
        { host: HOST, addresses: ['127.0.0.1'] },
        { host: MTLS_HOST, addresses: ['127.0.0.1'] },
        { host: ADMIN_HOST, addresses: ['127.0.0.2'] },
      ],
      ...(terminator && behindTerminator(`https://${MTLS_HOST}:${terminator.httpsPort}/realms/${realm.name}`)),
      defaultIssuerRef: { name: 'corporate-clients' },
      propagation: '5s',
      clients: {
        namespaces: { selector: { matchLabels: CLIENTS_ALLOWED } },
        issuers: ['corporate-clients'],
        methods: ['tls_client_auth', 'self_signed_tls_client_auth'],
        grantTypes: ['client_credentials', 'authorization_code', 'refresh_token'],
        scopes: [...SCOPES, 'openid'],
        redirectURIs: [REDIRECT_URI],
        identityTemplates: [{ dn: 'CN={name},O={namespace}' }, { dnsName: '{name}.{namespace}.example.com' }],
      },
    };
  }

  const cluster = await startCluster(CLUSTER_ID);
  const mounted = volume && mountSecret(cluster.kube, identity('corporate-client-cas'), volume, MOUNT_LAG_MS);
  if (mounted !== undefined) parts.defer(() => mounted.stop());

  return {
    ...cluster,
    keycloak,
    realm,
    adminProxy,
    clientCa,
    serverCaPem: serverCa.certPem,
    apiSecret,
    clientSecret,
    mounted,
    cluster: startCluster,
    stop: () => parts.disposeAsync(),
  };
}

/** As a Pod finds it at its start. */
async function truststore(pem: string, parts: AsyncDisposableStack): Promise<ProjectedVolume> {
  const folder = await mkdtemp(join(tmpdir(), 'certbound-truststore-'));
  parts.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }));
  const volume = new ProjectedVolume(folder, process.getgid?.() ?? 0);
  await volume.write({ 'ca.crt': pem });
  return volume;
}

const identity = (name: string) => ({ namespace: 'identity', name });

/** The browser's host, and that of the token endpoint behind mutual TLS, which has opted in. */
function ingressObjects(httpPort: number, tls: KeyPairPem): KubernetesObject[] {
  const mtls = { ...identity('keycloak-mtls'), annotations: { [OPT_IN]: 'corporate' } };
  return [
    INGRESS_CLASS,
    namespace('identity'),
    opaqueSecret(identity('tls'), { 'tls.crt': tls.certPem, 'tls.key': tls.keyPem }, 'kubernetes.io/tls'),
    localService(identity('keycloak'), httpPort),
    ingress(identity('keycloak'), HOST, 'keycloak'),
    ingress(mtls, MTLS_HOST, 'keycloak'),
  ];
}

/** The same, as Traefik's provider for Ingresses wants it. */
function behindTraefik(httpPort: number, tls: KeyPairPem): KubernetesObject[] {
  const ofTraefik = (object: KubernetesObject): KubernetesObject =>
    object.kind === 'Ingress'
      ? byPortName({ ...object, spec: { ...Object(object['spec']), ingressClassName: 'traefik' } })
      : object;
  return [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IngressClass',
      metadata: { name: 'traefik' },
      spec: { controller: 'traefik.io/ingress-controller' },
    },
    ...ingressObjects(httpPort, tls)
      .filter(({ kind }) => kind !== 'IngressClass' && kind !== 'Service')
      .map(ofTraefik),
    externalService(identity('keycloak'), httpPort),
  ];
}

function behindTerminator(realmUrl: string): ServerSpec {
  const endpoint = (path: string) => `${realmUrl}/protocol/openid-connect/${path}`;
  return {
    mtlsEndpoints: {
      tokenEndpoint: endpoint('token'),
      introspectionEndpoint: endpoint('token/introspect'),
      revocationEndpoint: endpoint('revoke'),
      pushedAuthorizationRequestEndpoint: endpoint('ext/par/request'),
    },
    terminators: [{ group: 'networking.k8s.io', kind: 'Ingress', ...identity('keycloak-mtls') }],
  };
}

function issuerObject(): KubernetesObject {
  return {
    apiVersion: 'certbound.dev/v1alpha1',
    kind: 'ClientCertificateIssuer',
    metadata: { name: 'corporate-clients' },
    spec: {
      ca: { secretRef: { name: 'clients-ca' } },
      policy: { namespaces: { selector: { matchLabels: CLIENTS_ALLOWED } } },
    },
  };
}

function serverObject(name: string, spec: AuthorizationServerSpec): KubernetesObject {
  return { apiVersion: 'certbound.dev/v1alpha1', kind: 'AuthorizationServer', metadata: { name }, spec };
}

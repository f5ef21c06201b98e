/** An authorization server and an API behind one ingress controller, as a cluster has them, from objects made by hand. */
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  startAuthorizationServer,
} from './authorization-server.ts';
import { type Answer, type Call, call } from './https-call.ts';
import { freePort } from './free-port.ts';
import { type IngressController, type IngressControllerOptions, startIngressController } from './ingress-controller.ts';
import { type ObjectList, objectList } from './ingress-objects.ts';
import { type ResourceServer, startResourceServer } from './resource-server.ts';
import { createThrowawayCa, type KeyPairPem, type ThrowawayCa } from './throwaway-ca.ts';

export const HOSTS = {
  browser: 'as.example.test',
  mtls: 'mtls.as.example.test',
  selfSigned: 'self.as.example.test',
  api: 'api.example.test',
  selfSignedApi: 'self.api.example.test',
} as const;

type HostName = keyof typeof HOSTS;

/** What ingress-nginx's ConfigMap of proxy-set-headers must hold, so that no host passes a forged header on. */
export const BLANK_CERTIFICATE_HEADERS = {
  'ssl-client-cert': '',
  'ssl-client-verify': '',
  'ssl-client-subject-dn': '',
  'ssl-client-issuer-dn': '',
} as const;

const namespace = 'default';
const encode = (data: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));

export function secretObject(name: string, data: Record<string, string>): unknown {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { namespace, name }, data: encode(data) };
}

export function serviceObject(name: string, port: number): unknown {
  const spec = { type: 'ExternalName', externalName: 'localhost', ports: [{ port, targetPort: port }] };
  return { apiVersion: 'v1', kind: 'Service', metadata: { namespace, name }, spec };
}

export interface IngressRequest {
  name: string;
  host: string;
  service: string;
  port: number;
  /** Names of auth-tls annotations, without their prefix `auth-tls-`. */
  authTls?: Readonly<Record<string, string>>;
  creationTimestamp?: string;
  path?: string;
}

export function ingressObject(request: IngressRequest): unknown {
  const annotations = Object.fromEntries(
    Object.entries(request.authTls ?? {}).map(([key, value]) => [`nginx.ingress.kubernetes.io/auth-tls-${key}`, value]),
  );
  const creationTimestamp = request.creationTimestamp ?? '2026-01-01T00:00:00Z';
  const backend = { service: { name: request.service, port: { number: request.port } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: { namespace, name: request.name, annotations, creationTimestamp },
    spec: {
      ingressClassName: 'nginx',
      tls: [{ hosts: [request.host], secretName: 'server-tls' }],
      rules: [{ host: request.host, http: { paths: [{ path: request.path ?? '/', pathType: 'Prefix', backend }] } }],
    },
  };
}

export interface OAuthDeployment {
  readonly authorizationServer: AuthorizationServer;
  readonly resourceServer: ResourceServer;
  readonly ingressController: IngressController;
  readonly objects: ObjectList;
  /** Issues the terminator's own certificates. */
  readonly serverCa: ThrowawayCa;
  /** What the terminator trusts on the mTLS and the API host. */
  readonly clientCa: ThrowawayCa;
  origin(host: HostName): string;
  call(host: HostName, path: string, request?: Omit<Call, 'url' | 'ca'>): Promise<Answer>;
  register(metadata: Readonly<Record<string, unknown>>): Promise<Answer>;
  requestToken(request: TokenRequest): Promise<Answer>;
  callApi(token: string | undefined, certificate: KeyPairPem | undefined): Promise<Answer>;
  stop(): Promise<void>;
}

export interface TokenRequest {
  clientId?: string;
  certificate?: KeyPairPem | undefined;
  /** Default: the mTLS host. */
  host?: HostName;
  parameters?: Readonly<Record<string, string>>;
  headers?: Readonly<Record<string, string | string[]>>;
}

export type OAuthDeploymentOptions = Partial<
  Pick<AuthorizationServerOptions, 'authenticationMethods' | 'discovery' | 'accessTokenTTL'>
> &
  Partial<Pick<IngressControllerOptions, 'proxySetHeaders' | 'terminator' | 'installNginx'>> & {
    /** Whether discovery publishes the mTLS host. Default true. */
    aliases?: boolean;
  };

export async function startOAuthDeployment(options: OAuthDeploymentOptions = {}): Promise<OAuthDeployment> {
  const httpsPort = await freePort();
  const origin = (host: HostName): string => `https://${HOSTS[host]}:${httpsPort}`;
  const [serverCa, clientCa, nobody] = await Promise.all(
    ['Server CA', 'Client CA', 'Nobody'].map((name) => createThrowawayCa(name)),
  );
  if (serverCa === undefined || clientCa === undefined || nobody === undefined) throw new Error('no CA');
  const { aliases = true, proxySetHeaders = BLANK_CERTIFICATE_HEADERS, terminator, installNginx, ...server } = options;
  const authorizationServer = await startAuthorizationServer({
    ...server,
    issuer: origin('browser'),
    selfSignedOrigin: origin('selfSigned'),
    ...(aliases ? { mtlsOrigin: origin('mtls') } : {}),
  });
  const { issuer, jwks, resource: audience } = authorizationServer;
  const resourceServer = await startResourceServer({ issuer, audience, jwks });
  const serverPair = await serverCa.issue({ cn: 'server', dns: Object.values(HOSTS) });
  const as = { service: 'as', port: authorizationServer.port };
  const pass = { 'pass-certificate-to-upstream': 'true' };
  const objects = objectList([
    secretObject('server-tls', { 'tls.crt': serverPair.certPem, 'tls.key': serverPair.keyPem }),
    secretObject('clients', { 'ca.crt': clientCa.certPem }),
    // ingress-nginx has client authentication off without a CA; this one's key is gone.
    secretObject('nobody', { 'ca.crt': nobody.certPem }),
    serviceObject('as', authorizationServer.port),
    serviceObject('api', resourceServer.port),
    ingressObject({ name: 'as', host: HOSTS.browser, ...as }),
    ingressObject({ name: 'as-mtls', host: HOSTS.mtls, ...as, authTls: { secret: 'default/clients', ...pass } }),
    ingressObject({
      name: 'as-self',
      host: HOSTS.selfSigned,
      ...as,
      authTls: { secret: 'default/nobody', 'verify-client': 'optional_no_ca', ...pass },
    }),
    ingressObject({
      name: 'api',
      host: HOSTS.api,
      service: 'api',
      port: resourceServer.port,
      authTls: { secret: 'default/clients', 'verify-client': 'optional', ...pass },
    }),
  ]);
  const ingressController = await startIngressController({
    source: objects,
    httpsPort,
    proxySetHeaders,
    ...(terminator && { terminator }),
    ...(installNginx === undefined ? {} : { installNginx }),
  });

  const callHost: OAuthDeployment['call'] = (host, path, request) =>
    call({ ...request, url: origin(host) + path, ca: serverCa.certPem });
  return {
    authorizationServer,
    resourceServer,
    ingressController,
    objects,
    serverCa,
    clientCa,
    origin,
    call: callHost,
    register: (metadata) => callHost('browser', '/reg', { body: metadata }),
    requestToken({ clientId, certificate, host = 'mtls', parameters = {}, headers = {} }) {
      const body = new URLSearchParams({ grant_type: 'client_credentials', ...parameters });
      if (clientId !== undefined) body.set('client_id', clientId);
      return callHost(host, '/token', { body, certificate, headers });
    },
    callApi: (token, certificate) =>
      callHost('api', '/', {
        certificate,
        ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }),
      }),
    async stop() {
      await ingressController.stop();
      await authorizationServer.stop();
      await resourceServer.stop();
    },
  };
}

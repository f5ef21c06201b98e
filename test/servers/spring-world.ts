/** An installation with Spring Authorization Server, once for each method: two ports of one server, two AuthorizationServers. */
import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { OAuthClientSpec } from '../../src/api/oauth-client.ts';
import { events, type KubernetesObject } from '../../src/kube/resource.ts';
import type { Ca } from '../../src/x509/certificate.ts';
import { serverReady } from '../e2e/lifecycle-world.ts';
import { rootCa } from '../issuer/authorities.ts';
import { allOrNothing } from '../support/all-or-nothing.ts';
import { apply, namespace, opaqueSecret } from '../support/cluster-objects.ts';
import { freePort } from '../support/free-port.ts';
import { CLIENTS_ALLOWED, type Installation, startInstallation } from '../support/installation.ts';
import { TestClient } from '../support/oauth-client.ts';
import {
  SPRING_HOST,
  type SpringAuthorizationServer,
  startSpringAuthorizationServer,
} from '../support/spring-authorization-server.ts';

export const SERVER = 'spring';
export const SELF_SIGNED_SERVER = 'spring-self-signed';
/** For how long Spring keeps the key set of a client: it is written into it. */
export const KEY_SET_CACHE_MS = 300_000;
const TOKEN_SECRET = { namespace: 'certbound-system', name: 'spring-initial-access-token' };
const CA_SECRET = { namespace: 'certbound-system', name: 'spring-clients-ca' };
const namespaces = { selector: { matchLabels: CLIENTS_ALLOWED } };

/** However busy the machine is. */
export const GENEROUS_MS = 300_000;
export const REDIRECT_URI = 'https://app.example.test/callback';

export interface SpringWorld {
  readonly installation: Installation;
  readonly spring: SpringAuthorizationServer;
  /** Signs for tls_client_auth; Spring trusts it. */
  readonly clientCa: Ca;
  client(name: string, base?: Partial<OAuthClientSpec>): TestClient;
  /** A new one in the Secret that the operator reads it from: each is good for one registration. */
  newInitialAccessToken(): Promise<void>;
  /** Notes of a client's events of this reason. */
  notes(name: string, reason: string): Promise<string[]>;
  stop(): Promise<void>;
}

const server = (
  name: string,
  issuer: string,
  spring: SpringAuthorizationServer,
  { clients, ...more }: Record<string, unknown>,
): KubernetesObject => ({
  apiVersion: 'certbound.dev/v1alpha1',
  kind: 'AuthorizationServer',
  metadata: { name },
  spec: {
    issuer: spring.issuer,
    caBundle: spring.caPem,
    connectTo: [{ host: SPRING_HOST, addresses: ['127.0.0.1'] }],
    defaultIssuerRef: { name: issuer },
    ...more,
    clients: {
      namespaces,
      issuers: [issuer],
      scopes: ['accounts:read'],
      identityTemplates: [{ dn: 'CN={name},O={namespace}' }],
      ...Object(clients),
    },
  },
});

const issuer = (name: string, spec: Record<string, unknown>): KubernetesObject => ({
  apiVersion: 'certbound.dev/v1alpha1',
  kind: 'ClientCertificateIssuer',
  metadata: { name },
  spec: { ...spec, policy: { namespaces } },
});

export function startSpringWorld(): Promise<SpringWorld> {
  return allOrNothing(started);
}

async function started(parts: AsyncDisposableStack): Promise<SpringWorld> {
  const installation = await startInstallation();
  parts.defer(() => installation.stop());
  const clientCa = await rootCa('CN=Spring Clients,O=Example');
  const { kube, serverCa } = installation;
  const spring = await startSpringAuthorizationServer({
    serverCa,
    clientCaPem: clientCa.certificatePem,
    accessTokenTTL: 5,
  });
  parts.defer(() => spring.stop());
  const tlsDirectory = await mkdtemp(join(tmpdir(), 'certbound-key-sets-'));
  parts.defer(() => rm(tlsDirectory, { recursive: true }));
  const pair = await serverCa.issue({ cn: 'key sets', ips: ['127.0.0.1'] });
  await writeFile(join(tlsDirectory, 'tls.crt'), pair.certPem);
  await writeFile(join(tlsDirectory, 'tls.key'), pair.keyPem);

  const newInitialAccessToken = async () => {
    await apply(kube, opaqueSecret(TOKEN_SECRET, { token: await spring.initialAccessToken() }));
  };
  await newInitialAccessToken();
  const dynamicRegistration = {
    initialAccessTokenSecretRef: { name: TOKEN_SECRET.name, key: 'token' },
    emptyLists: 'Omit',
  };
  const { selfSignedOrigin } = spring;
  await apply(
    kube,
    namespace('team', CLIENTS_ALLOWED),
    opaqueSecret(
      CA_SECRET,
      { 'tls.crt': clientCa.certificatePem, 'tls.key': clientCa.privateKeyPem },
      'kubernetes.io/tls',
    ),
    issuer('spring-clients', { ca: { secretRef: { name: CA_SECRET.name } } }),
    issuer('spring-self-signed', { selfSigned: {} }),
    server(SERVER, 'spring-clients', spring, {
      dynamicRegistration,
      propagation: '5s',
      clients: {
        methods: ['tls_client_auth'],
        grantTypes: ['client_credentials', 'authorization_code', 'refresh_token'],
        redirectURIs: [REDIRECT_URI],
      },
    }),
    server(SELF_SIGNED_SERVER, 'spring-self-signed', spring, {
      dynamicRegistration: { ...dynamicRegistration, clientKeys: 'jwks_uri', configurationMethods: [] },
      mtlsEndpoints: {
        tokenEndpoint: `${selfSignedOrigin}/oauth2/token`,
        introspectionEndpoint: `${selfSignedOrigin}/oauth2/introspect`,
        revocationEndpoint: `${selfSignedOrigin}/oauth2/revoke`,
        pushedAuthorizationRequestEndpoint: `${selfSignedOrigin}/oauth2/par`,
      },
      propagation: `${KEY_SET_CACHE_MS / 1000 + 10}s`,
      clients: { methods: ['self_signed_tls_client_auth'], grantTypes: ['client_credentials'] },
    }),
  );
  const jwksPort = await freePort();
  await installation.startOperator({
    CERTBOUND_JWKS_URL: `https://127.0.0.1:${jwksPort}`,
    CERTBOUND_JWKS_PORT: String(jwksPort),
    CERTBOUND_JWKS_TLS_DIRECTORY: tlsDirectory,
  });
  await serverReady(installation, SERVER);
  await serverReady(installation, SELF_SIGNED_SERVER);

  return {
    installation,
    spring,
    clientCa,
    newInitialAccessToken,
    client: (name, base = {}) =>
      new TestClient(installation, { namespace: 'team', name }, { authorizationServerRef: { name: SERVER }, ...base }),
    async notes(name, reason) {
      const { items } = await kube.list(events, { namespace: 'team' });
      return items
        .filter((event) => event['reason'] === reason && Object(event['regarding']).name === name)
        .map(({ note }) => String(note));
    },
    stop: () => parts.disposeAsync(),
  };
}

/** Registered with the initial access token that is in the Secret, and the next one put there. */
export async function registered(
  world: SpringWorld,
  client: TestClient,
  spec: Partial<OAuthClientSpec> = {},
): Promise<string> {
  await client.apply(spec);
  const { clientId } = await client.ready(GENEROUS_MS);
  assert.ok(clientId !== undefined);
  await world.newInitialAccessToken();
  return clientId;
}

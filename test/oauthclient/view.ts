import { FINALIZER, ROLE_LABEL, Role } from '../../src/api/annotations.ts';
import { authorizationServer, type AuthorizationServer } from '../../src/api/authorization-server.ts';
import { clientCertificateIssuer, type ClientCertificateIssuer } from '../../src/api/client-certificate-issuer.ts';
import { oauthClient, type AuthMethod, type OAuthClient, type OAuthClientSpec } from '../../src/api/oauth-client.ts';
import { claimName } from '../../src/authserver/claims.ts';
import { clientChecks } from '../../src/oauthclient/checks/chain.ts';
import { desired } from '../../src/oauthclient/desired.ts';
import { digestOf } from '../../src/oauthclient/digest.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import { certificateValues, contextValues, digests } from '../../src/oauthclient/published-secret.ts';
import {
  certificateIn,
  recordName,
  type CertificateState,
  type RecordProjection,
  type RecordState,
} from '../../src/oauthclient/record.ts';
import { renewalOf } from '../../src/oauthclient/schedule.ts';
import type { ClientFinding, ClientStep, ClientView } from '../../src/oauthclient/step.ts';
import { evaluate, type Plan } from '../../src/runtime/pass.ts';

export const now = Date.UTC(2026, 0, 15, 12);
export const hour = 3_600_000;
export const day = 24 * hour;
export const clusterId = 'test-1';
export const namespace = 'payments';
export const issuerUrl = 'https://as.example.com';

/** RFC 3339 in whole seconds, as records and status hold times. */
export const instant = (time: number) => new Date(time).toISOString().replace(/\.\d+Z$/, 'Z');

export function aClient(
  spec: Partial<OAuthClientSpec> = {},
  metadata: Partial<OAuthClient['metadata']> = {},
  status?: OAuthClient['status'],
): Observed['client'] {
  const client = oauthClient.parse({
    metadata: {
      name: 'batch',
      uid: 'uid-1',
      resourceVersion: '10',
      generation: 1,
      finalizers: [FINALIZER],
      ...metadata,
    },
    spec: { authorizationServerRef: { name: 'corporate' }, ...spec },
    status,
  });
  return { ...client, metadata: { ...client.metadata, namespace } };
}

export const isReady = (status: 'True' | 'False' | 'Unknown' = 'True', reason = 'Ready') => [
  { type: 'Ready', status, reason, message: 'It says so.', lastTransitionTime: instant(now - day) },
];

export function aServer(
  spec: Partial<AuthorizationServer['spec']> = {},
  status?: AuthorizationServer['status'],
): AuthorizationServer {
  return authorizationServer.parse({
    metadata: { name: 'corporate', uid: 'uid-server', resourceVersion: '20' },
    spec: {
      issuer: issuerUrl,
      dynamicRegistration: {},
      caBundle: 'the CA of the server',
      clients: grants,
      ...spec,
    },
    status: status ?? {
      endpoints: { tokenEndpoint: `${issuerUrl}/mtls/token` },
      capabilities: {
        authMethods: ['tls_client_auth', 'self_signed_tls_client_auth'],
        certificateBoundTokens: true,
      },
      conditions: isReady(),
    },
  });
}

export const grants: NonNullable<AuthorizationServer['spec']['clients']> = {
  namespaces: { names: [namespace] },
  issuers: ['corporate-clients', 'other-clients'],
  methods: ['tls_client_auth', 'self_signed_tls_client_auth'],
  grantTypes: ['client_credentials', 'authorization_code'],
  scopes: ['accounts:read'],
  redirectURIs: ['https://app.example.com/cb'],
  deletion: ['Delete', 'Orphan'],
};

export function anIssuer(
  method: AuthMethod = 'tls_client_auth',
  spec: Partial<ClientCertificateIssuer['spec']> = {},
  status: ClientCertificateIssuer['status'] = { conditions: isReady() },
): ClientCertificateIssuer {
  const kind = method === 'tls_client_auth' ? { ca: { managed: {} } } : { selfSigned: {} };
  return clientCertificateIssuer.parse({
    metadata: { name: 'corporate-clients', uid: 'uid-issuer', resourceVersion: '30' },
    spec: { ...kind, policy: { namespaces: { names: [namespace] } }, ...spec },
    status,
  });
}

/** A certificate of 30 days in the middle of its life; its thumbprint is its name. */
export function aCertificate(name: string, change: Partial<CertificateState> = {}): CertificateState {
  return {
    x5tS256: name,
    role: 'Published',
    reason: 'Issuing',
    issuer: 'corporate-clients',
    caSha256: 'ca',
    serialNumber: '01',
    subject: `CN=${namespace}.batch,OU=${clusterId}`,
    notBefore: instant(now - 15 * day),
    notAfter: instant(now + 15 * day),
    stagedAt: instant(now - 15 * day),
    requested: { durationMs: 30 * day, algorithm: 'ECDSA', size: 256 },
    digests: digests(certificateValues({ privateKeyPem: name, chainPem: name, clientCaPem: 'ca', x5tS256: name })),
    ...change,
  };
}

/** When the one of `aCertificate` is renewed: 10 days before its end, less up to one for the spread. */
export const renewal = () => renewalOf(aCertificate('old'), viewOf(settled()).desired);

/** The same with its life moved, to the millisecond, so that it is renewed at `time`. */
export function renewedAt(time: number, name = 'old'): CertificateState {
  const moved = (date: number) => new Date(date + time - renewal()).toISOString();
  return aCertificate(name, { stagedAt: moved(now - 15 * day), notAfter: moved(now + 15 * day) });
}

export const selfSigned = (name: string, change: Partial<CertificateState> = {}) =>
  aCertificate(name, { jwk: { kty: 'EC', kid: name, 'x5t#S256': name }, ...change });

export const aNext = (change: Partial<CertificateState> = {}) =>
  aCertificate('next', { role: 'Next', stagedAt: instant(now), notAfter: instant(now + 30 * day), ...change });

export function projected(state: RecordState | undefined): RecordProjection {
  return {
    name: recordName(namespace, 'batch'),
    uid: 'uid-record',
    resourceVersion: '40',
    digest: digestOf(state ?? ''),
    owner: `${namespace}/batch`,
    state,
  };
}

/** Nothing was done for it yet. */
export function untouched(method: AuthMethod = 'tls_client_auth', spec: Partial<OAuthClientSpec> = {}): Observed {
  return {
    client: aClient({ tokenEndpointAuthMethod: method, ...spec }, { finalizers: [] }),
    clusterId,
    jwksUrl: undefined,
    namespace: { name: namespace, labels: {}, terminating: false },
    server: aServer({ defaultIssuerRef: { name: 'corporate-clients' } }),
    issuer: anIssuer(method),
    record: undefined,
    published: undefined,
    rewritten: undefined,
    secretRival: undefined,
    claim: undefined,
    clientIdClaim: undefined,
    announced: undefined,
    distribution: { state: 'distributed', lagging: [] },
    unsentIntent: undefined,
    answeredIntent: undefined,
    acceptedAt: undefined,
    reproof: { due: now + 90 * day, refusals: 0, message: '' },
    comparison: { due: now + 90 * day },
    credentials: '',
    readsRotate: false,
    definitionTerminating: false,
  };
}

/** Registered, proved and published: no check finds anything. */
export function settled(method: AuthMethod = 'tls_client_auth', spec: Partial<OAuthClientSpec> = {}): Observed {
  const base = { ...untouched(method, spec), client: aClient({ tokenEndpointAuthMethod: method, ...spec }) };
  const { identity } = desired(base, now);
  if (!identity.ok) throw new TypeError(identity.message);
  const { parameter, value, canonical } = identity;
  const state: RecordState = {
    version: 1,
    clusterId,
    owner: { namespace, name: 'batch', uid: 'uid-1' },
    server: { name: 'corporate', issuer: issuerUrl },
    method,
    identity: { parameter, value, canonical },
    certificates: [method === 'tls_client_auth' ? aCertificate('old') : selfSigned('old')],
    suspectedOrphans: [],
    context: {
      clientId: 'client-1',
      issuer: issuerUrl,
      tokenEndpoint: `${issuerUrl}/mtls/token`,
      serverCaPem: 'the CA of the server',
    },
  };
  const claim = {
    name: claimName(issuerUrl, identity),
    resourceVersion: '50',
    holder: `${namespace}/batch`,
    holderUid: 'uid-1',
    expires: undefined,
  };
  return upToDate({ ...base, claim, record: projected(state) });
}

/** Registered as desired, and the Secret says what the record says. */
export function upToDate(observed: Observed): Observed {
  const state = observed.record?.state;
  if (state === undefined) return observed;
  const metadata = desired(observed, now).metadata ?? {};
  const registration = {
    clientId: 'client-1',
    accepted: metadata,
    askedDigest: digestOf(metadata),
    updatedAt: instant(now - 15 * day),
  };
  const certificate = certificateIn(state, 'Published');
  return {
    ...observed,
    record: projected({ ...state, registration }),
    published:
      certificate === undefined || state.context === undefined
        ? undefined
        : {
            namespace,
            name: 'batch-oauth',
            uid: 'uid-secret',
            resourceVersion: '60',
            type: 'kubernetes.io/tls',
            immutable: false,
            labels: { [ROLE_LABEL]: Role.published },
            ownerUid: 'uid-1',
            controllerUid: 'uid-1',
            lastWriter: undefined,
            digests: { ...certificate.digests, ...digests(contextValues(state.context)) },
          },
  };
}

/** The same world with something changed in the record. */
export function recorded(observed: Observed, change: Partial<RecordState>): Observed {
  const state = observed.record?.state;
  if (state === undefined) throw new TypeError('there is no record');
  return { ...observed, record: projected({ ...state, ...change }) };
}

export const without = (observed: Observed, ...members: (keyof RecordState)[]): Observed => {
  const state = observed.record?.state;
  if (state === undefined) throw new TypeError('there is no record');
  const kept: RecordState = { ...state };
  for (const member of members) Reflect.deleteProperty(kept, member);
  return { ...observed, record: projected(kept) };
};

export const viewOf = (observed: Observed, at = now): ClientView => ({
  observed,
  desired: desired(observed, at),
  now: at,
});

export const planOf = (observed: Observed, at = now): Plan<ClientStep> => evaluate(clientChecks, viewOf(observed, at));

export const findingsOf = (observed: Observed, at = now): ClientFinding[] => planOf(observed, at).findings;

/** A check's finding in one line: `Condition=status/Reason`, and the step that puts it right. */
export function brief({ condition, status, reason, step, blocks }: ClientFinding): string {
  const then = step === undefined ? (blocks === true ? ' blocks' : '') : ` → ${step.name}`;
  return `${condition}=${status}/${reason}${then}`;
}

/** A row of a table: what is different, and what is found then, in order. */
export type Row = [name: string, observed: () => Observed, found: readonly string[], at?: number];

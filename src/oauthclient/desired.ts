import type { JWK } from 'jose';
import { COMPROMISED, RENEW_REQUESTED } from '../api/annotations.ts';
import type { Subject } from '../api/fields.ts';
import { durationMs } from '../api/duration.ts';
import { propagationMs } from '../api/intervals.ts';
import { DEFAULT_DURATION, type AuthMethod, type OAuthClientSpec } from '../api/oauth-client.ts';
import { adoptionOf, type Adoption } from '../authserver/registration/client-ids.ts';
import { capabilitiesOf } from '../authserver/capabilities.ts';
import {
  clientMetadata,
  defaultClientId,
  type DesiredExtensions,
  keysByReference,
  ownershipMarker,
  platformMetadata,
} from '../authserver/registration/client-metadata.ts';
import type { ClientMetadata } from '../authserver/driver.ts';
import { serverTrust } from '../authserver/connection/server-trust.ts';
import {
  asRegistered,
  effectiveIdentity,
  generationOf,
  type Identity,
  requestedSubject,
} from '../authserver/identity.ts';
import { keySetUri as uriOf } from './key-set.ts';
import type { Observed } from './observed.ts';
import type { PublishedContext } from './published-secret.ts';
import { certificateIn, type CertificateState, type RecordState } from './record.ts';
import { retired, type Schedule } from './schedule.ts';

export interface CertificateParameters {
  durationMs: number;
  renewBeforeMs: number;
  algorithm: 'ECDSA' | 'RSA';
  size: number;
  drainMs: number | undefined;
}

/** The effective request: the spec with every default computed (no schema default depends on another field). */
export interface Desired extends Schedule {
  method: AuthMethod;
  secretName: string;
  /** PKCS#12 beside the PEM files. */
  keystores: boolean;
  issuerName: string | undefined;
  identity: ({ ok: true } & Identity) | { ok: false; message: string };
  certificate: CertificateParameters;
  grantTypes: string[];
  responseTypes: string[];
  redirectURIs: string[];
  scope: string | undefined;
  /** Access tokens that are bound to the certificate (RFC 8705 §3.4). */
  boundTokens: boolean;
  /** `jwks_uri`, where the server reads the client's keys from us. */
  keySetUri: string | undefined;
  /** What is to be registered (RFC 7591 §2); undefined while the identity is not granted. */
  metadata: ClientMetadata | undefined;
  /** What the published Secret says besides the certificate; undefined before the registration. */
  context: PublishedContext | undefined;
  deletionPolicy: 'Delete' | 'Orphan';
  /** What may be done with a client that has the id already. */
  adoption: Adoption;
  /** A renewal was asked for that has not been handled. */
  renewRequested: string | undefined;
  /** Thumbprints of certificates that are reported compromised. */
  compromised: readonly string[];
}

export function secretNameOf(client: { metadata: { name: string }; spec: Observed['client']['spec'] }): string {
  return client.spec.secret?.name ?? `${client.metadata.name}-oauth`;
}

export function issuerNameOf(client: Pick<Observed['client'], 'spec'>, server: Observed['server']): string | undefined {
  return client.spec.certificate?.issuerRef?.name ?? server?.spec.defaultIssuerRef?.name;
}

export function desired(observed: Observed, now: number): Desired {
  const { client, server, record } = observed;
  const { spec } = client;
  const grantTypes = spec.grantTypes ?? ['client_credentials'];
  const request = {
    method: spec.tokenEndpointAuthMethod ?? 'tls_client_auth',
    grantTypes,
    responseTypes: spec.responseTypes ?? responseTypesOf(grantTypes),
    redirectURIs: spec.redirectURIs ?? [],
    scope: spec.scope ?? grantedScope(server),
    boundTokens: spec.tlsClientCertificateBoundAccessTokens ?? true,
  };
  const identity = identityOf(observed);
  const keySetUri = request.method === 'tls_client_auth' ? undefined : keySetUriOf(observed);
  const { namespace, name } = client.metadata;
  const schedule = {
    certificate: certificateParameters(spec.certificate ?? {}),
    propagationMs: propagationMs(server),
    longestTokenLifetimeMs: longestTokenLifetimeMs(observed),
    renewalSeed: `${observed.clusterId}/${namespace}/${name}`,
  };
  return {
    ...request,
    ...schedule,
    secretName: secretNameOf(client),
    keystores: spec.secret?.pkcs12 !== undefined,
    issuerName: issuerNameOf(client, server),
    identity,
    keySetUri,
    metadata: identity.ok
      ? clientMetadata({
          ...request,
          identity,
          keys: liveKeys(record?.state?.certificates ?? [], schedule, now),
          keySetUri,
          clientName: spec.clientName,
          marker: ownershipMarker(observed.clusterId, namespace, name),
          extensions: extensionsOf(observed, schedule, now),
          emptyLists: sendsEmptyLists(server),
          platform: platformMetadata(server),
        })
      : undefined,
    context: contextOf(observed),
    deletionPolicy: spec.deletionPolicy ?? 'Delete',
    adoption: adoptionIn(observed),
    renewRequested: renewRequest(observed),
    compromised: compromisedOf(client),
  };
}

function sendsEmptyLists(server: Observed['server']): boolean {
  return server?.spec.dynamicRegistration?.emptyLists !== 'Omit';
}

/** RFC 7591 §2.1: a grant type and its response type go together. */
function responseTypesOf(grantTypes: readonly string[]): string[] {
  return grantTypes.includes('authorization_code') ? ['code'] : [];
}

function adoptionIn({ client: { metadata, spec }, server, clusterId }: Observed): Adoption {
  const { namespace, name } = metadata;
  return adoptionOf(server?.spec.clients, { spec, namespace, name, clusterId });
}

function certificateParameters(spec: NonNullable<OAuthClientSpec['certificate']>): CertificateParameters {
  const life = durationMs(spec.duration ?? DEFAULT_DURATION);
  const algorithm = spec.privateKey?.algorithm ?? 'ECDSA';
  return {
    durationMs: life,
    renewBeforeMs: spec.renewBefore === undefined ? life / 3 : durationMs(spec.renewBefore),
    algorithm,
    size: spec.privateKey?.size ?? (algorithm === 'RSA' ? 2048 : 256),
    drainMs: spec.drain === undefined ? undefined : durationMs(spec.drain),
  };
}

/** Thumbprints, by commas or spaces. */
function compromisedOf({ metadata }: Observed['client']): string[] {
  return (metadata.annotations[COMPROMISED] ?? '').split(/[\s,]+/).filter((each) => each !== '');
}

/** The longest that was seen, and what the platform says. */
function longestTokenLifetimeMs({ server, record }: Observed): number {
  const configured = server?.spec.accessTokenLifetime;
  const seenMs = (record?.state?.longestTokenLifetimeSeconds ?? 0) * 1000;
  return Math.max(seenMs, configured === undefined ? 0 : durationMs(configured));
}

/** What was registered stays, letter for letter, also when the platform writes another template first: a subject can't change (RFC 8705). */
export function identityOf(observed: Observed): Desired['identity'] {
  const { client, server, clusterId, record } = observed;
  const { namespace, name } = client.metadata;
  const { parameter, value } = firstIdentity(record) ?? {};
  const generation = record?.state?.identityGeneration ?? 0;
  const templates = server?.spec.clients?.identityTemplates;
  const basis = [clusterId, namespace, name, parameter, value, generation].join('\n');
  const known = identities.get(client.spec);
  if (known !== undefined && known.basis === basis && known.templates === templates) return known.identity;
  const identity = identityOfGeneration(observed, generation);
  identities.set(client.spec, { basis, templates, identity });
  return identity;
}

/** Another one each time that a certificate of the one before was compromised. */
export function identityOfGeneration(
  { client, server, clusterId, record }: Observed,
  generation: number,
): Desired['identity'] {
  const { namespace, name } = client.metadata;
  const registered = firstIdentity(record);
  const requested = client.spec.certificate?.subject ?? (registered && requestedSubject(registered));
  const result = effectiveIdentity(server?.spec.clients?.identityTemplates, requested, { namespace, name, clusterId });
  if (!('identity' in result)) return { ok: false, message: result.violation.message };
  const identity = registered === undefined ? result.identity : asRegistered(result.identity, registered);
  return { ok: true, ...generationOf(identity, generation) };
}

function firstIdentity(record: Observed['record']): RecordState['identity'] | undefined {
  return record?.state?.firstIdentity ?? record?.state?.identity;
}

/** Every pass asks several times, and to parse names costs more than the rest of `desired`. */
const identities = new WeakMap<
  OAuthClientSpec,
  { basis: string; templates: readonly Subject[] | undefined; identity: Desired['identity'] }
>();

/**
 * Every certificate that is or will be used, and those that still drain (RFC 8705 §2.2: the new before, the old after). One
 * that is compromised goes as its successor comes: that is its revocation.
 */
function liveKeys(certificates: readonly CertificateState[], schedule: Schedule, now: number): JWK[] {
  const live = certificates.filter((c) => c.compromised !== true && !retired(c, schedule, now));
  return live.flatMap((c) => (c.jwk === undefined ? [] : [c.jwk]));
}

/** Of servers whose clients we name. */
function extensionsOf(observed: Observed, schedule: Schedule, now: number): DesiredExtensions | undefined {
  const { client, server, clusterId, record } = observed;
  if (server === undefined || capabilitiesOf(server)?.keepsExtensions !== true) return undefined;
  const { namespace, name } = client.metadata;
  const live = (record?.state?.certificates ?? []).filter((c) => !retired(c, schedule, now));
  const [caSubject, ...others] = new Set(live.map((c) => c.caSubject));
  return {
    clientId:
      record?.state?.registration?.clientId ?? client.spec.clientId ?? defaultClientId(clusterId, namespace, name),
    ownerUid: client.metadata.uid,
    // The server compares one name with all certificates: between two CAs it must not compare any, or one of them is refused.
    caSubject: others.length > 0 || staysUnpinned(server, record?.state) ? undefined : caSubject,
  };
}

/**
 * What was left out between two CAs stays out. Keycloak 26.7 looks for a CA that it is to compare among those that it read at its
 * start, though its TLS reads them anew, and nobody can see whether it was started since: what is published would be refused.
 */
function staysUnpinned(server: NonNullable<Observed['server']>, state: RecordState | undefined): boolean {
  return server.spec.keycloak?.caSubject !== 'Always' && isUnpinned(state);
}

/** It is in use, and the server compares no CA with its certificate's. */
export function isUnpinned(state: RecordState | undefined): boolean {
  const accepted = state?.registration?.accepted;
  if (accepted === undefined || certificateIn(state, 'Published') === undefined) return false;
  return accepted['tls_client_auth_ca_subject_dn'] === undefined;
}

/** Nothing is registered before there is a record. */
function keySetUriOf({ server, jwksUrl, record, client: { metadata } }: Observed): string | undefined {
  if (jwksUrl === undefined || !keysByReference(server)) return undefined;
  return uriOf(jwksUrl, record?.state ?? { owner: metadata });
}

function contextOf({ server, record }: Observed): PublishedContext | undefined {
  const endpoints = server?.status?.endpoints;
  const state = record?.state;
  const registration = state?.registration;
  if (server === undefined || endpoints === undefined || registration === undefined) return undefined;
  // Made anew for another issuer: it doesn't know this client, and the published Secret stays as it is.
  if (state?.server.issuer !== server.spec.issuer) return undefined;
  const trust = serverTrust(server);
  if (!trust.known) return undefined;
  return {
    clientId: registration.clientId,
    issuer: server.spec.issuer,
    tokenEndpoint: endpoints.tokenEndpoint,
    ...(trust.pem === undefined ? {} : { serverCaPem: trust.pem }),
  };
}

/** RFC 7591 lets a server give a client that names no scope whatever it likes: so every client names what it may have. */
function grantedScope(server: Observed['server']): string | undefined {
  const scopes = server?.spec.clients?.scopes ?? [];
  return scopes.length === 0 ? undefined : scopes.join(' ');
}

/** Where the record is gone, or an older copy of it, status remembers: an annotation of long ago asks for nothing. */
function renewRequest({ client, record }: Observed): string | undefined {
  const value = client.metadata.annotations[RENEW_REQUESTED];
  const handled = [record?.state?.lastHandledRenew, client.status?.lastHandledRenew];
  const shown = value?.slice(0, longestRenewRequest);
  return handled.some((one) => one?.slice(0, longestRenewRequest) === shown) ? undefined : value;
}

/** Of an annotation's value, what status has room for. */
export const longestRenewRequest = 1024;

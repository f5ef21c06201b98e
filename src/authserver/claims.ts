import { createHash } from 'node:crypto';
import { z } from 'zod';
import { Role, ROLE_LABEL } from '../api/annotations.ts';
import { OperatorError } from '../errors.ts';
import { type KubeClient, KubeError } from '../kube/client.ts';
import { configMaps, type KubernetesObject } from '../kube/resource.ts';
import { type Identity, subjectParameters } from './identity.ts';

/** Who holds an identity at a server. It may outlive its client: a certificate that names it may still be valid. */
export interface Claim {
  /** Of the ConfigMap. */
  name: string;
  resourceVersion: string;
  /** `namespace/name` of the OAuthClient; empty where the object was damaged. */
  holder: string;
  holderUid: string;
  /** Epoch milliseconds; set when its holder released it. */
  expires: number | undefined;
  /** Others may have a key that is certified for it: until it expires, a client that is made anew does not get it either. */
  compromised?: boolean;
  /** Id of the intent that it was made with: its holder was about to be registered, and had no record yet (ADR 16). */
  intent?: string;
}
export interface ClaimHolder {
  namespace: string;
  name: string;
  uid: string;
}
/** An identity (RFC 8705 §2.1.2), or a client_id. */
export interface ClaimedName extends Pick<Identity, 'value' | 'canonical'> {
  parameter: Identity['parameter'] | 'client_id';
}

export function claimedClientId(clientId: string): ClaimedName {
  return { parameter: 'client_id', value: clientId, canonical: clientId };
}

export interface ClaimRequest {
  operatorNamespace: string;
  /** Issuer URL of the server. */
  issuer: string;
  identity: ClaimedName;
  holder: ClaimHolder;
}
/** `free`: nobody's, expired, our predecessor's of the same name, or released by ourselves: acquire it. */
export type ClaimState = { state: 'held' } | { state: 'free' } | { state: 'taken'; until: number | undefined };

type ClaimClient = Pick<KubeClient, 'get' | 'create' | 'update'>;

export function claimName(issuer: string, identity: Pick<ClaimedName, 'parameter' | 'canonical'>): string {
  const claimed = `${issuer}|${identity.parameter}|${identity.canonical}`;
  return `certbound-claim-${createHash('sha256').update(claimed).digest('hex').slice(0, 40)}`;
}

const data = z.object({
  holder: z.string().min(3),
  holderUid: z.string().min(1),
  expires: z.iso.datetime().optional(),
  compromised: z.literal('true').optional(),
  intent: z.string().min(1).optional(),
});
const claimObject = z.object({
  metadata: z.object({
    name: z.string(),
    resourceVersion: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
  }),
  data: z.unknown(),
});

/** For an informer on ConfigMaps with the label certbound.dev/role=claim; undefined for other objects. */
export function projectClaim(object: KubernetesObject): Claim | undefined {
  const parsed = claimObject.safeParse(object);
  if (!parsed.success || parsed.data.metadata.labels[ROLE_LABEL] !== Role.claim) return undefined;
  return claimOf(parsed.data);
}

/** A claim that cannot be read is somebody's: it is never taken over. */
function claimOf({ metadata, data: written }: z.infer<typeof claimObject>): Claim {
  const { name, resourceVersion } = metadata;
  const read = data.safeParse(written);
  if (!read.success) return { name, resourceVersion, holder: '', holderUid: '', expires: undefined };
  const { holder, holderUid, expires, compromised, intent } = read.data;
  // What can't be read whole announces nothing.
  const announces = intent !== undefined && announced.safeParse(written).success;
  return {
    name,
    resourceVersion,
    holder,
    holderUid,
    expires: expires === undefined ? undefined : Date.parse(expires),
    ...(compromised === undefined ? {} : { compromised: true }),
    ...(announces ? { intent } : {}),
  };
}

/** Pure; `now` and `until` in epoch milliseconds. */
export function claimState(claim: Claim | undefined, holder: ClaimHolder, now: number): ClaimState {
  if (claim === undefined) return { state: 'free' };
  const { expires } = claim;
  if (claim.holderUid === holder.uid && claim.holder === nameOf(holder)) {
    return { state: expires === undefined ? 'held' : 'free' };
  }
  if (expires !== undefined && expires <= now) return { state: 'free' };
  // Deleted and created anew under the same name: the same team's.
  if (claim.holder === nameOf(holder) && claim.compromised !== true) return { state: 'free' };
  return { state: 'taken', until: expires };
}

/** As a claim names it. */
export function nameOf({ namespace, name }: Pick<ClaimHolder, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`;
}

/**
 * Holds the identity for the holder. The API server decides who is first: POST for a new claim, `resourceVersion` for one
 * that is taken over.
 *
 * @returns the claim's ConfigMap as it is stored
 * @throws {OperatorError} `IdentityTaken` or `ClientIdTaken` when somebody else holds it; KubeErrors, `Conflict` after a lost race
 */
export async function acquireClaim(
  client: ClaimClient,
  request: ClaimRequest,
  now: number,
  signal: AbortSignal,
): Promise<KubernetesObject> {
  const { operatorNamespace: namespace, identity, holder } = request;
  const claim = claimOn(request);
  const { name } = claim.metadata;
  const created = await createUnlessThere(client, claim, signal);
  if (created !== undefined) return created;
  const existing = await client.get(configMaps, { namespace, name }, { signal });
  if (existing === undefined) {
    throw new OperatorError('ChangedMeanwhile', `The claim ${name} went away while it was looked at. It is retried.`);
  }
  const state = stateOf(existing, holder, now);
  if (state.state === 'held') return existing;
  if (state.state === 'taken') throw identity.parameter === 'client_id' ? clientIdTaken() : identityTaken(state.until);
  return client.update(
    configMaps,
    { ...claim, metadata: { ...claim.metadata, resourceVersion: existing.metadata.resourceVersion ?? '' } },
    { signal },
  );
}

/**
 * A claim that nobody has made yet, and the intent to register its holder, in one write: whoever finds it without a record
 * knows that the call may have been made.
 *
 * @returns the claim's ConfigMap as it is stored, which may be another's, or an earlier one with another intent
 * @throws KubeErrors
 */
export async function announceClaim(
  client: ClaimClient,
  request: ClaimRequest,
  intent: string,
  signal: AbortSignal,
): Promise<KubernetesObject | undefined> {
  const claim = claimOn(request, { intent, canonical: request.identity.canonical });
  return (await createUnlessThere(client, claim, signal)) ?? client.get(configMaps, claim.metadata, { signal });
}

/** What was announced, as far as it can be read. */
export function announcedIn(object: KubernetesObject): Announced | undefined {
  return announced.safeParse(object['data']).data;
}

const announced = z.object({
  issuer: z.string(),
  parameter: z.enum(subjectParameters),
  value: z.string(),
  canonical: z.string(),
  intent: z.string(),
});
export type Announced = z.infer<typeof announced>;

function claimOn(
  { operatorNamespace: namespace, issuer, identity, holder }: ClaimRequest,
  besides: Record<string, string> = {},
): KubernetesObject {
  return {
    metadata: { name: claimName(issuer, identity), namespace, labels: { [ROLE_LABEL]: Role.claim } },
    data: {
      issuer,
      parameter: identity.parameter,
      value: identity.value,
      holder: nameOf(holder),
      holderUid: holder.uid,
      ...besides,
    },
  };
}

async function createUnlessThere(
  client: ClaimClient,
  claim: KubernetesObject,
  signal: AbortSignal,
): Promise<KubernetesObject | undefined> {
  try {
    return await client.create(configMaps, claim, { signal });
  } catch (error) {
    if (error instanceof KubeError && error.reason === 'AlreadyExists') return undefined;
    throw error;
  }
}

function stateOf(object: KubernetesObject, holder: ClaimHolder, now: number): ClaimState {
  const parsed = claimObject.safeParse(object);
  return parsed.success ? claimState(claimOf(parsed.data), holder, now) : { state: 'taken', until: undefined };
}

export const CLIENT_ID_TAKEN = 'ClientIdTaken';

/** The loser is told that, not who. */
export const clientIdTakenMessage =
  'Another client has this clientId at the authorization server: create the OAuthClient with another one, or ask the platform team.';

function clientIdTaken(): OperatorError {
  return new OperatorError(CLIENT_ID_TAKEN, clientIdTakenMessage, { retry: { class: 'after', milliseconds: 60_000 } });
}

/** Nor here. */
function identityTaken(until: number | undefined): OperatorError {
  return new OperatorError(
    'IdentityTaken',
    'Another client holds this identity at the authorization server, or a certificate that names it is still valid: choose ' +
      'another subject, or ask the platform team.',
    { retry: { class: 'after', milliseconds: until === undefined ? 60_000 : 300_000 } },
  );
}

/**
 * It stays the holder's until `until` (epoch milliseconds: the last certificate's notAfter), then it is anybody's; where a
 * certificate was compromised it is nobody else's until then, not even his who takes the holder's name. Nothing is done for a claim that is gone or somebody else's.
 *
 * @returns the claim's ConfigMap where it was written
 * @throws KubeErrors, `Conflict` after a lost race
 */
export async function releaseClaim(
  client: ClaimClient,
  request: ClaimRequest,
  { until, compromised }: { until: number; compromised: boolean },
  signal: AbortSignal,
): Promise<KubernetesObject | undefined> {
  const { operatorNamespace: namespace, issuer, identity, holder } = request;
  const ref = { namespace, name: claimName(issuer, identity) };
  const existing = await client.get(configMaps, ref, { signal });
  const parsed = claimObject.safeParse(existing);
  if (existing === undefined || !parsed.success) return undefined;
  const claim = claimOf(parsed.data);
  const expires = new Date(until).toISOString();
  if (claim.holderUid !== holder.uid || claim.holder !== nameOf(holder) || claim.expires === Date.parse(expires))
    return;
  const written = z.record(z.string(), z.string()).parse(existing['data']);
  return client.update(
    configMaps,
    { ...existing, data: { ...written, expires, ...(compromised ? { compromised: 'true' } : {}) } },
    { signal },
  );
}

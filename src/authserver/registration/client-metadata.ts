import { createHash } from 'node:crypto';
import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import type { JWK } from 'jose';
import { z } from 'zod';
import type { AuthorizationServer } from '../../api/authorization-server.ts';
import type { AuthMethod } from '../../api/oauth-client.ts';
import { OperatorError } from '../../errors.ts';
import { canonicalDn, type Dn, parseDn, sameDn } from '../../x509/dn.ts';
import { canonicalIpAddress } from '../../x509/subject-name.ts';
import type { ClientMetadata } from '../driver.ts';
import { scopeValues } from '../grants.ts';
import { type Identity, subjectParameters } from '../identity.ts';
import { quotable } from '../connection/server-text.ts';

export interface DesiredClient {
  method: AuthMethod;
  /** Registered for `tls_client_auth`. */
  identity: Identity;
  /** Registered for `self_signed_tls_client_auth`: the JWK of every live certificate. */
  keys: readonly JWK[];
  /** Where the server reads them instead. */
  keySetUri: string | undefined;
  clientName: string | undefined;
  /** `ownershipMarker()` */
  marker: string;
  grantTypes: readonly string[];
  responseTypes: readonly string[];
  redirectURIs: readonly string[];
  scope: string | undefined;
  /** Whether lists without an entry are written out. Default true. */
  emptyLists?: boolean | undefined;
  /** What the platform has every client registered with besides; none of the members above. */
  platform?: ClientMetadata | undefined;
  /** RFC 8705 §3.4. Default true. */
  boundTokens?: boolean;
  /** For servers that keep them; undefined for others. */
  extensions?: DesiredExtensions | undefined;
}
/** Beyond the RFCs. */
export interface DesiredExtensions {
  clientId: string;
  /** Of the OAuthClient: another cluster that calls itself the same has another one. */
  ownerUid: string;
  /** Subject of the CA that all live certificates come from, as RFC 4514 writes it; undefined where they come from several. */
  caSubject: string | undefined;
}
export interface EchoViolation {
  member: string;
  asked: unknown;
  answered: unknown;
}

/** Members that are ours alone: what we don't ask for is cleared. */
const owned = [
  'token_endpoint_auth_method',
  ...subjectParameters,
  'jwks',
  'jwks_uri',
  'tls_client_certificate_bound_access_tokens',
  'grant_types',
  'response_types',
  'redirect_uris',
  'scope',
  'client_name',
  'certbound_owner',
  'certbound_owner_uid',
  'tls_client_auth_ca_subject_dn',
] as const;

const ours = new Set<string>([...owned, 'client_id']);

/** RFC 7592 §2.2: not in an update. `client_secret` may be, but a client with a certificate has no use for one. */
const forbidden = [
  'registration_access_token',
  'registration_client_uri',
  'client_secret_expires_at',
  'client_id_issued_at',
  'client_secret',
];

/** Whether a server is to read clients' keys from us (`jwks_uri`). */
export function keysByReference(server: Pick<AuthorizationServer, 'spec'> | undefined): boolean {
  return server?.spec.dynamicRegistration?.clientKeys === 'jwks_uri';
}

/** RFC 7591 §2: what the platform has every client of a server registered with. */
export function platformMetadata(server: Pick<AuthorizationServer, 'spec'> | undefined): ClientMetadata {
  const members = server?.spec.dynamicRegistration?.metadata ?? [];
  return Object.fromEntries(members.map(({ name, value, values, flag }) => [name, value ?? values ?? flag]));
}

/** `clusterId/namespace/name`: who a registration belongs to; part of client_name. */
export function ownershipMarker(clusterId: string, namespace: string, name: string): string {
  return `${clusterId}/${namespace}/${name}`;
}

/** Keycloak keeps up to 255 characters, and makes a user name of it with a prefix. */
const longestClientId = 200;

/**
 * The client_id where it is ours to choose and nobody chose: the same after a restart or a rebuild, so that a client whose
 * creation was not answered is found by it; with the cluster in it, so that two clusters at one server do not meet. It
 * decides nothing: whose a client is says its owner alone.
 */
export function defaultClientId(clusterId: string, namespace: string, name: string): string {
  const whole = `${clusterId}.${namespace}.${name}`;
  if (whole.length <= longestClientId) return whole;
  const hash = createHash('sha256')
    .update(ownershipMarker(clusterId, namespace, name))
    .digest('hex');
  return `${whole.slice(0, longestClientId - 17)}-${hash.slice(0, 16)}`;
}

/**
 * RFC 7591 §2, RFC 8705 §2.1.2, §2.2.2, §3.4. Empty lists are written out where a server takes them: their defaults are
 * `authorization_code` and `code`.
 */
export function clientMetadata(desired: DesiredClient): ClientMetadata {
  const {
    method,
    identity,
    keys,
    keySetUri,
    clientName,
    marker,
    scope,
    emptyLists = true,
    boundTokens = true,
  } = desired;
  const list = (member: string, values: readonly string[]) =>
    values.length > 0 || emptyLists ? { [member]: [...values] } : {};
  const registeredKeys = keySetUri === undefined ? { jwks: { keys: [...keys] } } : { jwks_uri: keySetUri };
  return {
    ...desired.platform,
    client_name: clientName === undefined ? marker : `${clientName} [${marker}]`,
    token_endpoint_auth_method: method,
    ...(method === 'tls_client_auth' ? { [identity.parameter]: identity.value } : registeredKeys),
    tls_client_certificate_bound_access_tokens: boundTokens,
    grant_types: [...desired.grantTypes],
    ...list('response_types', desired.responseTypes),
    ...list('redirect_uris', desired.redirectURIs),
    ...(scope === undefined ? {} : { scope }),
    ...extensionMembers(desired),
  };
}

/** RFC 7591 §2 lets servers define further members. */
function extensionMembers({ method, extensions, marker }: DesiredClient): ClientMetadata {
  if (extensions === undefined) return {};
  const { clientId, ownerUid, caSubject } = extensions;
  return {
    client_id: clientId,
    certbound_owner: marker,
    certbound_owner_uid: ownerUid,
    ...(method !== 'tls_client_auth' || caSubject === undefined ? {} : { tls_client_auth_ca_subject_dn: caSubject }),
  };
}

const key = z.looseObject({
  kid: z.string().optional().catch(undefined),
  'x5t#S256': z.string().optional().catch(undefined),
  x5c: z.array(z.string()).optional().catch(undefined),
});
const keySet = z.looseObject({ keys: z.array(key) });
const strings = z.array(z.string());

/** One name for a certificate, from whichever member a server keeps: x5c may come back without padding or with the chain. */
function certificatesOf(value: unknown): string[] | undefined {
  const parsed = keySet.safeParse(value);
  if (!parsed.success) return undefined;
  return parsed.data.keys.map((jwk) => jwk.x5c?.[0] ?? jwk['x5t#S256'] ?? jwk.kid ?? '');
}

function sameKeys(asked: unknown, answered: unknown): boolean {
  const [wanted, found] = [keySet.safeParse(asked), keySet.safeParse(answered)];
  if (!wanted.success || !found.success || wanted.data.keys.length !== found.data.keys.length) return false;
  return wanted.data.keys.every((one) => found.data.keys.some((other) => sameKey(one, other)));
}

/** The certificate decides where it was kept; then its thumbprint; the `kid` only where a server keeps nothing else. */
function sameKey(asked: z.infer<typeof key>, answered: z.infer<typeof key>): boolean {
  const [mine, theirs] = [asked.x5c?.[0], answered.x5c?.[0]];
  if (mine !== undefined && theirs !== undefined) return mine === theirs;
  const [myPrint, theirPrint] = [asked['x5t#S256'], answered['x5t#S256']];
  if (myPrint !== undefined && theirPrint !== undefined) return myPrint === theirPrint;
  return asked.kid !== undefined && asked.kid === answered.kid;
}

function sameSet(asked: readonly string[], answered: readonly string[]): boolean {
  const [a, b] = [new Set(asked), new Set(answered)];
  return a.size === b.size && [...a].every((value) => b.has(value));
}

function sameDnText(asked: string, answered: string): boolean {
  return parsedAlike(asked, answered, (one, other) => canonicalDn(one) === canonicalDn(other));
}

/** What is no name is none of ours. */
function parsedAlike(asked: string, answered: string, same: (one: Dn, other: Dn) => boolean): boolean {
  try {
    return same(parseDn(asked), parseDn(answered));
  } catch (error) {
    if (error instanceof OperatorError) return false;
    throw error;
  }
}

/** In another case, or with other spaces: how it is written as a string does not count. */
function isRespelt(before: unknown, found: unknown): boolean {
  if (typeof before !== 'string' || typeof found !== 'string' || before === found) return false;
  return !parsedAlike(before, found, sameDn);
}

/** An absent list is empty. For what we asked to be empty the RFC's default is not assumed: the server wrote nothing. */
function sameLists(asked: unknown, answered: unknown): boolean {
  const [a, b] = [strings.safeParse(asked ?? []), strings.safeParse(answered ?? [])];
  return a.success && b.success && sameSet(a.data, b.data);
}

const lists: readonly string[] = ['grant_types', 'response_types', 'redirect_uris'];

function sameMember(member: string, asked: unknown, answered: unknown): boolean {
  if (asked === answered) return true;
  if (lists.includes(member)) return sameLists(asked, answered);
  if (asked === undefined) {
    // RFC 7591 §2: a server may give a client that asks for no scope its default ones.
    return isCleared(answered) || member === 'scope' || (member === 'jwks' && certificatesOf(answered)?.length === 0);
  }
  if (member === 'jwks') return sameKeys(asked, answered);
  // Only people read it, and the marker in it; a server that does not show it has not changed it.
  if (member === 'client_name') return isCleared(answered);
  // RFC 8705 §3.4: its default.
  if (asked === false) return isCleared(answered);
  return typeof asked === 'string' && typeof answered === 'string' && sameText(member, asked, answered);
}

function sameText(member: string, asked: string, answered: string): boolean {
  switch (member) {
    case 'scope':
      return sameSet(scopeValues(asked), scopeValues(answered));
    case 'tls_client_auth_subject_dn':
    case 'tls_client_auth_ca_subject_dn':
      return sameDnText(asked, answered);
    case 'tls_client_auth_san_ip':
      return (
        isIP(answered) !== 0 && !answered.includes('%') && canonicalIpAddress(asked) === canonicalIpAddress(answered)
      );
    default:
      return false;
  }
}

function isCleared(value: unknown): boolean {
  return value === undefined || value === null || value === '';
}

/**
 * What a server registered otherwise than asked (RFC 7591 §3.2.1 lets it). Members that nobody asked for are not compared; of
 * those that the platform asks for besides, one that a server does not show is one that it does not know (§2: ignored).
 */
export function echoViolations(asked: ClientMetadata, answered: ClientMetadata): EchoViolation[] {
  const compared = asked['client_id'] === undefined ? owned : [...owned, 'client_id'];
  const others = Object.keys(asked).filter((member) => !ours.has(member) && !isCleared(answered[member]));
  return [
    ...compared.filter((member) => !sameMember(member, asked[member], answered[member])),
    ...others.filter((member) => !isDeepStrictEqual(asked[member], answered[member])),
  ].map((member) => ({ member, asked: asked[member], answered: answered[member] }));
}

/** A server that compares names as text knows nobody by another spelling, which RFC 8705 §2.1.2 would have it do. */
const names = ['tls_client_auth_subject_dn', 'tls_client_auth_ca_subject_dn'];

/**
 * What others changed of our members since the server's last answer. What the server itself has substituted is not theirs, and
 * to ask for it again would get the same.
 */
export function changesByOthers(
  asked: ClientMetadata,
  lastAnswer: ClientMetadata,
  found: ClientMetadata,
): EchoViolation[] {
  const changed = echoViolations(asked, found).filter(
    ({ member }) => !sameMember(member, lastAnswer[member], found[member]),
  );
  const respelt = names.filter((member) => {
    const [wanted, theirs] = [asked[member], found[member]];
    return sameMember(member, wanted, theirs) && [wanted, lastAnswer[member]].every((text) => isRespelt(text, theirs));
  });
  return [...changed, ...respelt.map((member) => ({ member, asked: asked[member], answered: found[member] }))];
}

/** For people: each member, what was asked and what is registered. */
export function membersShown(violations: readonly EchoViolation[]): string {
  return violations
    .map(
      ({ member, asked, answered }) =>
        `${member} (asked: ${shown(member, asked)}; registered: ${shown(member, answered)})`,
    )
    .join(', ');
}

/** `MetadataRejected`, terminal: the same request would get the same answer. */
export function metadataRejected(violations: readonly EchoViolation[]): OperatorError {
  return new OperatorError(
    'MetadataRejected',
    `The authorization server registered something else than it was asked for: ${membersShown(violations)}. ` +
      'Allow these values there, or change the OAuthClient to what the server allows.',
    { retry: { class: 'terminal' } },
  );
}

function shown(member: string, value: unknown): string {
  if (value === undefined) return 'nothing';
  if (member === 'jwks') return `${certificatesOf(value)?.length ?? 'no'} keys`;
  return quotable(typeof value === 'string' ? value : JSON.stringify(value)).slice(0, 200);
}

/** The members that an update would change, as far as an answer tells; empty means none. */
export function changedMembers(asked: ClientMetadata, lastAnswer: ClientMetadata): string[] {
  return echoViolations(asked, lastAnswer).map(({ member }) => member);
}

/**
 * RFC 7592 §2.2: a PUT replaces, so the body is the server's last answer, less the members that must not be sent and those
 * that are ours, plus what we ask for.
 */
export function updateBody(lastAnswer: ClientMetadata, asked: ClientMetadata): ClientMetadata {
  const drop = new Set<string>([...forbidden, ...owned]);
  const kept = Object.entries(lastAnswer).filter(([member, value]) => !drop.has(member) && value !== null);
  return { ...Object.fromEntries(kept), ...asked };
}

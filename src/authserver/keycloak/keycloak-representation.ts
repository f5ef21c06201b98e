/** Keycloak's ClientRepresentation, and client metadata as the RFCs name it, in both directions. Pure. */
import { z } from 'zod';
import { OperatorError } from '../../errors.ts';
import { keycloakCapabilities } from '../capabilities.ts';
import type { ClientMetadata } from '../driver.ts';
import { scopeValues } from '../grants.ts';
import { quotable } from '../connection/server-text.ts';

/** What we read of it; everything else is kept as it is. */
export const clientRepresentation = z.looseObject({
  id: z
    .string()
    .max(255)
    .regex(/^[\w.-]+$/),
  clientId: z
    .string()
    .min(1)
    .max(255)
    .regex(/^[\x20-\x7e]+$/),
  name: z.string().nullish(),
  publicClient: z.boolean().nullish(),
  clientAuthenticatorType: z.string().nullish(),
  serviceAccountsEnabled: z.boolean().nullish(),
  standardFlowEnabled: z.boolean().nullish(),
  implicitFlowEnabled: z.boolean().nullish(),
  directAccessGrantsEnabled: z.boolean().nullish(),
  redirectUris: z.array(z.string()).nullish(),
  attributes: z.record(z.string(), z.string().nullable()).nullish(),
  defaultClientScopes: z.array(z.string()).nullish(),
  optionalClientScopes: z.array(z.string()).nullish(),
});
export type ClientRepresentation = z.infer<typeof clientRepresentation>;

const Attribute = {
  owner: 'certbound.dev/owner',
  ownerUid: 'certbound.dev/owner-uid',
  subject: 'x509.subjectdn',
  /** Absent means on: then the subject is a pattern, and `.` any character. */
  pattern: 'x509.allow.regex.pattern.comparison',
  caSubject: 'x509.casubjectdn',
  bound: 'tls.client.certificate.bound.access.tokens',
  refresh: 'use.refresh.tokens',
  device: 'oauth2.device.authorization.grant.enabled',
  ciba: 'oidc.ciba.grant.enabled',
  exchange: 'standard.token.exchange.enabled',
} as const;

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';
const CIBA = 'urn:openid:params:grant-type:ciba';
const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';

/** In every realm, and no client scope of any: whatever a client may ask for, it may ask for this. */
const OPENID = 'openid';

const metadata = z.looseObject({
  client_id: z.string(),
  client_name: z.string(),
  certbound_owner: z.string(),
  certbound_owner_uid: z.string(),
  token_endpoint_auth_method: z.literal('tls_client_auth'),
  tls_client_auth_subject_dn: z.string(),
  tls_client_auth_ca_subject_dn: z.string().optional(),
  tls_client_certificate_bound_access_tokens: z.boolean(),
  grant_types: z.array(z.string()),
  redirect_uris: z.array(z.string()),
  scope: z.string().optional(),
});

/** What we decide about a client; of other members Keycloak's administrators do. */
export interface OwnMembers {
  clientId: string;
  owner: string;
  /** Members of the representation, but scopes. */
  representation: Record<string, unknown>;
  attributes: Record<string, string>;
  /** Names of client scopes that it may ask for. */
  scopes: string[];
}

/**
 * @throws {OperatorError} `RegistrationRefused` for what Keycloak would not do as it is meant
 */
export function ownMembers(asked: ClientMetadata): OwnMembers {
  const parsed = metadata.safeParse(asked);
  if (!parsed.success) {
    throw refused(`it does not know a client by ${String(parsed.error.issues[0]?.path[0])} as it is asked for`);
  }
  const { redirect_uris: redirectUris, grant_types: grants, ...rest } = parsed.data;
  const wildcard = redirectUris.find((uri) => uri.includes('*'));
  if (wildcard !== undefined) throw refused(`it reads the * in a redirect URI as "whatever": write the whole URI`);
  const unknown = grants.find((grant) => keycloakCapabilities.grantTypes?.includes(grant) !== true);
  if (unknown !== undefined) throw refused(`it has no grant type ${quotable(unknown)} for new clients`);
  const flag = (grant: string) => String(grants.includes(grant));
  return {
    clientId: rest.client_id,
    owner: rest.certbound_owner,
    representation: {
      clientId: rest.client_id,
      name: rest.client_name,
      protocol: 'openid-connect',
      publicClient: false,
      bearerOnly: false,
      clientAuthenticatorType: 'client-x509',
      serviceAccountsEnabled: grants.includes('client_credentials'),
      standardFlowEnabled: grants.includes('authorization_code'),
      implicitFlowEnabled: false,
      directAccessGrantsEnabled: false,
      redirectUris,
    },
    attributes: {
      [Attribute.owner]: rest.certbound_owner,
      [Attribute.ownerUid]: rest.certbound_owner_uid,
      [Attribute.subject]: rest.tls_client_auth_subject_dn,
      [Attribute.pattern]: 'false',
      // An empty one is removed.
      [Attribute.caSubject]: rest.tls_client_auth_ca_subject_dn ?? '',
      [Attribute.bound]: String(rest.tls_client_certificate_bound_access_tokens),
      [Attribute.refresh]: flag('refresh_token'),
      [Attribute.device]: flag(DEVICE),
      [Attribute.ciba]: flag(CIBA),
      [Attribute.exchange]: flag(EXCHANGE),
    },
    scopes: scopeValues(rest.scope).filter((scope) => scope !== OPENID),
  };
}

function refused(why: string): OperatorError {
  return new OperatorError('RegistrationRefused', `Keycloak can't register this client: ${why}.`, {
    retry: { class: 'terminal' },
  });
}

/** What a new client is besides; from then on it is its administrators' to change. */
export function initialMembers(realmDefaults: readonly string[], scopes: readonly string[]): Record<string, unknown> {
  return {
    enabled: true,
    // Roles get into tokens by the scopes that the client was granted, not all that its service account has.
    fullScopeAllowed: false,
    consentRequired: false,
    frontchannelLogout: false,
    webOrigins: [],
    // A scope that is the realm's default would be in every token, asked for or not.
    defaultClientScopes: realmDefaults.filter((scope) => !scopes.includes(scope)),
    optionalClientScopes: [...scopes],
  };
}

/** Undefined where nobody marked it. */
export function ownerOf({ attributes }: ClientRepresentation): string | undefined {
  return attributes?.[Attribute.owner] ?? undefined;
}

const methods: Record<string, string> = {
  'client-x509': 'tls_client_auth',
  'client-secret': 'client_secret_basic',
  'client-secret-jwt': 'client_secret_jwt',
  'client-jwt': 'private_key_jwt',
};

/**
 * @param asked scope that was asked for: `openid` is not told by the client
 */
export function metadataOf(client: ClientRepresentation, asked: unknown): ClientMetadata {
  const { attributes } = client;
  const is = (attribute: string) => attributes?.[attribute] === 'true';
  const text = (attribute: string) => attributes?.[attribute] ?? undefined;
  const type = client.clientAuthenticatorType ?? 'client-secret';
  const subject = text(Attribute.subject);
  const exact = text(Attribute.pattern) === 'false';
  const openid = typeof asked === 'string' && scopeValues(asked).includes(OPENID) ? [OPENID] : [];
  const scope = [...openid, ...(client.optionalClientScopes ?? []).toSorted()].join(' ');
  const present: [string, unknown][] = [
    ['id', client.id],
    ['client_id', client.clientId],
    ['client_name', client.name ?? undefined],
    ['certbound_owner', ownerOf(client)],
    ['certbound_owner_uid', text(Attribute.ownerUid)],
    ['token_endpoint_auth_method', client.publicClient === true ? 'none' : (methods[type] ?? type)],
    ['tls_client_auth_subject_dn', subject === undefined || exact ? subject : `pattern ${subject}`],
    ['tls_client_auth_ca_subject_dn', text(Attribute.caSubject)],
    ['tls_client_certificate_bound_access_tokens', is(Attribute.bound)],
    ['grant_types', grantsOf(client)],
    ['response_types', responsesOf(client)],
    ['redirect_uris', client.redirectUris ?? []],
    ['scope', scope === '' ? undefined : scope],
  ];
  return Object.fromEntries(present.filter(([, value]) => value !== undefined));
}

function grantsOf(client: ClientRepresentation): string[] {
  const is = (attribute: string) => client.attributes?.[attribute] === 'true';
  const grants: [string, boolean][] = [
    ['authorization_code', client.standardFlowEnabled === true],
    ['implicit', client.implicitFlowEnabled === true],
    ['password', client.directAccessGrantsEnabled === true],
    ['client_credentials', client.serviceAccountsEnabled === true],
    // Absent means that it may.
    ['refresh_token', client.attributes?.[Attribute.refresh] !== 'false'],
    [DEVICE, is(Attribute.device)],
    [CIBA, is(Attribute.ciba)],
    [EXCHANGE, is(Attribute.exchange)],
  ];
  return grants.flatMap(([grant, held]) => (held ? [grant] : []));
}

function responsesOf({ standardFlowEnabled, implicitFlowEnabled }: ClientRepresentation): string[] {
  return [...(standardFlowEnabled === true ? ['code'] : []), ...(implicitFlowEnabled === true ? ['token'] : [])];
}

import { z } from 'zod';
import type { AuthorizationServerSpec } from '../api/authorization-server.ts';
import { OperatorError } from '../errors.ts';
import { callServer } from './connection/call.ts';
import type { ServerCapabilities, ServerConnection, ServerEndpoints } from './connection/connection.ts';
import type { ServerAnswer } from './connection/http.ts';
import { quotable, serverSays } from './connection/server-text.ts';

export interface Discovery {
  /** In effect: mTLS aliases and the spec's overrides applied. */
  endpoints: ServerEndpoints;
  capabilities: ServerCapabilities;
}
type DiscoverySpec = Pick<AuthorizationServerSpec, 'issuer' | 'mtlsEndpoints'>;

const LONGEST_URL = 2048;
const MOST_METHODS = 16;
const MOST_NAMES = 32;

/** An endpoint: https, without user or fragment (RFC 6749 §3.2), fit for a header and for status. */
const endpoint = z
  .string()
  .max(LONGEST_URL)
  .refine((text) => {
    if (!/^https:\/\/[\x21-\x7e]+$/.test(text) || !URL.canParse(text)) return false;
    const { protocol, username, password, hash, hostname } = new URL(text);
    return protocol === 'https:' && hostname !== '' && `${username}${password}${hash}` === '' && !text.endsWith('#');
  }, 'must be an https URL without user and fragment');

/** Absent and null are the same: some servers write every member they know. */
const optionalEndpoint = endpoint.nullish().transform((url) => url ?? undefined);
const optionalFlag = z
  .boolean()
  .nullish()
  .transform((flag) => flag === true);

/** What can't be read decides nothing. */
const optionalNames = z.array(z.string()).nullish().catch(undefined);

/** RFC 8414 §2, RFC 8705 §3.3 and §5, RFC 9126 §5. */
const serverMetadata = z.object({
  issuer: z.string().max(LONGEST_URL),
  token_endpoint: endpoint,
  registration_endpoint: optionalEndpoint,
  introspection_endpoint: optionalEndpoint,
  revocation_endpoint: optionalEndpoint,
  pushed_authorization_request_endpoint: optionalEndpoint,
  token_endpoint_auth_methods_supported: z.array(z.string().max(256)).max(64).nullish(),
  tls_client_certificate_bound_access_tokens: optionalFlag,
  grant_types_supported: optionalNames,
  response_types_supported: optionalNames,
  mtls_endpoint_aliases: z
    .object({
      token_endpoint: optionalEndpoint,
      introspection_endpoint: optionalEndpoint,
      revocation_endpoint: optionalEndpoint,
      pushed_authorization_request_endpoint: optionalEndpoint,
    })
    .nullish(),
});

/** Where the metadata may be: RFC 8414 §3.1 puts the well-known part before the issuer's path, OpenID Connect after it. */
export function metadataUrls(issuer: string): readonly string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  return [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}${path}/.well-known/openid-configuration`,
  ];
}

function discoveryFailed(problem: string): OperatorError {
  return new OperatorError('DiscoveryFailed', `The metadata of the authorization server cannot be used: ${problem}.`);
}

/**
 * Pure.
 * @throws {OperatorError} `IssuerMismatch`, `DiscoveryFailed`
 */
export function readMetadata(document: unknown, spec: DiscoverySpec): Discovery {
  const parsed = serverMetadata.safeParse(document);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const member = issue?.path.join('.') ?? '';
    throw discoveryFailed(
      issue === undefined || member === '' ? 'it is no JSON object' : `${member}: ${quotable(issue.message)}`,
    );
  }
  const found = parsed.data;
  // RFC 8414 §3.3: identical, or it is another server's metadata.
  if (found.issuer !== spec.issuer) {
    throw new OperatorError(
      'IssuerMismatch',
      `The server says that its issuer is ${quotable(found.issuer)}, not ${spec.issuer}: create an AuthorizationServer with ` +
        'exactly that issuer (a trailing slash counts), or correct the server.',
    );
  }
  return {
    endpoints: endpointsInEffect(found, spec.mtlsEndpoints ?? {}),
    capabilities: {
      // RFC 8414 §2: absent means client_secret_basic.
      authMethods: authMethods(found.token_endpoint_auth_methods_supported ?? ['client_secret_basic']),
      certificateBoundTokens: found.tls_client_certificate_bound_access_tokens,
      ...present({
        grantTypes: supportedNames(found.grant_types_supported, 128),
        responseTypes: supportedNames(found.response_types_supported, 64),
      }),
    },
  };
}

/** RFC 8705 §5: a client that uses mutual TLS prefers the alias; the platform knows better than both. */
function endpointsInEffect(
  found: z.infer<typeof serverMetadata>,
  override: NonNullable<AuthorizationServerSpec['mtlsEndpoints']>,
): ServerEndpoints {
  const alias: Partial<NonNullable<typeof found.mtls_endpoint_aliases>> = found.mtls_endpoint_aliases ?? {};
  return {
    tokenEndpoint: override.tokenEndpoint ?? alias.token_endpoint ?? found.token_endpoint,
    ...present({
      registrationEndpoint: found.registration_endpoint,
      introspectionEndpoint:
        override.introspectionEndpoint ?? alias.introspection_endpoint ?? found.introspection_endpoint,
      revocationEndpoint: override.revocationEndpoint ?? alias.revocation_endpoint ?? found.revocation_endpoint,
      pushedAuthorizationRequestEndpoint:
        override.pushedAuthorizationRequestEndpoint ??
        alias.pushed_authorization_request_endpoint ??
        found.pushed_authorization_request_endpoint,
    }),
  };
}

/** As status takes them: each once, in one order, so that a server that shuffles its list causes no writes. */
function authMethods(names: readonly string[]): string[] {
  const fit = [...new Set(names)].filter((name) => /^[\x21-\x7e]{1,64}$/.test(name)).toSorted();
  const ours = fit.filter((name) => name.endsWith('tls_client_auth'));
  return [...ours, ...fit.filter((name) => !ours.includes(name))].slice(0, MOST_METHODS).toSorted();
}

/** Each once, in one order. Undefined where the server does not say, or more than status takes. */
function supportedNames(names: readonly string[] | null | undefined, longest: number): string[] | undefined {
  const distinct = [...new Set(names ?? [])].toSorted();
  const fit = distinct.length <= MOST_NAMES && distinct.every((name) => name !== '' && name.length <= longest);
  return distinct.length > 0 && fit ? distinct : undefined;
}

/** Without the members that are undefined. */
function present<V, T extends Record<string, V | undefined>>(members: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const result: { [K in keyof T]?: NonNullable<T[K]> } = {};
  for (const key in members) {
    const value = members[key];
    if (value !== undefined && value !== null) result[key] = value;
  }
  return result;
}

/**
 * RFC 8414 discovery, then OpenID Connect's: where the first document is no answer, and for the registration_endpoint, which
 * some servers name in the second alone (Spring Authorization Server where it registers by OpenID Connect).
 * @throws {OperatorError} `ServerUnavailable` (transient), `DiscoveryFailed`, `IssuerMismatch`, `AnswerInvalid`
 */
export async function discover(
  connection: ServerConnection,
  spec: DiscoverySpec,
  signal: AbortSignal,
): Promise<Discovery> {
  const problems: string[] = [];
  let unavailable: OperatorError | undefined;
  let found: Discovery | undefined;
  for (const url of metadataUrls(spec.issuer)) {
    try {
      const answer = await ask(connection, url, signal);
      const isObject = typeof answer.json === 'object' && answer.json !== null;
      if (answer.status === 200 && isObject) {
        const discovery = readMetadata(answer.json, spec);
        if (discovery.endpoints.registrationEndpoint !== undefined) return registeringAt(found, discovery);
        found ??= discovery;
        continue;
      }
      const says = isObject ? serverSays(answer.json).replace(/^ It says: (.*)\.$/, ' and says: $1') : undefined;
      problems.push(`${url} answered ${answer.status}${says ?? ' with something that is no JSON object'}`);
    } catch (error) {
      if (!(error instanceof OperatorError) || error.code === 'Cancelled') throw error;
      // What is wrong with the second document says nothing against the first.
      if (found !== undefined) return found;
      // A server that has only the second document may answer anything at all to a request for the first.
      if (error.code === 'ServerUnavailable') unavailable ??= error;
      else if (error.code === 'AnswerInvalid') problems.push(error.message.replace(/\.$/, ''));
      else throw error;
    }
  }
  if (found !== undefined) return found;
  if (unavailable !== undefined) throw unavailable;
  throw discoveryFailed(`${problems.join('; ')}. Check the issuer`);
}

function registeringAt(found: Discovery | undefined, { endpoints, capabilities }: Discovery): Discovery {
  if (found === undefined) return { endpoints, capabilities };
  const { registrationEndpoint } = endpoints;
  return { ...found, endpoints: { ...found.endpoints, ...present({ registrationEndpoint }) } };
}

function ask(connection: ServerConnection, url: string, signal: AbortSignal): Promise<ServerAnswer> {
  return callServer(
    connection,
    {
      operation: 'discover',
      action: `send its metadata from ${url}`,
      method: 'GET',
      url,
      headers: { accept: 'application/json' },
    },
    signal,
  );
}

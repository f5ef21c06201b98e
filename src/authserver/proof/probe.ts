import { createHash, randomBytes } from 'node:crypto';
import { decodeJwt } from 'jose';
import { z } from 'zod';
import type { ServerOperation } from '../connection/call-outcome.ts';
import type { ServerEndpoints } from '../connection/connection.ts';
import type { ServerAnswer, ServerRequest, ServerSilence } from '../connection/http.ts';
import type { ProofOutcome } from './proof-outcome.ts';
import { oauthErrorCode, serverSays } from '../connection/server-text.ts';

/** What a probe asks with. */
export interface ProbeContext {
  /** Presents the certificate that is to be proved. */
  send(
    operation: ServerOperation,
    request: Omit<ServerRequest, 'dispatcher'>,
    signal: AbortSignal,
  ): Promise<ServerAnswer | ServerSilence>;
  endpoints: ServerEndpoints;
  clientId: string;
  x5tS256: string;
  redirectUri?: string | undefined;
  scope?: string | undefined;
  /** Whether its tokens are to be bound to the certificate (RFC 8705 §3.4). */
  boundTokens: boolean;
}

/**
 * One request that only an authenticated client gets through. Each is for a grant that the client holds: Keycloak refuses
 * an unknown grant before it authenticates, oidc-provider one that is not allowed.
 */
export interface Probe {
  readonly url: string;
  run(context: ProbeContext, signal: AbortSignal): Promise<ProofOutcome>;
}

const DEVICE_CODE = 'urn:ietf:params:oauth:grant-type:device_code';

/** Never `password` and never token exchange: a random one may lock a user out. Undefined where nothing can be asked. */
export function probeFor(
  endpoints: ServerEndpoints,
  grantTypes: readonly string[],
  redirectUri: string | undefined,
): Probe | undefined {
  const { tokenEndpoint, pushedAuthorizationRequestEndpoint: par, revocationEndpoint } = endpoints;
  if (grantTypes.includes('client_credentials')) return { url: tokenEndpoint, run: tokenRequest };
  if (grantTypes.includes('authorization_code') && redirectUri !== undefined) {
    return par === undefined
      ? { url: tokenEndpoint, run: (context, signal) => invalidGrant(context, codeExchange(redirectUri), signal) }
      : { url: par, run: (context, signal) => pushedRequest(context, par, signal) };
  }
  if (grantTypes.includes('refresh_token')) {
    const form = { grant_type: 'refresh_token', refresh_token: random() };
    return { url: tokenEndpoint, run: (context, signal) => invalidGrant(context, form, signal) };
  }
  if (grantTypes.includes(DEVICE_CODE)) {
    const form = { grant_type: DEVICE_CODE, device_code: random() };
    return { url: tokenEndpoint, run: (context, signal) => invalidGrant(context, form, signal) };
  }
  if (revocationEndpoint === undefined) return undefined;
  return { url: revocationEndpoint, run: (context, signal) => revocation(context, revocationEndpoint, signal) };
}

type Form = Readonly<Record<string, string>>;

function post(context: ProbeContext, operation: ServerOperation, url: string, form: Form, signal: AbortSignal) {
  const { clientId } = context;
  // RFC 8705 §2: client_id is always in the request; it says which registration the certificate is compared with.
  const body = new URLSearchParams({ client_id: clientId, ...form }).toString();
  const headers = { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' };
  return context.send(operation, { method: 'POST', url, headers, body }, signal);
}

const tokenResponse = z.looseObject({
  access_token: z.string().min(1),
  expires_in: z.number().min(0).optional().catch(undefined),
});

async function tokenRequest(context: ProbeContext, signal: AbortSignal): Promise<ProofOutcome> {
  const { endpoints, scope } = context;
  const form = { grant_type: 'client_credentials', ...(scope === undefined ? {} : { scope }) };
  const answer = await post(context, 'token', endpoints.tokenEndpoint, form, signal);
  if (answer.kind === 'silence' || answer.status !== 200) return notProved(answer);
  const token = tokenResponse.safeParse(answer.json);
  if (!token.success) return notProved(answer);
  const { access_token: accessToken, expires_in: expiresInSeconds } = token.data;
  const binding = (await confirmationOf(context, accessToken, signal)) ?? { thumbprint: context.x5tS256 };
  const asAsked = binding.thumbprint === context.x5tS256 || (binding.thumbprint === undefined && !context.boundTokens);
  if (asAsked) return { outcome: 'proved', expiresInSeconds, token: accessToken };
  await revokeToken(context, accessToken, signal);
  return {
    outcome: 'refused',
    authenticated: true,
    message:
      binding.thumbprint === undefined
        ? 'The server accepted the certificate but its access token is bound to none (no cnf["x5t#S256"], RFC 8705 §3): enable certificate-bound access tokens at the server.'
        : 'The server bound its access token to another certificate than the one presented: check what the TLS terminator forwards.',
  };
}

/**
 * Revokes a token that a probe was given (RFC 7009). The server authenticates the client for that too, so that a success on
 * another connection proves the certificate there, and so does its saying that it revokes no tokens of this kind, as many do
 * with JWTs (§2.1, §2.2.1: the client is authenticated first). Undefined where the answer says nothing.
 */
export async function revokeToken(
  context: ProbeContext,
  token: string,
  signal: AbortSignal,
): Promise<ProofOutcome | undefined> {
  const { revocationEndpoint } = context.endpoints;
  if (revocationEndpoint === undefined) return undefined;
  const form = { token, token_type_hint: 'access_token' };
  const answer = await post(context, 'revoke', revocationEndpoint, form, signal);
  if (answer.kind === 'answer' && authenticated(answer)) return { outcome: 'proved' };
  const outcome = notProved(answer);
  return answer.kind === 'silence' || outcome.outcome === 'refused' ? outcome : undefined;
}

function authenticated({ status, json }: ServerAnswer): boolean {
  return status === 200 || (status === 400 && oauthErrorCode(json) === 'unsupported_token_type');
}

const confirmation = z.object({ cnf: z.object({ 'x5t#S256': z.string().optional() }).optional() });
const introspection = confirmation.extend({ active: z.literal(true) });

/** What a token is bound to: from itself where it is a JWT, else by introspection; undefined where neither tells. */
async function confirmationOf(
  context: ProbeContext,
  accessToken: string,
  signal: AbortSignal,
): Promise<{ thumbprint: string | undefined } | undefined> {
  const claims = confirmation.safeParse(jwtClaims(accessToken));
  if (claims.success) return { thumbprint: claims.data.cnf?.['x5t#S256'] };
  const url = context.endpoints.introspectionEndpoint;
  if (url === undefined) return undefined;
  const asked = { token: accessToken, token_type_hint: 'access_token' };
  const answer = await post(context, 'introspect', url, asked, signal);
  // A server may keep introspection from clients, by 401 as by active: false.
  if (answer.kind === 'silence' || answer.status !== 200) return undefined;
  const read = introspection.safeParse(answer.json);
  return read.success ? { thumbprint: read.data.cnf?.['x5t#S256'] } : undefined;
}

/** Its signature says nothing here: it came over the connection that authenticated the server. */
function jwtClaims(token: string): unknown {
  try {
    return decodeJwt(token);
  } catch {
    return undefined;
  }
}

function codeExchange(redirectUri: string): Form {
  return {
    grant_type: 'authorization_code',
    code: random(),
    redirect_uri: redirectUri,
    code_verifier: random(),
  };
}

/** RFC 6749 §5.2: a server authenticates the client first, so `invalid_grant` says that it did. */
async function invalidGrant(context: ProbeContext, form: Form, signal: AbortSignal): Promise<ProofOutcome> {
  const answer = await post(context, 'token', context.endpoints.tokenEndpoint, form, signal);
  if (answer.kind === 'answer' && answer.status === 400 && oauthErrorCode(answer.json) === 'invalid_grant') {
    return { outcome: 'proved' };
  }
  return notProved(answer);
}

/** RFC 9126 §2: the request is stored and expires by itself. */
async function pushedRequest(context: ProbeContext, url: string, signal: AbortSignal): Promise<ProofOutcome> {
  const form = {
    response_type: 'code',
    redirect_uri: context.redirectUri ?? '',
    code_challenge: createHash('sha256').update(random()).digest('base64url'),
    code_challenge_method: 'S256',
    state: random(),
    ...(context.scope === undefined ? {} : { scope: context.scope }),
  };
  const answer = await post(context, 'par', url, form, signal);
  return answer.kind === 'answer' && answer.status === 201 && isObject(answer.json)
    ? { outcome: 'proved' }
    : notProved(answer);
}

/** RFC 7009 §2.2: 200 for a token that does not exist, but only to an authenticated client. */
async function revocation(context: ProbeContext, url: string, signal: AbortSignal): Promise<ProofOutcome> {
  const answer = await post(context, 'revoke', url, { token: random() }, signal);
  return answer.kind === 'answer' && answer.status === 200 ? { outcome: 'proved' } : notProved(answer);
}

function notProved(answer: ServerAnswer | ServerSilence): ProofOutcome {
  if (answer.kind === 'silence') return silent(answer);
  const says = serverSays(answer.json);
  if (oauthErrorCode(answer.json) === 'invalid_client' && (answer.status === 400 || answer.status === 401)) {
    return { outcome: 'refused', message: `The server does not accept the certificate.${says}` };
  }
  return {
    outcome: 'notYet',
    message: `The server answered ${answer.status}, which proves nothing about the certificate.${says}`,
  };
}

/** A reset instead of an alert is how some terminators refuse a certificate. */
function silent({ why, clause, retryAfterMs }: ServerSilence): ProofOutcome {
  const message = `The certificate could not be proved: ${clause}.`;
  if (why === 'tls' || why === 'broken' || why === 'size') return { outcome: 'notYet', message };
  return { outcome: 'unreachable', message, unroutable: why === 'unroutable', retryAfterMs };
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null;
}

function random(): string {
  return randomBytes(32).toString('base64url');
}

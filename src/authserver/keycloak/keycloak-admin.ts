/** Requests to Keycloak's Admin REST API, as the client that the operator is there. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { OperatorError, asOperatorError, REFUSED_AGAIN_MS } from '../../errors.ts';
import { type Call, callServer } from '../connection/call.ts';
import type { ClientTls, ServerConnection } from '../connection/connection.ts';
import type { ManagementClient } from '../credentials.ts';
import type { ServerAccess } from '../driver.ts';
import type { ServerAnswer } from '../connection/http.ts';
import { quotable, serverSays } from '../connection/server-text.ts';

interface AdminToken {
  value: string;
  /** The certificate that it is bound to. */
  certificate: ClientTls | undefined;
  /** Of performance.now(). */
  until: number;
}

const tokenResponse = z.looseObject({
  access_token: z
    .string()
    .max(65_536)
    .regex(/^[A-Za-z0-9\-._~+/]+=*$/),
  expires_in: z.number().min(0).optional().catch(undefined),
});

/** One that ends on its way is refused, and another one got: this only saves calls. */
const spareMs = 10_000;
const longestUseMs = 300_000;

/** By a digest of the credential, so that another one is used at once. Private to each connection, and gone with it. */
const tokens = new WeakMap<ServerConnection, Map<string, AdminToken>>();

export interface AdminCall extends Pick<Call, 'operation' | 'action' | 'method'> {
  /** Below the realm: `/clients`. */
  path: string;
  body?: unknown;
}

/**
 * One request of the Admin REST API. A token that is refused is replaced once: what is answered with 401 was not carried out.
 * @throws {OperatorError} as {@link callServer}; `RegistrationUnauthorized` where the operator's client is refused
 */
export async function callAdmin(access: ServerAccess, call: AdminCall): Promise<ServerAnswer> {
  const first = await tokenFor(access);
  const answer = await send(access, call, first);
  if (answer.status !== 401) return permitted(answer, call, access);
  tokens.get(access.connection)?.clear();
  const again = await send(access, call, await tokenFor(access));
  return permitted(again, call, access);
}

function send(
  { connection, signal }: ServerAccess,
  { path, body, ...call }: AdminCall,
  { value, certificate }: AdminToken,
): Promise<ServerAnswer> {
  const { root, realm } = addressOf(connection);
  return callServer(
    connection,
    {
      ...call,
      url: `${root}/admin/realms/${realm}${path}`,
      headers: {
        accept: 'application/json',
        authorization: `Bearer ${value}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      certificate,
    },
    signal,
  );
}

function permitted(answer: ServerAnswer, { action }: AdminCall, access: ServerAccess): ServerAnswer {
  if (answer.status !== 401 && answer.status !== 403) return answer;
  throw roleMissing(access, action, ` (${answer.status}).${keycloakSays(answer.json)}`);
}

/** @param answer what Keycloak said of it; empty where it says so by other means */
export function roleMissing({ connection }: ServerAccess, action: string, answer: string): OperatorError {
  connection.unauthorized();
  return new OperatorError(
    'RegistrationUnauthorized',
    `Keycloak did not let us ${action}${answer === '' ? '.' : answer} Give the service account of the client that ` +
      `AuthorizationServer "${connection.name}" names in keycloak.clientId the role manage-clients of the client realm-management.`,
    { retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS } },
  );
}

async function tokenFor(access: ServerAccess): Promise<AdminToken> {
  const { connection, signal } = access;
  const { management } = await access.credentials();
  if (management === undefined) throw unusable(connection.name);
  const key = createHash('sha256').update(JSON.stringify(management)).digest('hex');
  const known = tokens.get(connection) ?? new Map<string, AdminToken>();
  tokens.set(connection, known);
  const held = known.get(key);
  if (held !== undefined && performance.now() < held.until) return held;
  const token = await requestToken(connection, management, signal);
  // Those of credentials of before are of no use any more.
  known.clear();
  known.set(key, token);
  return token;
}

/** RFC 6749 §4.4, authenticated by RFC 6749 §2.3.1 or RFC 8705 §2. */
async function requestToken(
  connection: ServerConnection,
  { clientId, proof }: ManagementClient,
  signal: AbortSignal,
): Promise<AdminToken> {
  const { root, realm } = addressOf(connection);
  const secret = 'clientSecret' in proof ? proof.clientSecret : undefined;
  const certificate = 'chainPem' in proof ? connection.clientTls(proof.chainPem, proof.privateKeyPem) : undefined;
  const ordinary = `${root}/realms/${realm}/protocol/openid-connect/token`;
  const action = 'give the operator a token';
  const answer = await callServer(
    connection,
    {
      operation: 'authenticate',
      action,
      method: 'POST',
      // With a certificate it has to be the host that asks for one.
      url: certificate === undefined ? ordinary : (connection.endpoints?.tokenEndpoint ?? ordinary),
      headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: clientId,
        ...(secret === undefined ? {} : { client_secret: secret }),
      }).toString(),
      certificate,
    },
    signal,
  ).catch((error: unknown) => {
    const { code, message } = asOperatorError(error);
    // Nothing was asked of any client yet.
    throw code === 'AnswerLost' ? new OperatorError('ServerUnavailable', message) : error;
  });
  const token = answer.status === 200 ? tokenResponse.safeParse(answer.json).data : undefined;
  if (token === undefined) throw unauthenticated(connection, clientId, answer, secret);
  const lifeMs = Math.min(longestUseMs, (token.expires_in ?? 60) * 1000);
  return { value: token.access_token, certificate, until: performance.now() + Math.max(0, lifeMs - spareMs) };
}

/** The realm is the end of the issuer (`…/realms/<realm>`), and Keycloak what is before it. */
function addressOf(connection: ServerConnection): { root: string; realm: string } {
  const at = connection.issuer.lastIndexOf('/realms/');
  const realm = connection.issuer.slice(at + '/realms/'.length);
  return { root: connection.adminUrl ?? connection.issuer.slice(0, at), realm };
}

function unusable(server: string): OperatorError {
  return new OperatorError(
    'RegistrationUnauthorized',
    `The operator has no credential for Keycloak: the status of AuthorizationServer "${server}" says what is missing.`,
    { retry: { class: 'after', milliseconds: 30_000 } },
  );
}

function unauthenticated(
  connection: ServerConnection,
  clientId: string,
  answer: ServerAnswer,
  secret: string | undefined,
): OperatorError {
  const retry = { class: 'after', milliseconds: REFUSED_AGAIN_MS } as const;
  const says = `(${answer.status}).${serverSays(answer.json, [secret])}`;
  if (answer.status === 404) {
    const message = `There is no token endpoint of Keycloak where the operator asks ${says} ${ADMIN_URL}`;
    return new OperatorError('RegistrationRefused', message, { retry });
  }
  connection.unauthorized();
  return new OperatorError(
    'RegistrationUnauthorized',
    `Keycloak gave the operator no token as client "${clientId}" ${says} Check that client in the ` +
      `realm (enabled, service account on), and the Secret that AuthorizationServer "${connection.name}" names in keycloak.`,
    { retry },
  );
}

/** What a 404 asks for. */
export const ADMIN_URL = 'Is keycloak.adminURL of the AuthorizationServer right?';

const adminError = z.looseObject({ errorMessage: z.string().min(1) });

/** The Admin REST API has its own word for an error, or OAuth's. */
export function keycloakSays(json: unknown): string {
  const own = adminError.safeParse(json);
  return own.success ? ` It says: ${quotable(own.data.errorMessage).replace(/\.$/, '')}.` : serverSays(json);
}

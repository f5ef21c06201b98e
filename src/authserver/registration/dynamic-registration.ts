import { z } from 'zod';
import { asOperatorError, OperatorError, REFUSED_AGAIN_MS } from '../../errors.ts';
import { answerInvalid, callServer } from '../connection/call.ts';
import { dynamicRegistrationCapabilities } from '../capabilities.ts';
import { updateBody } from './client-metadata.ts';
import type { ServerConnection } from '../connection/connection.ts';
import type { ClientMetadata, Registration, RegistrationDriver, RegistrationHandle } from '../driver.ts';
import type { ServerAnswer } from '../connection/http.ts';
import { InitialAccessToken } from './initial-access-token.ts';
import { repeats, serverSays, WITHHELD } from '../connection/server-text.ts';

/** RFC 6749 Appendix A.1: visible ASCII and spaces; status and the Secret hold it. */
const clientId = z
  .string()
  .min(1)
  .max(1024)
  .regex(/^[\x20-\x7e]+$/);

/** RFC 7591 §3.2.1, RFC 7592 §3. The token goes into a header: RFC 6750 §2.1. */
const answerSchema = z.looseObject({
  client_id: clientId,
  registration_access_token: z
    .string()
    .max(16_384)
    .regex(/^[A-Za-z0-9\-._~+/]+=*$/)
    .nullish(),
  registration_client_uri: z.string().max(2048).nullish(),
});

/** It is kept in a Secret, with keys and certificates besides: a mebibyte in all. */
const largestMetadata = 131_072;

/** RFC 7591 and RFC 7592. */
export const dynamicRegistration: RegistrationDriver = {
  capabilities: dynamicRegistrationCapabilities,

  async create(access, metadata) {
    const { connection: server, signal } = access;
    const { initialAccessToken: token, softwareStatement } = await access.credentials();
    const initialAccess = new InitialAccessToken(server, token);
    initialAccess.assertUsable(Date.now());
    const action = 'register the client';
    const url = registrationEndpoint(server);
    // RFC 7591 §2.3. A server answers it unmodified, and an update sends on what it answered.
    const body = softwareStatement === undefined ? metadata : { ...metadata, software_statement: softwareStatement };
    const answer = await callServer(
      server,
      {
        operation: 'register',
        action,
        method: 'POST',
        url,
        headers: jsonHeaders(token),
        body: JSON.stringify(body),
      },
      signal,
    ).catch((thrown: unknown) => {
      if (asOperatorError(thrown).code === 'AnswerLost') initialAccess.used();
      throw thrown;
    });
    const spent = isUnauthorized(answer) ? initialAccess.refused(Date.now()) : undefined;
    if (spent !== undefined) throw spent;
    if (answer.status !== 201 && answer.status !== 200) {
      throw refusal(
        action,
        answer,
        [token, softwareStatement],
        'Ask the platform team to check the Secret of dynamicRegistration.initialAccessTokenSecretRef in AuthorizationServer ' +
          `"${server.name}": a token may have expired, or be good for one registration alone.`,
      );
    }
    initialAccess.used();
    const registration = readRegistration(action, answer, token);
    if (registration.registrationClientUri !== undefined) {
      managementUri(server, registration.registrationClientUri);
    }
    return registration;
  },

  async read({ connection: server, signal }, handle) {
    const action = 'read the registration';
    const { url, token } = management(server, handle, readUnsupported);
    const answer = await callServer(
      server,
      { operation: 'read', action, method: 'GET', url, headers: headersWith(token) },
      signal,
    );
    if (hasNoMethod(answer)) throw readUnsupported(`it answered ${answer.status}`);
    if (answer.status !== 200) throw refusal(action, answer, [token], clientGone);
    return continued(server, action, answer, handle);
  },

  async update({ connection: server, signal }, handle, metadata) {
    const action = 'update the registration';
    const { url, token } = management(server, handle, updateUnsupported);
    const body = JSON.stringify({ ...updateBody(handle.lastAnswer, metadata), client_id: handle.clientId });
    const answer = await callServer(
      server,
      { operation: 'update', action, method: 'PUT', url, headers: jsonHeaders(token), body },
      signal,
    );
    if (hasNoMethod(answer)) throw updateUnsupported(`it answered ${answer.status}`);
    if (answer.status !== 200) throw refusal(action, answer, [token], clientGone);
    return continued(server, action, answer, handle);
  },

  async remove(access, handle) {
    const { connection: server, signal } = access;
    const action = 'delete the registration';
    const { url, token } = management(server, handle, deletionUnsupported);
    const answer = await callServer(
      server,
      { operation: 'remove', action, method: 'DELETE', url, headers: headersWith(token) },
      signal,
    );
    // RFC 7592 §2.3 wants 204; 200 is seen too. A web page is a gateway's, and says nothing of the client.
    if (answer.status === 204 || (answer.status === 200 && (answer.empty || answer.json !== undefined))) return;
    if (answer.status === 200) throw answerInvalid(action, 'it is no JSON, a web page perhaps');
    if (hasNoMethod(answer)) throw deletionUnsupported('it answered 405');
    if (answer.status === 404) await dynamicRegistration.read(access, handle).catch(asUnauthorized);
    if (answer.status === 404) throw deletionUnsupported('it answered 404 for a client that it shows');
    throw refusal(action, answer, [token], clientGone);
  },
};

/** RFC 7592 knows no 404: a server that answers it to a read as well says what others say by 401. */
function asUnauthorized(thrown: unknown): never {
  const { code, message } = asOperatorError(thrown);
  if (code !== 'RegistrationRefused') throw thrown;
  throw new OperatorError('RegistrationUnauthorized', message, { cause: thrown });
}

/** RFC 7592 §2.1: a server answers 401 for a token that it does not know, and for a client that is gone. */
const clientGone =
  'The registration access token was replaced, or the client was deleted at the server: look for it there.';

function headersWith(token: string | undefined): Record<string, string> {
  return { accept: 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) };
}

function jsonHeaders(token: string | undefined): Record<string, string> {
  return { ...headersWith(token), 'content-type': 'application/json' };
}

function registrationEndpoint(server: ServerConnection): string {
  const url = server.endpoints?.registrationEndpoint;
  if (url !== undefined) return url;
  throw new OperatorError(
    'RegistrationUnsupported',
    'The authorization server publishes no registration_endpoint: enable dynamic registration there.',
    { retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS } },
  );
}

/** @throws {OperatorError} `AnswerInvalid` unless it is on the registration endpoint's origin: the token goes nowhere else */
function managementUri(server: ServerConnection, uri: string): string {
  const { origin } = new URL(registrationEndpoint(server));
  const url = URL.canParse(uri) ? new URL(uri) : undefined;
  if (url?.origin === origin && `${url.username}${url.password}${url.hash}` === '') return url.href;
  throw answerInvalid(
    'register the client',
    `its registration_client_uri is not on ${origin}, so that the registration cannot be managed: correct the server's ` +
      'public address, and delete the client that it made',
  );
}

/** RFC 7592 §3: a server that offers management answers a registration with both. */
function management(
  server: ServerConnection,
  { registrationClientUri: uri, registrationAccessToken: token }: RegistrationHandle,
  unsupported: (why: string) => OperatorError,
): { url: string; token: string } {
  if (uri === undefined) throw unsupported('it gave no registration_client_uri');
  if (token === undefined) throw unsupported('it gave no registration access token');
  return { url: managementUri(server, uri), token };
}

const isUnauthorized = ({ status }: ServerAnswer): boolean => status === 401 || status === 403;

/** RFC 7592 §2.3 asks for it. */
const hasNoMethod = ({ status }: ServerAnswer): boolean => status === 405;

/** Now and then all the same: servers learn. */
const unsupportedFor = { retry: { class: 'after', milliseconds: 3_600_000 } } as const;

function readUnsupported(why: string): OperatorError {
  return new OperatorError(
    'ReadUnsupported',
    `The authorization server does not show a registration (RFC 7592 §2.1): ${why}.`,
    unsupportedFor,
  );
}

function updateUnsupported(why: string): OperatorError {
  return new OperatorError(
    'UpdateUnsupported',
    `The authorization server does not change a registration (RFC 7592 §2.2): ${why}. Undo the change; or create a second ` +
      'OAuthClient with it, switch the application to its Secret, then delete this one.',
    unsupportedFor,
  );
}

function deletionUnsupported(why: string): OperatorError {
  return new OperatorError(
    'DeletionUnsupported',
    `The authorization server does not delete a registration (RFC 7592 §2.3): ${why}.`,
    unsupportedFor,
  );
}

function readRegistration(action: string, answer: ServerAnswer, sent: string | undefined): Registration {
  const parsed = answerSchema.safeParse(answer.json);
  if (!parsed.success) {
    const member = parsed.error.issues[0]?.path[0];
    throw answerInvalid(
      action,
      typeof member === 'string' ? `its ${member} is missing or malformed` : 'it is no JSON object',
    );
  }
  const { registration_access_token: token, ...metadata } = parsed.data;
  if (JSON.stringify(metadata).length > largestMetadata) {
    throw answerInvalid(action, 'it is larger than 128 KiB, which the operator has no room to keep');
  }
  return {
    clientId: parsed.data.client_id,
    registrationClientUri: parsed.data.registration_client_uri ?? undefined,
    registrationAccessToken: token ?? undefined,
    metadata: withoutTokens(metadata, [sent, token ?? undefined]),
  };
}

/** Metadata is compared, and what differs is shown. The management URI is not, and may carry its token. */
function withoutTokens(metadata: ClientMetadata, tokens: readonly (string | undefined)[]): ClientMetadata {
  return Object.fromEntries(
    Object.entries(metadata).map(([member, value]) => [
      member,
      member !== 'registration_client_uri' && repeats(value, tokens) ? WITHHELD : value,
    ]),
  );
}

/**
 * An answer about a registration that we hold. A new management URI elsewhere is left out (the old one stays in use): an
 * error would lose the new registration access token that came with it.
 */
function continued(
  server: ServerConnection,
  action: string,
  answer: ServerAnswer,
  handle: RegistrationHandle,
): Registration {
  const registration = readRegistration(action, answer, handle.registrationAccessToken);
  if (registration.clientId !== handle.clientId) {
    throw answerInvalid(action, 'it speaks of another client_id');
  }
  const { registrationClientUri: uri, ...rest } = registration;
  if (uri === undefined) return rest;
  const { origin } = new URL(registrationEndpoint(server));
  return URL.canParse(uri) && new URL(uri).origin === origin ? registration : rest;
}

function refusal(
  action: string,
  answer: ServerAnswer,
  secrets: readonly (string | undefined)[],
  advice: string,
): OperatorError {
  const says = serverSays(answer.json, secrets);
  if (answer.status >= 200 && answer.status <= 299) {
    return answerInvalid(action, `it has the status ${answer.status}`);
  }
  if (isUnauthorized(answer)) {
    return new OperatorError(
      'RegistrationUnauthorized',
      `The authorization server did not let us ${action} (${answer.status}).${says} ${advice}`,
      { retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS } },
    );
  }
  return new OperatorError(
    'RegistrationRefused',
    `The authorization server refused to ${action} (${answer.status}).${says} Change the OAuthClient or what the server allows.`,
    { retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS } },
  );
}

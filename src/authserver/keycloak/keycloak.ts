import { z } from 'zod';
import { OperatorError, asOperatorError, REFUSED_AGAIN_MS } from '../../errors.ts';
import { answerInvalid } from '../connection/call.ts';
import { keycloakCapabilities } from '../capabilities.ts';
import type { Registration, RegistrationDriver, RegistrationHandle, ServerAccess } from '../driver.ts';
import type { ServerAnswer } from '../connection/http.ts';
import { ADMIN_URL, callAdmin, keycloakSays, roleMissing } from './keycloak-admin.ts';
import {
  type ClientRepresentation,
  clientRepresentation,
  initialMembers,
  metadataOf,
  ownerOf,
  ownMembers,
  type OwnMembers,
} from './keycloak-representation.ts';

/**
 * Keycloak's Admin REST API. It knows a client by an id of its own, which every answer names; a client is ours where it
 * carries our owner, whatever its client_id.
 */
export const keycloak: RegistrationDriver = {
  capabilities: keycloakCapabilities,

  async create(access, metadata) {
    const own = ownMembers(metadata);
    const action = 'register the client';
    const defaults = await list(access, '/default-default-client-scopes', action, scopes);
    const body = {
      ...own.representation,
      attributes: own.attributes,
      ...initialMembers(
        defaults.map(({ name }) => name),
        own.scopes,
      ),
    };
    const answer = await callAdmin(access, { operation: 'register', action, method: 'POST', path: '/clients', body });
    if (answer.status === 409) throw taken(own.clientId);
    if (answer.status !== 201) throw refusal(action, answer);
    return registrationOf(await done(action, byClientId(access, own.clientId, action)), metadata['scope']);
  },

  async read(access, handle) {
    return registrationOf(await byHandle(access, handle, 'read the client'), handle.lastAnswer['scope']);
  },

  async update(access, handle, metadata) {
    const own = ownMembers(metadata);
    const action = 'update the client';
    const before = await byHandle(access, handle, action);
    const owner = ownerOf(before);
    if (owner !== undefined && owner !== own.owner) throw taken(own.clientId);
    const path = pathOf(before);
    // A secret that it keeps of before is neither ours to see nor to send.
    const { access: _rights, secret: _secret, ...kept } = before;
    const body = { ...kept, ...own.representation, attributes: { ...before.attributes, ...own.attributes } };
    const answer = await callAdmin(access, { operation: 'update', action, method: 'PUT', path, body });
    if (answer.status === 409) throw taken(own.clientId);
    if (answer.status !== 204 && answer.status !== 200) throw refusal(action, answer);
    const after = done(
      action,
      updateScopes(access, before, own, action).then(() => byId(access, before.id, action)),
    );
    return registrationOf(await after, metadata['scope']);
  },

  async remove(access, handle) {
    const action = 'delete the client';
    const found = await byHandle(access, handle, action).catch((error: unknown) => {
      if (asOperatorError(error).code === 'RegistrationNotFound') return undefined;
      throw error;
    });
    if (found === undefined) return;
    const [owner, ours] = [ownerOf(found), handle.lastAnswer['certbound_owner']];
    if (owner !== undefined && owner !== ours) throw taken(handle.clientId);
    const answer = await callAdmin(access, { operation: 'remove', action, method: 'DELETE', path: pathOf(found) });
    if (answer.status !== 204 && answer.status !== 200 && answer.status !== 404) throw refusal(action, answer);
  },

  /** Every client that Keycloak shows says what we may do with it. */
  async authorize(access) {
    const { management } = await access.credentials();
    const own = await list(access, byName(management?.clientId ?? ''), MANAGE, rights);
    // A version that does not say is no reason to do nothing.
    if (own.some((client) => client.access?.manage === false)) throw roleMissing(access, MANAGE, '');
  },

  async find(access, clientId) {
    const found = await byClientId(access, clientId, 'look for the client');
    return found && registrationOf(found, undefined);
  },
};

const scopes = z.array(z.looseObject({ id: z.string().max(255), name: z.string().max(255) })).max(10_000);
const clients = z.array(clientRepresentation).max(1000);
const rights = z
  .array(z.looseObject({ access: z.looseObject({ manage: z.boolean().optional() }).nullish() }))
  .max(1000);

const MANAGE = 'manage clients';
const byName = (clientId: string) => `/clients?clientId=${encodeURIComponent(clientId)}`;

const pathOf = ({ id }: { id: string }) => `/clients/${encodeURIComponent(id)}`;

async function list<T>(access: ServerAccess, path: string, action: string, schema: z.ZodType<T>): Promise<T> {
  const answer = await callAdmin(access, { operation: 'read', action, method: 'GET', path });
  if (answer.status !== 200) throw refusal(action, answer);
  const read = schema.safeParse(answer.json);
  if (!read.success) throw answerInvalid(action, 'it is not what the Admin REST API of Keycloak answers');
  return read.data;
}

async function byClientId(
  access: ServerAccess,
  clientId: string,
  action: string,
): Promise<ClientRepresentation | undefined> {
  const found = await list(access, byName(clientId), action, clients);
  return found.find((client) => client.clientId === clientId);
}

/** Undefined where Keycloak has none of that id, or is not there behind this address. */
async function byId(access: ServerAccess, id: string, action: string): Promise<ClientRepresentation | undefined> {
  const answer = await callAdmin(access, { operation: 'read', action, method: 'GET', path: pathOf({ id }) });
  if (answer.status === 404) return undefined;
  if (answer.status !== 200) throw refusal(action, answer);
  const read = clientRepresentation.safeParse(answer.json);
  if (!read.success) throw answerInvalid(action, 'it is not what the Admin REST API of Keycloak answers');
  return read.data;
}

/**
 * Our client, also where somebody imported it anew, under another id of Keycloak's.
 * @throws {OperatorError} `RegistrationNotFound` when Keycloak lists no client of ours: it is gone for sure
 */
async function byHandle(
  access: ServerAccess,
  { clientId, lastAnswer }: RegistrationHandle,
  action: string,
): Promise<ClientRepresentation> {
  const { id, certbound_owner: owner } = lastAnswer;
  const known = typeof id === 'string' ? await byId(access, id, action) : undefined;
  if (known !== undefined) return known;
  const found = await byClientId(access, clientId, action);
  if (found !== undefined && owner !== undefined && ownerOf(found) === owner) return found;
  throw new OperatorError(
    'RegistrationNotFound',
    `Keycloak has no client "${clientId}" of this OAuthClient any more: somebody deleted it.`,
    { retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS } },
  );
}

/** The Admin REST API ignores the scopes in an update; each has a request of its own. */
async function updateScopes(
  access: ServerAccess,
  { id, defaultClientScopes, optionalClientScopes }: ClientRepresentation,
  { scopes: wanted }: OwnMembers,
  action: string,
): Promise<void> {
  const [byDefault, optional] = [defaultClientScopes ?? [], optionalClientScopes ?? []];
  const added = wanted.filter((scope) => !optional.includes(scope));
  const removed = optional.filter((scope) => !wanted.includes(scope));
  if (added.length + removed.length === 0) return;
  const ids = new Map((await list(access, '/client-scopes', action, scopes)).map((scope) => [scope.name, scope.id]));
  const change = async (method: 'PUT' | 'DELETE', kind: 'default' | 'optional', name: string) => {
    const scope = ids.get(name);
    // The realm has no such scope: what is registered then differs from what was asked, which is said.
    if (scope === undefined) return;
    const path = `${pathOf({ id })}/${kind}-client-scopes/${encodeURIComponent(scope)}`;
    const answer = await callAdmin(access, { operation: 'update', action, method, path });
    if (answer.status !== 204 && answer.status !== 200 && answer.status !== 404) throw refusal(action, answer);
  };
  for (const scope of added) {
    if (byDefault.includes(scope)) await change('DELETE', 'default', scope);
    await change('PUT', 'optional', scope);
  }
  for (const scope of removed) await change('DELETE', 'optional', scope);
}

/** The write was carried out: that nobody can say what came of it is a lost answer. */
async function done(action: string, reading: Promise<ClientRepresentation | undefined>): Promise<ClientRepresentation> {
  const client = await reading.catch((error: unknown) => {
    const { code, message } = asOperatorError(error);
    if (code === 'Cancelled') throw error;
    throw new OperatorError(
      'AnswerLost',
      `Keycloak was asked to ${action}, and what came of it could not be read. ${message}`,
    );
  });
  if (client !== undefined) return client;
  throw new OperatorError('AnswerLost', `Keycloak was asked to ${action}, and has no such client afterwards.`);
}

function registrationOf(client: ClientRepresentation, asked: unknown): Registration {
  return { clientId: client.clientId, metadata: metadataOf(client, asked) };
}

function taken(clientId: string): OperatorError {
  return new OperatorError(
    'ClientIdTaken',
    `The realm has a client "${clientId}" already, which is not this OAuthClient's: it is left as it is. Ask the platform team to ` +
      'rename or delete it there, or to list it for this OAuthClient in spec.clients.adoptable.',
    { retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS } },
  );
}

function refusal(action: string, { status, json }: ServerAnswer): OperatorError {
  if (status >= 200 && status <= 299) return answerInvalid(action, `it has the status ${status}`);
  const advice = status === 404 ? ADMIN_URL : 'Change the OAuthClient or what the realm allows.';
  return new OperatorError(
    'RegistrationRefused',
    `Keycloak refused to ${action} (${status}).${keycloakSays(json)} ${advice}`,
    { retry: { class: 'after', milliseconds: REFUSED_AGAIN_MS } },
  );
}

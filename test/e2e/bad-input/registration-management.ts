/** Servers that register clients and offer no more of RFC 7592 than to look at them, or not even that. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { oauthClients } from '../../../src/api/resources.ts';
import { events } from '../../../src/kube/resource.ts';
import { readRecord } from '../../../src/oauthclient/record.ts';
import { credentialsOf, requestToken } from '../../support/application.ts';
import type { Fault } from '../../support/fault.ts';
import { boundTo } from '../../support/oauth-client.ts';
import { waitFor } from '../../support/wait-for.ts';
import { GENEROUS_MS, type Front, type Spec, type Subject, TEAM, type World } from './world.ts';

const withoutMethods: Fault = ({ method, route }) =>
  route === '/reg/:id' && method !== 'GET' ? { kind: 'respond', status: 405, body: '' } : undefined;
/** As one whose framework knows no such route. */
const withoutRoutes: Fault = ({ method, route }) =>
  route === '/reg/:id' && method !== 'GET' ? { kind: 'respond', status: 404, body: '' } : undefined;
const writes = ({ server }: Front) =>
  [...server.requests()]
    .filter(([name]) => name === 'PUT /reg/:id' || name === 'DELETE /reg/:id')
    .map(([name]) => name);

export function registrationManagementTests(world: () => World): void {
  const kube = () => world().kube;
  const ref = ({ name }: Subject) => ({ namespace: TEAM, name });

  /** Deleted, and gone, with an event that names the client that stays at the server. */
  async function leavesBehind(subject: Subject): Promise<void> {
    const [{ client_id: clientId } = {}] = world().registrations(subject);
    await kube().delete(oauthClients, ref(subject));
    await waitFor(async () => (await kube().get(oauthClients, ref(subject))) === undefined, GENEROUS_MS);
    assert.equal(world().registrations(subject).length, 1);
    assert.equal(await world().secret(subject), undefined);
    assert.equal(await world().record(subject), undefined, 'its key was kept');
    const notes = async () =>
      (await kube().list(events, { namespace: TEAM })).items
        .filter((event) => event['reason'] === 'Orphaned' && Object(event['regarding']).name === subject.name)
        .map(({ note }) => String(note));
    // Events are sent at a pace, and many are waiting.
    await waitFor(async () => (await notes()).length > 0, GENEROUS_MS);
    const [note = '', ...more] = await notes();
    assert.ok(note.includes(String(clientId)), note);
    assert.match(note, /the server deletes no registration, RFC 7592 §2\.3: delete it there/);
    assert.deepEqual(more, []);
  }

  /** Ready as registered before, and told that the change is not in effect; until it is undone. */
  async function staysAsItWas(subject: Subject, reason: string, says: RegExp): Promise<void> {
    await world().client(subject, { scope: 'accounts:read', clientName: 'another name' });
    await waitFor(async () => (await world().condition(subject, 'Registered'))?.reason === reason, GENEROUS_MS);
    const told = await world().condition(subject, 'Registered');
    assert.match(told?.message ?? '', says);
    assert.equal((await world().condition(subject))?.status, 'True');
    assert.equal((await world().condition(subject, 'Stalled'))?.reason, reason);
    await world().client(subject, { scope: 'accounts:read' });
    await waitFor(async () => (await world().condition(subject, 'Registered'))?.status === 'True', GENEROUS_MS);
    await waitFor(async () => (await world().condition(subject, 'Stalled')) === undefined, GENEROUS_MS);
  }

  const unmanaged: [string, Fault, Spec, string[], RegExp][] = [
    [
      'refuses',
      withoutMethods,
      {},
      ['PUT /reg/:id', 'DELETE /reg/:id'],
      /it answered 405\. Undo the change; or create a second/,
    ],
    [
      'is known to refuse',
      withoutMethods,
      { configurationMethods: ['GET'] },
      [],
      /changes no registration .* of client_name it knows the old value\. Undo the change; or create a second/,
    ],
  ];
  for (const [what, fault, dynamicRegistration, asked, says] of unmanaged) {
    test(`a server that ${what} updates and deletions`, async () => {
      const subject = { name: `unmanaged-${asked.length}` };
      const front = await world().front({ fault });
      await world().server(subject.name, { ...world().at(front), dynamicRegistration });
      await world().client(subject, { scope: 'accounts:read' });
      await world().ready(subject);
      await staysAsItWas(subject, 'UpdateUnsupported', says);
      await leavesBehind(subject);
      assert.deepEqual(writes(front), asked);
    });
  }

  test('a server that does not find the deletion of a client that it shows', async () => {
    const subject = { name: 'unmanaged-route' };
    const front = await world().front({ fault: withoutRoutes });
    await world().server(subject.name, world().at(front));
    await world().client(subject);
    await world().ready(subject);
    await leavesBehind(subject);
  });

  test('a grant that is withdrawn at a server that deletes nothing: keys and Secret go, and what stays is named, for good', async () => {
    const subject = { name: 'unmanaged-withdrawn' };
    const front = await world().front({ fault: withoutMethods });
    const granting = (...scopes: string[]) =>
      world().server(subject.name, { ...world().at(front), clients: { scopes, withdrawalGracePeriod: '5s' } });
    await granting('accounts:read');
    await world().client(subject, { scope: 'accounts:read' });
    await world().ready(subject);
    const [{ client_id: clientId } = {}] = world().registrations(subject);
    await granting('accounts:write');
    await waitFor(async () => (await world().secret(subject)) === undefined, GENEROUS_MS);
    await waitFor(async () => {
      const orphaned = (await kube().list(events, { namespace: TEAM })).items.filter(
        ({ reason, regarding }) => reason === 'Orphaned' && Object(regarding).name === subject.name,
      );
      return orphaned.some(({ note }) => String(note).includes(String(clientId)));
    }, GENEROUS_MS);
    assert.equal(world().registrations(subject).length, 1);
    const named = `Left behind at ${front.issuer}, which deletes no registration (RFC 7592 §2.3): client ${String(clientId)} since `;
    await waitFor(async () => (await world().condition(subject))?.message.includes(named) === true, GENEROUS_MS);
    const told = await world().condition(subject, 'Registered');
    assert.equal(told?.reason, 'NotGranted');
    assert.doesNotMatch(told?.message ?? '', /deregistered/);
    await waitFor(async () => {
      const record = readRecord((await world().record(subject)) ?? assert.fail('the record is gone'));
      return Object.keys(record?.material.certificates ?? {}).length === 0;
    }, GENEROUS_MS);

    await granting('accounts:read');
    await world().ready(subject);
    assert.ok((await world().condition(subject, 'Registered'))?.message.includes(named));
    const secret = (await world().secret(subject)) ?? assert.fail('nothing is published');
    const credentials = credentialsOf(secret);
    assert.equal(await boundTo(credentials), credentials.x5tS256);
    const subjects = world()
      .registrations(subject)
      .map((registration) => String(registration['tls_client_auth_subject_dn']));
    assert.equal(new Set(subjects).size, 2, subjects.join(' | '));
    // What it was granted before is nothing that its certificate opens.
    const asBefore = await requestToken({ ...credentials, clientId: String(clientId) });
    assert.deepEqual([asBefore.status, asBefore.json['error']], [401, 'invalid_client']);
  });

  test('a server that gives nothing to manage a registration with', async () => {
    const subject = { name: 'unmanageable' };
    const front = await world().front({
      fault: ({ method }) =>
        method !== 'POST'
          ? undefined
          : {
              kind: 'rewrite',
              body: ({ registration_client_uri: _uri, registration_access_token: _token, ...rest }) => rest,
            },
    });
    await world().server(subject.name, world().at(front));
    await world().client(subject, { scope: 'accounts:read' });
    await world().ready(subject);
    await staysAsItWas(subject, 'UpdateUnsupported', /it gave no registration_client_uri\. Undo the change/);
    await leavesBehind(subject);
    assert.deepEqual(writes(front), []);
  });

  test('a server that registers something else and deletes nothing: what stays there is named', async () => {
    const subject = { name: 'unmanaged-echo' };
    const front = await world().front({
      fault: (request) =>
        request.method === 'POST' && request.route === '/reg'
          ? { kind: 'rewrite', body: (body) => ({ ...body, token_endpoint_auth_method: 'client_secret_basic' }) }
          : withoutMethods(request),
    });
    await world().server(subject.name, world().at(front));
    const client = await world().client(subject);
    await world().becomes(subject, 'False', 'MetadataRejected');
    const [{ client_id: clientId } = {}] = world().registrations(subject);
    await waitFor(
      async () =>
        (await kube().list(events, { namespace: TEAM })).items.some(
          ({ reason, regarding, note }) =>
            reason === 'Orphaned' &&
            Object(regarding).uid === client.metadata.uid &&
            String(note).includes(String(clientId)),
        ),
      GENEROUS_MS,
    );
    const named = `Left behind at ${front.issuer}, which deletes no registration (RFC 7592 §2.3): client ${String(clientId)} since `;
    assert.ok((await world().condition(subject))?.message.includes(named));
    assert.equal(await world().secret(subject), undefined);
    assert.equal(front.server.requests().get('POST /reg'), 1);
  });

  test('what the platform has every client registered with is registered, changed and taken back', async () => {
    const subject = { name: 'platform-metadata' };
    const front = await world().front();
    const server = (...metadata: Spec[]) =>
      world().server(subject.name, { ...world().at(front), dynamicRegistration: { metadata } });
    const holds = async (expected: Spec) => {
      const members = ['tos_uri', 'contacts'];
      const found = () => {
        const [registration = {}] = world().registrations(subject);
        return Object.fromEntries(
          members.flatMap((name) => (name in registration ? [[name, registration[name]]] : [])),
        );
      };
      await waitFor(() => JSON.stringify(found()) === JSON.stringify(expected), GENEROUS_MS);
    };
    const tos = (value: string) => ({ name: 'tos_uri', value });
    const contacts = { name: 'contacts', values: ['platform@example.test'] };
    await server(tos('https://example.test/1'), contacts);
    await world().client(subject);
    await world().ready(subject);
    await holds({ tos_uri: 'https://example.test/1', contacts: contacts.values });
    await server(tos('https://example.test/2'), contacts);
    await holds({ tos_uri: 'https://example.test/2', contacts: contacts.values });
    await server(contacts);
    await holds({ contacts: contacts.values });
    await world().ready(subject);
    assert.equal(world().registrations(subject).length, 1);
  });
}

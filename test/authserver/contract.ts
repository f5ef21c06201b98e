/** What every registration driver must do, against a real server; run once a driver. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  changedMembers,
  clientMetadata,
  defaultClientId,
  type DesiredExtensions,
  echoViolations,
  ownershipMarker,
} from '../../src/authserver/registration/client-metadata.ts';
import type { ServerConnection } from '../../src/authserver/connection/connection.ts';
import type { ServerCredentials } from '../../src/authserver/credentials.ts';
import type {
  ClientMetadata,
  Registration,
  RegistrationDriver,
  RegistrationHandle,
} from '../../src/authserver/driver.ts';
import { effectiveIdentity } from '../../src/authserver/identity.ts';
import { OperatorError } from '../../src/errors.ts';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import { certificateJwk } from '../../src/x509/certificate-jwk.ts';
import { createClientCertificate } from '../support/client-certificate.ts';
import { access } from './servers.ts';

export interface Subject {
  connection: ServerConnection;
  credentials: ServerCredentials;
  /** Those that the server does not know. */
  strange: ServerCredentials;
  /** client_id of every registered client, from the server's own store. */
  clients: () => string[] | Promise<string[]>;
  /** The server acts, and its answer is lost. */
  loseAnswers: (lose: boolean) => void;
  /** Somebody else deletes the client at the server. */
  forget: (clientId: string) => void | Promise<void>;
  /** Metadata that the server itself refuses, and how it says so. */
  refused: { metadata: ClientMetadata; says: RegExp };
}

let count = 0;

/** Metadata that no other test asks for. */
export async function metadataOf(
  method: AuthMethod,
  changed: { scope?: string; keys?: number; extensions?: Omit<DesiredExtensions, 'clientId' | 'ownerUid'> } = {},
): Promise<ClientMetadata> {
  const name = `client-${++count}`;
  const effective = effectiveIdentity(undefined, undefined, { namespace: 'test', name, clusterId: 'eu1' });
  assert.ok('identity' in effective);
  const certificates = await Promise.all(
    Array.from({ length: changed.keys ?? 1 }, () => createClientCertificate({ subject: effective.identity.value })),
  );
  return clientMetadata({
    method,
    identity: effective.identity,
    keys: await Promise.all(certificates.map(({ certPem }) => certificateJwk(certPem))),
    keySetUri: undefined,
    clientName: undefined,
    marker: ownershipMarker('eu1', 'test', name),
    grantTypes: ['client_credentials'],
    responseTypes: [],
    redirectURIs: [],
    scope: changed.scope ?? 'accounts:read',
    extensions: changed.extensions && {
      ...changed.extensions,
      clientId: defaultClientId('eu1', 'test', name),
      ownerUid: `uid-of-${name}`,
    },
  });
}

export function handleOf(registration: Registration, before?: RegistrationHandle): RegistrationHandle {
  return {
    clientId: registration.clientId,
    registrationClientUri: registration.registrationClientUri ?? before?.registrationClientUri,
    registrationAccessToken: registration.registrationAccessToken ?? before?.registrationAccessToken,
    lastAnswer: registration.metadata,
  };
}

/** Of the OperatorError that it fails with; `none` where it does not. */
export async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof OperatorError, String(error));
    return error.code;
  }
  return 'none';
}

export function driverContract(driver: RegistrationDriver, start: () => Promise<Subject>): void {
  const { capabilities } = driver;
  const extensions = capabilities.keepsExtensions ? { caSubject: 'CN=Example Client CA,O=Example' } : undefined;
  const askedFor = (method: AuthMethod = 'tls_client_auth') => metadataOf(method, extensions && { extensions });
  /** Without a credential that sees for sure what is there, gone and not allowed are one answer (RFC 7592 §2.1). */
  const gone = capabilities.managedBy === 'credential' ? 'RegistrationNotFound' : 'RegistrationUnauthorized';
  const goneAlready = capabilities.managedBy === 'credential' ? 'none' : 'RegistrationUnauthorized';

  for (const method of capabilities.methods) {
    test(`${method}: created, read, updated, removed`, async () => {
      const { connection, credentials, clients } = await start();
      const asked = await askedFor(method);
      const created = await driver.create(access(connection, credentials), asked);
      assert.ok((await clients()).includes(created.clientId));
      assert.deepEqual(echoViolations(asked, created.metadata), []);
      assert.equal(created.metadata['registration_access_token'], undefined);

      let handle = handleOf(created);
      const read = await driver.read(access(connection, credentials), handle);
      assert.deepEqual(changedMembers(asked, read.metadata), []);
      handle = handleOf(read, handle);

      const wanted = { ...asked, scope: 'accounts:read accounts:write' };
      assert.deepEqual(changedMembers(wanted, handle.lastAnswer), ['scope']);
      const updated = await driver.update(access(connection, credentials), handle, wanted);
      assert.equal(updated.clientId, created.clientId);
      assert.deepEqual(echoViolations(wanted, updated.metadata), []);
      handle = handleOf(updated, handle);
      // With what an update answered the next one works too: no token was lost.
      handle = handleOf(await driver.update(access(connection, credentials), handle, asked), handle);
      assert.deepEqual(changedMembers(asked, handle.lastAnswer), []);

      await driver.remove(access(connection, credentials), handle);
      assert.ok(!(await clients()).includes(created.clientId));
      assert.equal(await code(driver.read(access(connection, credentials), handle)), gone);
      assert.equal(await code(driver.remove(access(connection, credentials), handle)), goneAlready);
    });
  }

  test('keys join and leave', { skip: !capabilities.methods.includes('self_signed_tls_client_auth') }, async () => {
    const { connection, credentials } = await start();
    const [two, one] = [
      await metadataOf('self_signed_tls_client_auth', { keys: 2 }),
      await metadataOf('self_signed_tls_client_auth'),
    ];
    const wanted = { ...two, jwks: one['jwks'] };
    let handle = handleOf(await driver.create(access(connection, credentials), two));
    assert.deepEqual(changedMembers(two, handle.lastAnswer), []);
    assert.deepEqual(changedMembers(wanted, handle.lastAnswer), ['jwks']);
    handle = handleOf(await driver.update(access(connection, credentials), handle, wanted), handle);
    assert.deepEqual(changedMembers(wanted, handle.lastAnswer), []);
    assert.deepEqual(changedMembers(two, handle.lastAnswer), ['jwks']);
    await driver.remove(access(connection, credentials), handle);
  });

  test('what is cleared is cleared at the server', async () => {
    const { connection, credentials } = await start();
    const asked = await askedFor();
    let handle = handleOf(await driver.create(access(connection, credentials), asked));
    const { scope: _scope, ...without } = asked;
    handle = handleOf(await driver.update(access(connection, credentials), handle, without), handle);
    assert.equal(handle.lastAnswer['scope'], undefined);
    await driver.remove(access(connection, credentials), handle);
  });

  test('what the server does not allow is refused in its own words, and leaves nothing', async () => {
    const { connection, credentials, clients, refused } = await start();
    const before = await clients();
    const asked = { ...(await askedFor()), ...refused.metadata };
    await assert.rejects(
      driver.create(access(connection, credentials), asked),
      (error) =>
        error instanceof OperatorError && error.code === 'RegistrationRefused' && refused.says.test(error.message),
    );
    assert.deepEqual(await clients(), before);
  });

  test('a stranger registers nothing', async () => {
    const { connection, strange, clients } = await start();
    const before = await clients();
    assert.equal(await code(driver.create(access(connection, strange), await askedFor())), 'RegistrationUnauthorized');
    assert.deepEqual(await clients(), before);
  });

  test('a lost answer is told from a call that was not carried out', async () => {
    const { connection, credentials, clients, loseAnswers } = await start();
    const before = await clients();
    const asked = await askedFor();
    const lost = await askedFor();
    const handle = handleOf(await driver.create(access(connection, credentials), asked));
    loseAnswers(true);
    try {
      assert.equal(await code(driver.create(access(connection, credentials), lost)), 'AnswerLost');
      assert.equal(
        await code(driver.update(access(connection, credentials), handle, { ...asked, scope: 'accounts:write' })),
        'AnswerLost',
      );
    } finally {
      loseAnswers(false);
    }
    assert.equal((await clients()).length, before.length + 2, 'the server did act');
    if (capabilities.clientIdFrom !== 'us') return;
    const found = await driver.find?.(access(connection, credentials), String(lost['client_id']));
    assert.deepEqual(found && changedMembers(lost, found.metadata), [], 'and what it made is found');
  });

  test('who chooses client ids finds clients by them, and nobody else does', async () => {
    assert.equal(driver.find !== undefined, capabilities.clientIdFrom === 'us');
    if (driver.find === undefined) return;
    const { connection, credentials } = await start();
    const [asked, other] = [await askedFor(), await askedFor()];
    const clientId = String(asked['client_id']);
    assert.equal(await driver.find(access(connection, credentials), clientId), undefined);
    const created = await driver.create(access(connection, credentials), asked);
    assert.equal(created.clientId, clientId);
    const found = await driver.find(access(connection, credentials), clientId);
    assert.deepEqual(found, created);
    const rival = { ...other, client_id: clientId };
    assert.equal(await code(driver.create(access(connection, credentials), rival)), 'ClientIdTaken');
    const handle = handleOf(created);
    assert.equal(await code(driver.update(access(connection, credentials), handle, rival)), 'ClientIdTaken');
    assert.deepEqual(await driver.find(access(connection, credentials), clientId), created, 'it is as it was');
  });

  test('a client that somebody else deleted reads as gone where that is certain, else as unauthorized', async () => {
    const { connection, credentials, forget } = await start();
    const asked = await askedFor();
    const handle = handleOf(await driver.create(access(connection, credentials), asked));
    await forget(handle.clientId);
    assert.equal(await code(driver.read(access(connection, credentials), handle)), gone);
    assert.equal(await code(driver.update(access(connection, credentials), handle, asked)), gone);
    assert.equal(await code(driver.remove(access(connection, credentials), handle)), goneAlready);
  });

  test('a call that was cancelled says so', async () => {
    const { connection, credentials } = await start();
    const cancelled = AbortSignal.abort();
    assert.equal(await code(driver.create(access(connection, credentials, cancelled), await askedFor())), 'Cancelled');
  });
}

/** What every registration driver must do, against a real server; run once a driver. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  changedMembers,
  clientMetadata,
  echoViolations,
  ownershipMarker,
} from '../../src/authserver/client-metadata.ts';
import type { ServerConnection } from '../../src/authserver/connection.ts';
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
  driver: RegistrationDriver;
  connection: ServerConnection;
  credentials: ServerCredentials;
  /** Those that the server does not know. */
  strange: ServerCredentials;
  /** client_id of every registered client, from the server's own store. */
  clients: () => string[];
  /** The server acts, and its answer is lost. */
  loseAnswers: (lose: boolean) => void;
  /** Somebody else deletes the client at the server. */
  forget: (clientId: string) => void;
}

let count = 0;

/** Metadata that no other test asks for. */
export async function metadataOf(
  method: AuthMethod,
  changed: { scope?: string; keys?: number } = {},
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

async function code(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof OperatorError, String(error));
    return error.code;
  }
  return 'none';
}

export function driverContract(start: () => Promise<Subject>): void {
  for (const method of ['tls_client_auth', 'self_signed_tls_client_auth'] as const) {
    test(`${method}: created, read, updated, removed`, async () => {
      const { driver, connection, credentials, clients } = await start();
      const asked = await metadataOf(method);
      const created = await driver.create(access(connection, credentials), asked);
      assert.ok(clients().includes(created.clientId));
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
      assert.ok(!clients().includes(created.clientId));
      assert.equal(await code(driver.read(access(connection, credentials), handle)), 'RegistrationUnauthorized');
      assert.equal(await code(driver.remove(access(connection, credentials), handle)), 'RegistrationUnauthorized');
    });
  }

  test('keys join and leave', async () => {
    const { driver, connection, credentials } = await start();
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
    const { driver, connection, credentials } = await start();
    const asked = await metadataOf('tls_client_auth');
    let handle = handleOf(await driver.create(access(connection, credentials), asked));
    const { scope: _scope, ...without } = asked;
    handle = handleOf(await driver.update(access(connection, credentials), handle, without), handle);
    assert.equal(handle.lastAnswer['scope'], undefined);
    await driver.remove(access(connection, credentials), handle);
  });

  test('what the server does not allow is refused in its own words, and leaves nothing', async () => {
    const { driver, connection, credentials, clients } = await start();
    const before = clients();
    const asked = { ...(await metadataOf('tls_client_auth')), grant_types: ['no such grant'] };
    await assert.rejects(
      driver.create(access(connection, credentials), asked),
      (error) =>
        error instanceof OperatorError &&
        error.code === 'RegistrationRefused' &&
        / It says: invalid_/.test(error.message),
    );
    assert.deepEqual(clients(), before);
  });

  test('a stranger registers nothing', async () => {
    const { driver, connection, strange, clients } = await start();
    const before = clients();
    assert.equal(
      await code(driver.create(access(connection, strange), await metadataOf('tls_client_auth'))),
      'RegistrationUnauthorized',
    );
    assert.deepEqual(clients(), before);
  });

  test('a lost answer is told from a call that was not carried out', async () => {
    const { driver, connection, credentials, clients, loseAnswers } = await start();
    const before = clients();
    const asked = await metadataOf('tls_client_auth');
    const handle = handleOf(await driver.create(access(connection, credentials), asked));
    loseAnswers(true);
    try {
      assert.equal(
        await code(driver.create(access(connection, credentials), await metadataOf('tls_client_auth'))),
        'AnswerLost',
      );
      assert.equal(
        await code(driver.update(access(connection, credentials), handle, { ...asked, scope: 'accounts:write' })),
        'AnswerLost',
      );
    } finally {
      loseAnswers(false);
    }
    assert.equal(clients().length, before.length + 2, 'the server did act');
  });

  test('a client that somebody else deleted reads as unauthorized, never as gone', async () => {
    const { driver, connection, credentials, forget } = await start();
    const handle = handleOf(await driver.create(access(connection, credentials), await metadataOf('tls_client_auth')));
    forget(handle.clientId);
    assert.equal(await code(driver.read(access(connection, credentials), handle)), 'RegistrationUnauthorized');
    assert.equal(await code(driver.update(access(connection, credentials), handle, {})), 'RegistrationUnauthorized');
    assert.equal(await code(driver.remove(access(connection, credentials), handle)), 'RegistrationUnauthorized');
  });

  test('a call that was cancelled says so', async () => {
    const { driver, connection, credentials } = await start();
    const cancelled = AbortSignal.abort();
    assert.equal(
      await code(driver.create(access(connection, credentials, cancelled), await metadataOf('tls_client_auth'))),
      'Cancelled',
    );
  });
}

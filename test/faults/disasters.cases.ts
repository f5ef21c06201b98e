/** What backups are for, and backups that are too old: each ends in the state that it names. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import { secrets } from '../../src/kube/resource.ts';
import { recordName } from '../../src/oauthclient/record.ts';
import { edited, INGRESSES, SCOPES, serverReady } from '../e2e/lifecycle-world.ts';
import { keepCalling } from '../support/load.ts';
import { apply, documents } from '../support/cluster-objects.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { SELF_SIGNED_SERVER, selfSignedPlatform } from '../support/self-signed-platform.ts';
import { waitFor } from '../support/wait-for.ts';
import { backUpServer, erase, ownSecrets, remove, restore } from './backup.ts';
import { report } from './report.ts';
import {
  clientOf,
  emptied,
  requestsSince,
  selfSignedClientOf,
  silence,
  startFaultWorld,
  type FaultWorld,
} from './world.ts';

const LIMIT_MS = 180_000;
const SERVERS = ['corporate', SELF_SIGNED_SERVER];

/** Proved again every minute: a refusal shows soon. */
async function provedOften({ installation: { kube } }: FaultWorld): Promise<void> {
  for (const name of SERVERS) {
    await kube.patch(authorizationServers, { name }, { spec: { verifyInterval: '1m' } }, { type: 'merge' });
  }
}

async function appliedAgain(world: FaultWorld): Promise<void> {
  const { installation } = world;
  await apply(
    installation.kube,
    ...edited(await installation.platform()),
    ...edited(selfSignedPlatform(installation, SCOPES)),
    ...(await documents(INGRESSES)),
  );
  await provedOften(world);
}

async function restarted(world: FaultWorld, meanwhile: () => Promise<void>): Promise<void> {
  await world.operator.stop();
  await meanwhile();
  world.operator = await world.installation.startOperator();
}

async function pair(world: FaultWorld, name: string): Promise<[TestClient, TestClient]> {
  const clients: [TestClient, TestClient] = [clientOf(world, name), selfSignedClientOf(world, `${name}-self-signed`)];
  await Promise.all(clients.map((client) => client.apply()));
  for (const client of clients) await client.ready(LIMIT_MS);
  return clients;
}

const because = (client: TestClient, reason: string) =>
  client.until((status) => status.conditions?.find(({ type }) => type === 'Ready')?.reason === reason, LIMIT_MS);

async function renewed(client: TestClient, value: string): Promise<void> {
  await client.annotate({ [RENEW_REQUESTED]: value });
  await client.until((s) => s.lastHandledRenew === value && s.rotation?.phase === 'Draining', LIMIT_MS);
}

async function works(...clients: TestClient[]): Promise<void> {
  for (const client of clients) {
    const credentials = await client.credentials();
    assert.equal(await boundTo(credentials), credentials.x5tS256, client.ref.name);
  }
}

const posted = ({ installation }: FaultWorld) => installation.authorizationServer.requests().get('POST /reg') ?? 0;

describe('disasters', () => {
  let started: FaultWorld | undefined;
  const world = (): FaultWorld => {
    if (started === undefined) throw new Error('the installation did not start');
    return started;
  };
  before(async () => {
    started = await startFaultWorld();
    await provedOften(started);
  });
  after(() => started?.installation.stop());

  /** @param story tells when what was wrong is over */
  function disaster(name: string, fault: string, outcome: string, story: (over: () => void) => Promise<void>): void {
    it(name, async () => {
      await emptied(world());
      let ended = Date.now();
      await story(() => (ended = Date.now()));
      const recoveredMs = Date.now() - ended;
      await silence(world());
      const requests = requestsSince(world(), ended).length;
      report({ area: 'Disasters', fault, outcome, recoveredMs, requests });
    });
  }

  disaster(
    'own secrets lost',
    'all of the operator’s own Secrets are deleted while it is down, CAs too',
    '`RecordLost` and `AuthorityLost`; what is published goes on working, nothing is registered. Restored, it goes on with them. A client that is to do without is registered anew when `renew-requested` says so',
    async (over) => {
      const { kube } = world().installation;
      const clients = await pair(world(), 'lost');
      const [anew] = await pair(world(), 'anew');
      const registrations = posted(world());
      const former = await Promise.all([...clients, anew].map((client) => client.credentials()));
      const copies = await ownSecrets(kube);
      await restarted(world(), () => remove(kube, secrets, copies));
      for (const client of [...clients, anew]) await because(client, 'RecordLost');
      await waitFor(async () => {
        const object = await kube.get(clientCertificateIssuers, { name: 'corporate-clients' });
        return JSON.stringify(object?.['status']).includes('AuthorityLost');
      }, LIMIT_MS);
      await works(...clients, anew);
      assert.equal(posted(world()), registrations);

      over();
      const missing = recordName(anew.ref.namespace, anew.ref.name);
      await restore(
        kube,
        copies.filter(({ metadata }) => metadata.name !== missing),
      );
      for (const client of clients) await client.ready(LIMIT_MS);
      await anew.annotate({ [RENEW_REQUESTED]: 'anew' });
      await anew.until((s) => s.lastHandledRenew === 'anew', LIMIT_MS);
      await anew.ready(LIMIT_MS);
      await works(...clients, anew);
      const now = await Promise.all([...clients, anew].map((client) => client.credentials()));
      assert.deepEqual(now.slice(0, 2), former.slice(0, 2), 'nothing was issued or registered for them');
      assert.notEqual(now[2]?.clientId, former[2]?.clientId);
      assert.equal(posted(world()), registrations + 1);
      assert.equal(anew.registrations().length, 2, 'its predecessor stays until somebody deletes it there');
    },
  );

  disaster(
    'old records',
    'the operator’s own Secrets are restored from a copy that is two rotations old',
    '`tls_client_auth`: renewed at once, without a refused call. Self-signed: `RecordOutdated`; what is published is left alone and works. Told to go on all the same, it says `RegistrationAccessTokenLost` where the server has replaced the token since',
    async (over) => {
      const { kube } = world().installation;
      const [subject, key] = await pair(world(), 'old');
      const registrations = posted(world());
      const copies = await ownSecrets(kube);
      for (const value of ['1', '2']) for (const client of [subject, key]) await renewed(client, value);
      const newest = await Promise.all([subject, key].map((client) => client.credentials()));
      const load = [keepCalling(subject), keepCalling(key)];
      await restarted(world(), () => restore(kube, copies));
      over();
      await because(key, 'RecordOutdated');
      await waitFor(async () => (await subject.credentials()).x5tS256 !== newest[0]?.x5tS256, LIMIT_MS);
      await subject.ready(LIMIT_MS);
      assert.deepEqual(await key.credentials(), newest[1]);

      await key.annotate({ [RENEW_REQUESTED]: 'on' });
      await waitFor(
        async () => (await key.condition('Registered'))?.reason === 'RegistrationAccessTokenLost',
        LIMIT_MS,
      );
      for (const one of load) assert.ok((await one.stop()).calls > 0);
      assert.deepEqual(await key.credentials(), newest[1]);
      assert.equal(posted(world()), registrations);
      assert.equal(subject.registrations().length, 1);
      // Nobody could deregister it; the platform deletes it at the server.
      world().installation.authorizationServer.store.forgetClient(newest[1]?.clientId ?? '');
    },
  );

  disaster(
    'rebuilt with own secrets',
    'the cluster is rebuilt from Git, with the operator’s own Secrets restored: every uid is another, no status and no published Secret is left',
    'the clients go on with their registrations and keys; nothing is issued or registered',
    async (over) => {
      const { kube } = world().installation;
      const clients = await pair(world(), 'rebuilt');
      const registrations = posted(world());
      const former = await Promise.all(clients.map((client) => client.credentials()));
      const uids = await Promise.all(clients.map(async (client) => (await client.object())?.metadata.uid));
      const copies = await ownSecrets(kube);
      await restarted(world(), async () => {
        await erase(kube);
        await restore(kube, copies);
        await appliedAgain(world());
        await Promise.all(clients.map((client) => client.apply()));
      });
      over();
      for (const client of clients) await client.ready(LIMIT_MS);
      assert.deepEqual(await Promise.all(clients.map((client) => client.credentials())), former);
      for (const [index, client] of clients.entries()) {
        assert.notEqual((await client.object())?.metadata.uid, uids[index]);
        assert.equal(client.registrations().length, 1);
      }
      await world().installation.ingressController.settled();
      await works(...clients);
      assert.equal(posted(world()), registrations);
    },
  );

  disaster(
    'rebuilt without own secrets',
    'the cluster is rebuilt from Git alone',
    'new CA, new keys, each client registered once more: nothing is left that could tell of the old ones, which stay at the server under the marker of the cluster until somebody deletes them',
    async (over) => {
      const { kube } = world().installation;
      const clients = await pair(world(), 'anew-all');
      const registrations = posted(world());
      const former = await Promise.all(clients.map((client) => client.credentials()));
      await restarted(world(), async () => {
        await erase(kube);
        await appliedAgain(world());
        await Promise.all(clients.map((client) => client.apply()));
      });
      over();
      for (const name of SERVERS) await serverReady(world().installation, name);
      for (const [index, client] of clients.entries()) {
        await client.ready(LIMIT_MS);
        assert.notEqual((await client.credentials()).clientId, former[index]?.clientId);
        assert.equal(client.registrations().length, 2);
      }
      await world().installation.ingressController.settled();
      await works(...clients);
      assert.equal(posted(world()), registrations + clients.length);
    },
  );

  disaster(
    'server restored, client unknown',
    'the authorization server is restored from a backup that does not know the client',
    '`Refused`; nothing is registered unasked; the OAuthClient can be deleted',
    async (over) => {
      const { store } = world().installation.authorizationServer;
      const back = backUpServer(store);
      const clients = await pair(world(), 'unknown');
      const registrations = posted(world());
      back();
      over();
      for (const client of clients) await because(client, 'Refused');
      assert.equal(posted(world()), registrations);
      for (const client of clients) {
        assert.deepEqual(client.registrations(), []);
        await client.delete();
        await client.gone();
      }
    },
  );

  disaster(
    'server restored, older keys',
    'the authorization server is restored from a backup before the last rotation: older keys, and an older registration access token',
    'self-signed: refused twice, then registered again with the token before the last; no new key. `tls_client_auth` does not notice, and its next change finds the token before the last, too',
    async (over) => {
      const { store } = world().installation.authorizationServer;
      const [subject, key] = await pair(world(), 'older');
      const back = backUpServer(store);
      await subject.apply({ scope: 'accounts:read' });
      await subject.until(() => subject.registrations()[0]?.['scope'] === 'accounts:read', LIMIT_MS);
      await subject.ready(LIMIT_MS);
      await renewed(key, '1');
      const newest = await Promise.all([subject, key].map((client) => client.credentials()));
      const registrations = posted(world());
      back();
      over();
      await assert.rejects(boundTo(newest[1] ?? (await key.credentials())), /invalid_client/);
      await waitFor(
        async () =>
          works(key).then(
            () => true,
            () => false,
          ),
        LIMIT_MS,
      );
      await key.ready(LIMIT_MS);
      await subject.apply({ scope: 'accounts:read accounts:write' });
      await subject.until(() => subject.registrations()[0]?.['scope'] === 'accounts:read accounts:write', LIMIT_MS);
      await subject.ready(LIMIT_MS);
      await works(subject, key);
      assert.deepEqual(await Promise.all([subject, key].map((client) => client.credentials())), newest);
      assert.equal(posted(world()), registrations);
    },
  );
});

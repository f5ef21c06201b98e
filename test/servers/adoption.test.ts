/** Clients that Keycloak has already: from client_secret to mutual TLS, and whose client may become whose. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { events, secrets } from '../../src/kube/resource.ts';
import { requestToken } from '../support/application.ts';
import { call, type Answer } from '../support/https-call.ts';
import { CLUSTER_ID } from '../support/installation.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { type KeycloakWorld, startKeycloakWorld } from './keycloak-world.ts';
import { PUT_BACK, shows } from './support.ts';

const limitMs = 150_000;
const byCluster = [{ dn: 'CN={name},O={namespace},OU={clusterId}' }];
const legacy = { optionalClientScopes: ['accounts:read', 'accounts:write'], description: 'of before' };

describe('a client that Keycloak has already', () => {
  let world: KeycloakWorld;
  before(async () => {
    world = await startKeycloakWorld();
    await grant({
      clientIds: ['{namespace}.*'],
      adoptable: ['same-id', 'unavailable'].map((name) => ({ clientId: `legacy-${name}`, namespace: 'team', name })),
    });
    await world.server('quick', { verifyInterval: '1m', clients: await grants() });
    await world.serverBecomes('corporate', 'True', 'Ready');
    await world.serverBecomes('quick', 'True', 'Ready');
  });
  after(() => world?.stop());

  const grants = async (): Promise<Record<string, unknown>> => {
    const object = await world.kube.get(authorizationServers, { name: 'corporate' });
    return Object(Object(object?.['spec'])['clients']);
  };
  const grant = (clients: Record<string, unknown>) =>
    world.kube.patch(authorizationServers, { name: 'corporate' }, { spec: { clients } }, { type: 'merge' });
  const reason = (client: TestClient, wanted: string) =>
    client.until(
      ({ conditions }) => conditions?.some((c) => c.type === 'Registered' && c.reason === wanted) === true,
      limitMs,
    );
  const message = async (client: TestClient) => (await client.condition('Registered'))?.message ?? '';
  const restored = async (name: string): Promise<string[]> =>
    (await world.kube.list(events, { namespace: 'team' })).items
      .filter((e) => e['reason'] === 'RegistrationRestored' && Object(e['regarding']).name === name)
      .map(({ note }) => String(note));
  /** As an application did it before. */
  const withSecret = (clientId: string, secret: string): Promise<Answer> =>
    call({
      url: `${world.realm.issuer}/protocol/openid-connect/token`,
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_id: clientId,
        client_secret: secret,
        scope: 'accounts:read',
      }),
      ca: world.serverCaPem,
    });

  it('with a second client nobody is refused for a moment', async () => {
    const { secret } = await world.realm.serviceAccount('legacy-second', [], legacy);
    let moved: TestClient | undefined;
    const ended = new AbortController();
    const ways = new Set<string>();
    const calling = (async () => {
      while (!ended.signal.aborted) {
        const answer =
          moved === undefined
            ? await withSecret('legacy-second', secret)
            : await requestToken(await moved.credentials());
        assert.equal(answer.status, 200, answer.text);
        ways.add(moved === undefined ? 'secret' : 'certificate');
        await sleep(50);
      }
    })();
    calling.catch(() => undefined);
    const client = await world.client('second').apply();
    await client.ready(limitMs);
    moved = client;
    await waitFor(() => ways.has('certificate'), limitMs);
    await world.realm.delete('legacy-second');
    await sleep(1_000);
    ended.abort();
    await calling;
    assert.deepEqual([...ways], ['secret', 'certificate']);
  });

  it('keeps its id, and an application that knows both ways gets a token at every time', async (t) => {
    const { secret } = await world.realm.serviceAccount('legacy-same-id', [], legacy);
    const client = world.client('same-id', { clientId: 'legacy-same-id' });
    const ended = new AbortController();
    let longestMs = 0;
    /** The certificate where there is one, else the secret; and again for as long as neither is taken. */
    const token = async (): Promise<string> => {
      const begun = Date.now();
      for (;;) {
        const published = await client.secret();
        const answer =
          published === undefined
            ? await withSecret('legacy-same-id', secret)
            : await requestToken(await client.credentials());
        longestMs = Math.max(longestMs, Date.now() - begun);
        if (answer.status === 200) return published === undefined ? 'secret' : 'certificate';
        assert.match(answer.text, /invalid_client|unauthorized_client/);
        await sleep(50);
      }
    };
    const ways = new Set<string>();
    const calling = (async () => {
      while (!ended.signal.aborted) {
        ways.add(await token());
        await sleep(50);
      }
    })();
    calling.catch(() => undefined);
    await waitFor(() => ways.has('secret'), limitMs);
    await client.apply();
    await client.ready(limitMs);
    await waitFor(() => ways.has('certificate'), limitMs);
    ended.abort();
    await calling;
    assert.deepEqual([...ways], ['secret', 'certificate']);
    assert.ok(longestMs < 60_000, `${longestMs} ms`);
    t.diagnostic(`the longest wait for a token was ${longestMs} ms`);
    const stored = await world.realm.client('legacy-same-id');
    assert.equal(stored?.['description'], 'of before', 'what others had made of it is kept');
    assert.equal(stored.attributes['certbound.dev/owner'], 'test-cluster/team/same-id');
    assert.equal((await withSecret('legacy-same-id', secret)).status, 401, 'its secret is good for nothing any more');
    assert.equal(await boundTo(await client.credentials()), (await client.credentials()).x5tS256);
    const told = (await world.kube.list(events, { namespace: 'team' })).items.filter((e) => e['reason'] === 'Adopted');
    assert.match(String(told[0]?.['note']), /legacy-same-id/);
  });

  it('that nobody listed is left as it is, whatever a tenant asks for', async () => {
    const { secret } = await world.realm.serviceAccount('team.unlisted', [], legacy);
    const before_ = await world.realm.client('team.unlisted');
    const client = await world.client('unlisted', { clientId: 'team.unlisted' }).apply();
    await reason(client, 'ClientIdTaken');
    assert.match(await message(client), /left as it is/);
    await client.delete();
    await client.gone();
    assert.deepEqual(await world.realm.client('team.unlisted'), before_);
    assert.equal((await withSecret('team.unlisted', secret)).status, 200);
  });

  it('that is listed for another OAuthClient can’t even be asked for', async () => {
    const thief = await world.client('thief', { clientId: 'legacy-unavailable' }).apply();
    await reason(thief, 'NotGranted');
    assert.match(await message(thief), /client_id legacy-unavailable is not granted/);
    assert.equal(await thief.record(), undefined);
  });

  it('is not adopted where the team says Never', async () => {
    await world.realm.serviceAccount('legacy-unavailable', [], legacy);
    const spec = { clientId: 'legacy-unavailable', adoptionPolicy: 'Never' } as const;
    const client = await world.client('unavailable', spec).apply();
    await reason(client, 'ClientIdTaken');
    assert.equal((await world.realm.client('legacy-unavailable'))?.attributes['certbound.dev/owner'], undefined);
    // What is changed is not the id.
    await client.apply({ adoptionPolicy: 'IfMarked' });
    await client.ready(limitMs);
    assert.notEqual((await world.realm.client('legacy-unavailable'))?.attributes['certbound.dev/owner'], undefined);
  });

  it('of two OAuthClients with one clientId the second is told so, and not who has it', async () => {
    const first = await world.client('holder', { clientId: 'team.shared' }).apply();
    await first.ready(limitMs);
    const second = await world.client('latecomer', { clientId: 'team.shared' }).apply();
    await reason(second, 'ClientIdTaken');
    assert.doesNotMatch(await message(second), /holder/);
    assert.equal(await second.secret(), undefined);
    await first.delete();
    await first.gone();
    await second.ready(limitMs);
    assert.equal((await second.credentials()).clientId, 'team.shared');
  });

  it('is put back where an administrator spells its subject otherwise: Keycloak compares text', async () => {
    const client = await world.client('respelt', { authorizationServerRef: { name: 'quick' } }).apply();
    await client.ready(limitMs);
    const clientId = world.clientId('respelt');
    const subject = async () => (await world.realm.client(clientId))?.attributes['x509.subjectdn'];
    assert.equal(await subject(), 'CN=respelt,O=team');
    await world.realm.change(clientId, ({ attributes }) => ({
      attributes: { ...attributes, 'x509.subjectdn': 'CN=Respelt,O=team' },
    }));
    assert.equal((await requestToken(await client.credentials())).status, 401, 'it knows nobody by that name');
    await waitFor(async () => (await subject()) === 'CN=respelt,O=team', limitMs);
    await client.ready(limitMs);
    assert.equal(await boundTo(await client.credentials()), (await client.credentials()).x5tS256);
    await waitFor(async () => (await restored('respelt')).length > 0, limitMs);
    assert.match((await restored('respelt'))[0] ?? '', /asked: CN=respelt,O=team; registered: CN=Respelt,O=team/);
  });

  it('keeps the spelling of its subject where the platform writes its template in another case', async () => {
    const client = await world.client('spelt', { authorizationServerRef: { name: 'quick' } }).apply();
    await client.ready(limitMs);
    const louder = [{ dn: 'CN={name},O=TEAM' }];
    await world.server('quick', { verifyInterval: '1m', clients: { ...(await grants()), identityTemplates: louder } });
    await client.apply({ clientName: 'a change that is registered' });
    await client.until(({ conditions }) => conditions?.every(({ type }) => type !== 'Reconciling') === true, limitMs);
    await waitFor(
      async () => String((await world.realm.client(world.clientId('spelt')))?.name).startsWith('a change'),
      limitMs,
    );
    const stored = await world.realm.client(world.clientId('spelt'));
    assert.equal(stored?.attributes['x509.subjectdn'], 'CN=spelt,O=team');
    assert.equal(await boundTo(await client.credentials()), (await client.credentials()).x5tS256);
    const newer = await world.client('louder', { authorizationServerRef: { name: 'quick' } }).apply();
    await newer.ready(limitMs);
    const { attributes } = (await world.realm.client(world.clientId('louder'))) ?? {};
    assert.equal(attributes?.['x509.subjectdn'], 'CN=louder,O=TEAM');
    await world.server('quick', { verifyInterval: '1m', clients: await grants() });
  });

  it('is found again by its mark where the operator’s own Secret is lost, once somebody asks for it', async () => {
    const client = await world.client('lost').apply();
    await client.ready(limitMs);
    const clientId = world.clientId('lost');
    const before_ = await world.realm.client(clientId);
    const { name = '', namespace = '' } = (await client.ownSecret())?.metadata ?? {};
    await world.kube.delete(secrets, { namespace, name });
    await reason(client, 'RecordLost');
    assert.match(await message(client), /the right to manage client ".*lost"\. Restore it from a backup/);
    assert.equal((await requestToken(await client.credentials())).status, 200, 'what is published goes on');
    await client.annotate({ [RENEW_REQUESTED]: 'anew' });
    await client.ready(limitMs);
    const found = await world.realm.client(clientId);
    assert.equal(found?.id, before_?.id, 'it is the same client, and no other was made');
    assert.equal(await boundTo(await client.credentials()), (await client.credentials()).x5tS256);
  });

  it('of another cluster is that cluster’s, whatever this one calls its own', async () => {
    const elsewhere = await world.cluster('second-cluster');
    await elsewhere.serverBecomes('corporate', 'True', 'Ready');
    await elsewhere.kube.patch(
      authorizationServers,
      { name: 'corporate' },
      { spec: { clients: { clientIds: ['{namespace}.*'], identityTemplates: byCluster } } },
      { type: 'merge' },
    );
    await world.server('by-cluster', {
      clients: { ...(await grants()), clientIds: ['{namespace}.*'], identityTemplates: byCluster },
    });
    const at = { authorizationServerRef: { name: 'by-cluster' } };

    // The same namespace and name: two clients, of which neither is the other.
    const [here, there] = [await world.client('same-name', at).apply(), await elsewhere.client('same-name').apply()];
    await Promise.all([here.ready(limitMs), there.ready(limitMs)]);
    const [mine, theirs] = [await here.credentials(), await there.credentials()];
    assert.notEqual(mine.clientId, theirs.clientId);
    for (const [one, other] of [
      [mine, theirs],
      [theirs, mine],
    ] as const) {
      assert.equal(await boundTo(one), one.x5tS256);
      assert.equal((await requestToken(one, { certificate: other.certificate })).status, 401);
    }

    // One client_id that both choose: who is second is told, and takes nothing.
    const first = await world.client('chosen', { ...at, clientId: 'team.chosen' }).apply();
    await first.ready(limitMs);
    const stored = await world.realm.client('team.chosen');
    const second = await elsewhere.client('chosen', { clientId: 'team.chosen' }).apply();
    await reason(second, 'ClientIdTaken');
    assert.match(await message(second), /which is not this OAuthClient's: it is left as it is/);
    assert.equal(await second.secret(), undefined);
    await second.delete();
    await second.gone();
    assert.deepEqual(await world.realm.client('team.chosen'), stored);
    assert.equal(await boundTo(await first.credentials()), (await first.credentials()).x5tS256);
    await there.delete();
    await there.gone();
    assert.equal(await world.realm.client(theirs.clientId), undefined);
    assert.equal(await boundTo(mine), mine.x5tS256);
  });

  it('of a cluster that calls itself the same is left to that cluster, until somebody says that there is none', async () => {
    const twin = await world.cluster(CLUSTER_ID);
    await twin.serverBecomes('corporate', 'True', 'Ready');
    const first = await world.client('twin', { authorizationServerRef: { name: 'quick' } }).apply();
    await first.ready(limitMs);
    const clientId = world.clientId('twin');
    const stored = await world.realm.client(clientId);
    const second = await twin.client('twin').apply();
    await reason(second, 'RegisteredByNamesake');
    assert.match(await message(second), /by another cluster with the same clusterId, whose client it then is/);
    assert.equal((await second.condition('Ready'))?.status, 'False');
    assert.equal(await second.secret(), undefined);
    await second.delete();
    await second.gone();
    assert.deepEqual(await world.realm.client(clientId), stored, 'it went with the other cluster’s object');
    assert.equal(await boundTo(await first.credentials()), (await first.credentials()).x5tS256);

    // Whoever says so against the truth has both clusters tell of it.
    const again = await twin.client('twin').apply();
    await reason(again, 'RegisteredByNamesake');
    await again.annotate({ [RENEW_REQUESTED]: 'take it over' });
    await again.until(({ clientId: registered }) => registered === clientId, limitMs);
    assert.equal((await world.realm.client(clientId))?.id, stored?.id);
    await waitFor(async () => (await restored('twin')).some((note) => note.includes('certbound_owner_uid')), limitMs);
  });

  it('is put back where an administrator edits what is ours, and theirs is kept', async () => {
    const client = await world.client('edited', { authorizationServerRef: { name: 'quick' } }).apply();
    await client.ready(limitMs);
    const clientId = world.clientId('edited');
    const before_ = (await world.realm.client(clientId))?.attributes ?? {};
    await world.realm.change(clientId, ({ attributes }) => ({
      description: 'theirs',
      directAccessGrantsEnabled: true,
      attributes: { ...attributes, 'x509.subjectdn': 'CN=somebody', 'x509.allow.regex.pattern.comparison': 'true' },
    }));
    await waitFor(
      async () => (await world.realm.client(clientId))?.attributes['x509.subjectdn'] === before_['x509.subjectdn'],
      limitMs,
    );
    await client.ready(limitMs);
    const stored = await world.realm.client(clientId);
    assert.equal(stored?.attributes['x509.allow.regex.pattern.comparison'], 'false');
    assert.equal(stored['description'], 'theirs');
    assert.equal(stored['directAccessGrantsEnabled'], false);
    assert.equal(await boundTo(await client.credentials()), (await client.credentials()).x5tS256);
    await waitFor(async () => (await restored('edited')).length > 0, limitMs);
    shows('keycloak', 'drift', PUT_BACK);
  });
});

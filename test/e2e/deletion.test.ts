/** What is left when objects go: with the garbage collector and the namespace controller at work. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FINALIZER } from '../../src/api/annotations.ts';
import { oauthClients } from '../../src/api/resources.ts';
import { customResourceDefinitions, events, namespaces, resourceName, secrets } from '../../src/kube/resource.ts';
import { recordName } from '../../src/oauthclient/record.ts';
import { requestToken, secretValues } from '../support/application.ts';
import { apply, documents, namespace, opaqueSecret } from '../support/cluster-objects.ts';
import { CLIENTS_ALLOWED, startInstallation, type Installation } from '../support/installation.ts';
import { boundTo, isTrue, TestClient } from '../support/oauth-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, serverReady } from './lifecycle-world.ts';

const definition = { name: resourceName(oauthClients) };

describe('deletion', () => {
  let world: Installation;

  const client = (name: string, team = 'team') => new TestClient(world, { namespace: team, name });
  const registered = () => new Set(world.authorizationServer.clients().map((c) => c['client_id']));
  const orphanEvents = async (name: string) =>
    (await world.kube.list(events, { namespace: 'team' })).items.filter(
      (event) => event['reason'] === 'Orphaned' && Reflect.get(Object(event['regarding']), 'name') === name,
    );
  /** Told once. */
  const assertOrphaned = async (name: string, clientId: string) => {
    await waitFor(async () => (await orphanEvents(name)).length > 0);
    const [event, ...more] = await orphanEvents(name);
    assert.deepEqual([event?.['type'], event?.['series'], more], ['Warning', undefined, []]);
    assert.ok(String(event?.['note']).includes(clientId));
  };
  /** The platform's grants, as they are now. */
  const platform = async (grants: Record<string, unknown>) =>
    apply(world.kube, ...edited(await world.platform(), grants));

  before(async () => {
    world = await startInstallation({ controllerManager: true });
    await platform({ deletion: ['Delete', 'Orphan'] });
    await apply(
      world.kube,
      ...(await documents(INGRESSES)),
      ...['team', 'leaving', 'crowd'].map((name) => namespace(name, CLIENTS_ALLOWED)),
    );
    await world.startOperator();
    await serverReady(world, 'corporate');
  });
  after(() => world.stop());

  it('of one client: gone at the server, with every Secret of it', async () => {
    const deleted = await client('deleted').apply();
    const kept = await client('kept').apply();
    await Promise.all([deleted.ready(), kept.ready()]);
    const credentials = await deleted.credentials();
    await deleted.delete();
    await deleted.gone();
    assert.equal(await deleted.secret(), undefined);
    assert.equal(await deleted.ownSecret(), undefined);
    assert.deepEqual(deleted.registrations(), []);
    assert.equal((await requestToken(credentials)).json['error'], 'invalid_client');
    assert.equal(await boundTo(await kept.credentials()), (await kept.credentials()).x5tS256);
    const again = await client('deleted').apply();
    const { clientId } = await again.ready();
    assert.notEqual(clientId, credentials.clientId);
    assert.equal(again.registrations().length, 1);
    assert.deepEqual(await orphanEvents('deleted'), []);
  });

  it('waits for the server where it must be deregistered', async () => {
    const waiting = await client('waiting').apply();
    await waiting.ready();
    world.authorizationServer.setFault(({ method }) =>
      method === 'DELETE' ? { kind: 'reset', when: 'before' } : undefined,
    );
    await waiting.delete();
    await waiting.until((status) => !isTrue(status, 'Ready'));
    assert.ok((await waiting.object())?.metadata.finalizers.includes(FINALIZER));
    assert.equal(waiting.registrations().length, 1);
    world.authorizationServer.setFault(undefined);
    await waiting.gone();
    assert.deepEqual(waiting.registrations(), []);
    assert.equal(await waiting.secret(), undefined);
  });

  it('with deletionPolicy Orphan leaves the registration, and destroys the keys', async () => {
    const orphan = await client('orphan').apply({ deletionPolicy: 'Orphan' });
    await orphan.ready();
    await orphan.delete();
    await orphan.gone();
    assert.equal(orphan.registrations().length, 1);
    assert.equal(await orphan.secret(), undefined);
    assert.equal(await orphan.ownSecret(), undefined);
    await assertOrphaned('orphan', String(orphan.registrations()[0]?.['client_id']));
  });

  it('without its record names the client that stays behind at the server', async () => {
    const lost = await client('lost').apply();
    const { clientId } = await lost.ready();
    await world.kube.delete(secrets, { namespace: 'certbound-system', name: recordName('team', 'lost') });
    await lost.until(({ conditions = [] }) => conditions.some((c) => c.reason === 'RecordLost'));
    await lost.delete();
    await lost.gone();
    assert.equal(await lost.secret(), undefined);
    assert.equal(lost.registrations()[0]?.['client_id'], clientId);
    await assertOrphaned('lost', String(clientId));
  });

  it('with a deletionPolicy that is not granted deregisters: a tenant cannot leave anything behind', async () => {
    const sly = await client('sly').apply();
    await sly.ready();
    await platform({ deletion: ['Delete'] });
    await sly.apply({ deletionPolicy: 'Orphan' });
    await sly.until(({ conditions = [] }) => conditions.some((c) => c.type === 'Ready' && c.reason === 'NotGranted'));
    await sly.delete();
    await sly.gone();
    assert.deepEqual(sly.registrations(), []);
  });

  it('leaves a Secret alone that was not made for the client', async () => {
    const ref = { namespace: 'team', name: 'foreign-oauth' };
    await apply(world.kube, opaqueSecret(ref, { password: 'of somebody else' }));
    const intact = await world.kube.get(secrets, ref);
    const foreign = await client('foreign').apply();
    await foreign.until(({ conditions = [] }) => conditions.some((c) => c.reason === 'SecretNameTaken'));
    await foreign.delete();
    await foreign.gone();
    assert.deepEqual(await world.kube.get(secrets, ref), intact);
    assert.deepEqual(foreign.registrations(), []);
  });

  it('of a namespace: its clients are deregistered and nothing hangs', async () => {
    const leaving = ['first', 'second', 'third'].map((name) => client(name, 'leaving'));
    await Promise.all(leaving.map((each) => each.apply()));
    await Promise.all(leaving.map((each) => each.ready()));
    const others = registered().size - leaving.length;
    await world.kube.delete(namespaces, { name: 'leaving' });
    await waitFor(async () => (await world.kube.get(namespaces, { name: 'leaving' })) === undefined, 60_000);
    for (const each of leaving) {
      assert.deepEqual(each.registrations(), []);
      assert.equal(await each.ownSecret(), undefined);
    }
    assert.equal(registered().size, others);
  });

  it('of a namespace whose clients the server does not let go: ends at the deadline, and names them', async () => {
    await platform({ deletion: ['Delete', 'Orphan'], deregistrationDeadline: '10s' });
    await apply(world.kube, namespace('stranded', CLIENTS_ALLOWED));
    const stranded = await client('stranded', 'stranded').apply();
    const { clientId = '' } = await stranded.ready();
    world.authorizationServer.setFault(({ method }) =>
      method === 'DELETE' ? { kind: 'reset', when: 'before' } : undefined,
    );
    await world.kube.delete(namespaces, { name: 'stranded' });
    await stranded.until(({ conditions = [] }) => conditions.some(({ message }) => /tried until .*Z/.test(message)));
    await waitFor(async () => (await world.kube.get(namespaces, { name: 'stranded' })) === undefined, 60_000);
    world.authorizationServer.setFault(undefined);
    assert.equal(await stranded.ownSecret(), undefined);
    assert.equal(stranded.registrations()[0]?.['client_id'], clientId);
    // In its namespace nothing could be written any more.
    const told = (await world.kube.list(events, { namespace: 'default' })).items.filter(
      (event) => event['reason'] === 'Orphaned' && String(event['note']).includes(clientId),
    );
    assert.match(String(told[0]?.['note']), /deregistrationDeadline.*OAuthClient stranded\/stranded/);
    world.authorizationServer.store.forgetClient(clientId);
    await platform({ deletion: ['Delete', 'Orphan'] });
  });

  it('of the CustomResourceDefinition: nobody is deregistered, and 20 clients work on', async () => {
    const crowd = Array.from({ length: 20 }, (_, i) => client(`client-${i}`, 'crowd'));
    await Promise.all(crowd.map((each) => each.apply()));
    await Promise.all(crowd.map((each) => each.ready()));
    const everybody = registered();
    const published = await Promise.all(crowd.map((each) => each.publishedSecret()));

    await world.kube.delete(customResourceDefinitions, definition);
    await Promise.all(
      crowd.map((each) =>
        waitFor(async () => (await each.condition('Ready'))?.reason === 'CustomResourceDefinitionDeleted', 60_000),
      ),
    );
    // Long enough for the garbage collector and every retry.
    await sleep(3000);
    assert.deepEqual(registered(), everybody);
    assert.deepEqual(await Promise.all(crowd.map((each) => each.publishedSecret())), published);
    for (const each of crowd) {
      const credentials = await each.credentials();
      assert.equal(await boundTo(credentials), credentials.x5tS256);
      assert.ok((await each.object())?.metadata.finalizers.includes(FINALIZER));
    }

    // The way back: the finalizers removed by hand, the definition and the clients applied again, as from Git.
    const { items } = await world.kube.list(oauthClients);
    for (const { metadata } of items) {
      await world.kube.patch(oauthClients, metadata, { metadata: { finalizers: [] } }, { type: 'merge' });
    }
    await waitFor(async () => (await world.kube.get(customResourceDefinitions, definition)) === undefined, 60_000);
    const { code, stderr } = await world.plane.kubectl(
      'create',
      '-f',
      resolve(import.meta.dirname, '../../crds/oauthclients.yaml'),
    );
    assert.equal(code, 0, stderr);
    await waitFor(
      () =>
        crowd[0]?.apply().then(
          () => true,
          () => false,
        ) ?? false,
      60_000,
    );
    const all = items.map(({ metadata }) => client(metadata.name, metadata.namespace));
    await Promise.all(all.map((each) => each.apply()));
    await Promise.all(all.map((each) => each.ready()));
    assert.deepEqual(registered(), everybody, 'the same registrations, and no other');
    const values = await Promise.all(crowd.map((each) => each.values()));
    assert.deepEqual(values, published.map(secretValues), 'the same certificates');
  });

  it('of every object in turn leaves no Secret of the operator but its CA', async () => {
    const { items } = await world.kube.list(oauthClients);
    for (const { metadata } of items) await world.kube.delete(oauthClients, metadata);
    await waitFor(async () => (await world.kube.list(oauthClients)).items.length === 0, 60_000);
    const own = (await world.kube.list(secrets, { namespace: 'certbound-system' })).items;
    const names = own.map(({ metadata }) => metadata.name);
    assert.ok(
      names.every((name) => !name.startsWith(recordName('', '').slice(0, -40))),
      names.join(' '),
    );
    const orphans = world.authorizationServer.clients().map((c) => c['client_name']);
    assert.deepEqual(new Set(orphans), new Set(['test-cluster/team/orphan', 'test-cluster/team/lost']));
    assert.equal(orphans.length, 2);
  });
});

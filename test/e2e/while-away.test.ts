/** What happens to a client's objects while the operator is away, or by a newer version of its CRD: with the garbage collector at work. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { oauthClients } from '../../src/api/resources.ts';
import {
  customResourceDefinitions,
  events,
  resourceName,
  secrets,
  type KubernetesObject,
} from '../../src/kube/resource.ts';
import { recordName } from '../../src/oauthclient/record.ts';
import { secretValues } from '../support/application.ts';
import { apply, documents, namespace } from '../support/cluster-objects.ts';
import { CLIENTS_ALLOWED, startInstallation, type Installation } from '../support/installation.ts';
import { boundTo, TestClient } from '../support/oauth-client.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, serverReady } from './lifecycle-world.ts';

const TEAM = 'team';
const SYSTEM = 'certbound-system';
const definition = { name: resourceName(oauthClients) };

describe('while the operator is away', () => {
  let world: Installation;
  let operator: OperatorProcess;

  const client = (name: string) => new TestClient(world, { namespace: TEAM, name });
  const posts = () => world.authorizationServer.requests().get('POST /reg') ?? 0;
  const works = async (subject: TestClient) => {
    const credentials = await subject.credentials();
    assert.equal(await boundTo(credentials), credentials.x5tS256);
    return credentials;
  };
  /** The operator is dead meanwhile. */
  const away = async (work: () => Promise<void>) => {
    await operator.kill();
    await work();
    operator = await world.startOperator();
  };

  before(async () => {
    world = await startInstallation({ controllerManager: true });
    await apply(
      world.kube,
      ...edited(await world.platform()),
      ...(await documents(INGRESSES)),
      namespace(TEAM, CLIENTS_ALLOWED),
    );
    operator = await world.startOperator();
    await serverReady(world, 'corporate');
  });
  after(() => world.stop());

  it('a client that was deleted and made anew goes on with its registration, certificate and Secret', async () => {
    const subject = await client('again').apply();
    await subject.ready();
    const { kube } = world;
    const values = await subject.values();
    const uid = (await subject.object())?.metadata.uid;
    const registered = posts();
    await away(async () => {
      await subject.delete();
      // Nobody but us takes it away: by hand, as somebody does who waits in vain.
      await kube.patch(oauthClients, subject.ref, { metadata: { finalizers: [] } }, { type: 'merge' });
      await subject.gone();
      // Its owner is gone.
      await waitFor(async () => (await subject.secret()) === undefined, 60_000);
      await subject.apply();
    });
    await subject.ready();
    assert.notEqual((await subject.object())?.metadata.uid, uid);
    assert.deepEqual(await subject.values(), values, 'the same certificate, key and client id');
    assert.deepEqual([posts(), subject.registrations().length], [registered, 1]);
    await works(subject);
  });

  it('a client whose own Secret went first, while it was being deleted, goes and names who stays behind', async () => {
    const subject = await client('robbed').apply();
    const { clientId = '' } = await subject.ready();
    await away(async () => {
      await subject.delete();
      await world.kube.delete(secrets, { namespace: SYSTEM, name: recordName(TEAM, 'robbed') });
    });
    await subject.gone();
    assert.equal(await subject.secret(), undefined);
    assert.deepEqual(
      subject.registrations().map(({ client_id: id }) => id),
      [clientId],
    );
    const orphaned = async () =>
      (await world.kube.list(events, { namespace: TEAM })).items.filter(
        ({ reason, note }) => reason === 'Orphaned' && String(note).includes(clientId),
      );
    await waitFor(async () => (await orphaned()).length > 0);
  });

  it('a client that is deleted in the foreground is deregistered, and its Secret is not made again', async () => {
    const subject = await client('foreground').apply();
    await subject.ready();
    const since = new Date();
    await world.kube.delete(oauthClients, subject.ref, { propagationPolicy: 'Foreground' });
    await subject.gone();
    await waitFor(async () => (await subject.secret()) === undefined, 60_000);
    assert.deepEqual(subject.registrations(), []);
    assert.equal(await subject.ownSecret(), undefined);
    const made = (await world.plane.auditEvents()).filter(
      ({ verb, resource, namespace: where, receivedAt }) =>
        verb === 'create' && resource === 'secrets' && where === TEAM && receivedAt >= since,
    );
    assert.deepEqual(made, []);
  });

  it('a newer CRD brings a field that this version does not know: it stays, and so does everything else', async () => {
    const subject = await client('newer').apply();
    await subject.ready();
    const values = await subject.values();
    const { kube } = world;
    const known = await kube.get(customResourceDefinitions, definition);
    assert.ok(known !== undefined);
    const withField: unknown = JSON.parse(JSON.stringify(known), (key, value: unknown) =>
      key === 'properties' && Reflect.has(Object(value), 'authorizationServerRef')
        ? { ...Object(value), future: { type: 'string' } }
        : value,
    );
    const future = async () => Reflect.get(Object((await raw(subject))['spec']), 'future');
    const replace = async (object: unknown) => {
      const spec: unknown = Reflect.get(Object(object), 'spec');
      await kube.patch(customResourceDefinitions, definition, { spec }, { type: 'merge' });
    };
    await away(() => replace(withField));
    await waitFor(async () => {
      await kube.patch(oauthClients, subject.ref, { spec: { future: 'unheard of' } }, { type: 'merge' });
      return (await future()) === 'unheard of';
    }, 60_000);
    await subject.ready();
    assert.deepEqual(await subject.values(), values);
    await subject.annotate({ [RENEW_REQUESTED]: 'now' });
    await subject.until((status) => status.lastHandledRenew === 'now' && status.rotation?.phase === 'Draining');
    assert.equal(await future(), 'unheard of', 'what we do not know we do not drop');
    assert.equal(subject.registrations().length, 1);

    const renewed = await subject.values();
    await away(() => replace(known));
    await subject.ready();
    assert.deepEqual(await subject.values(), renewed);
    assert.equal((await works(subject)).clientId, secretValues(await subject.publishedSecret())['client_id']);
    assert.equal(subject.registrations().length, 1);
  });

  async function raw(subject: TestClient): Promise<KubernetesObject> {
    const object = await world.kube.get(oauthClients, subject.ref);
    assert.ok(object !== undefined);
    return object;
  }
});

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { KubeClient, KubeError } from '../../src/kube/client.ts';
import { EventRecorder, referenceTo, type RecordedEvent } from '../../src/kube/event-recorder.ts';
import { configMaps, events, type KubernetesObject, namespaces } from '../../src/kube/resource.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { FakeClock } from '../support/fake-clock.ts';

const namespace = 'default';

function refuse(): Promise<never> {
  return Promise.reject(new KubeError('No.', { status: 403, reason: 'Forbidden' }));
}

describe('event recorder, against a real API server', () => {
  let plane: ControlPlane;
  let client: KubeClient;

  before(async () => {
    plane = await startControlPlane();
    const path = plane.kubeconfigPath;
    client = KubeClient.fromKubeconfig({ path, userAgent: 'certbound-test', fieldManager: 'certbound' });
  });

  after(async () => {
    await client?.close();
    await plane?.stop();
  });

  const start = (through: Pick<KubeClient, 'create' | 'patch'> = client) => {
    const clock = new FakeClock(Date.now());
    const options = { client: through, controller: 'certbound.dev/operator', instance: 'certbound-0', clock };
    return { clock, recorder: new EventRecorder(options) };
  };

  const about = async (name: string): Promise<RecordedEvent> => {
    const { metadata } = await client.create(configMaps, { metadata: { name, namespace } });
    const regarding = referenceTo(configMaps, metadata);
    return { regarding, type: 'Warning', reason: 'ServerUnavailable', action: 'Register', note: 'The server is down.' };
  };

  const recorded = async (name: string, where = namespace): Promise<KubernetesObject[]> => {
    const { items } = await client.list(events, { namespace: where });
    return items.filter(({ regarding }) => JSON.stringify(regarding).includes(`"name":"${name}"`));
  };

  /** In a process of its own. @returns the one Event there is of them */
  const standingAfter = async (...said: RecordedEvent[]) => {
    const { recorder } = start();
    for (const one of said) recorder.record(one);
    await recorder.close();
    const [only, ...others] = await recorded('standing');
    assert.deepEqual(others, []);
    return only;
  };

  test('repetitions are one event with a count, and few writes', async () => {
    let writes = 0;
    const { clock, recorder } = start({
      create: (...args) => (writes++, client.create(...args)),
      patch: (...args) => (writes++, client.patch(...args)),
    });
    const event = await about('repeated');
    for (let i = 0; i < 50; i++) recorder.record(event);
    await recorder.flush();
    const [only, ...others] = await recorded('repeated');
    assert.equal(others.length, 0);
    assert.equal(only?.['note'], 'The server is down.');
    assert.equal(only['reportingController'], 'certbound.dev/operator');
    assert.match(JSON.stringify(only['series']), /"count":50/);
    assert.ok(writes <= 3, `${writes} writes`);
    // After six quiet minutes it is a new event.
    clock.advance(7 * 60_000);
    recorder.record(event);
    await recorder.close();
    assert.equal((await recorded('repeated')).length, 2);
    assert.equal(clock.timers, 0);
  });

  test('what a series counted is sent when it falls quiet', async () => {
    const { clock, recorder } = start();
    const event = await about('quiet');
    recorder.record(event);
    recorder.record(event);
    await recorder.flush();
    recorder.record(event);
    recorder.record(event);
    clock.advance(7 * 60_000);
    await recorder.close();
    assert.match(JSON.stringify((await recorded('quiet'))[0]?.['series']), /"count":4/);
  });

  test('different notes are different events, up to the burst', async () => {
    const { clock, recorder } = start();
    const event = await about('chatty');
    for (let i = 0; i < 100; i++) recorder.record({ ...event, note: `attempt ${i}` });
    await recorder.flush();
    assert.equal((await recorded('chatty')).length, 25);
    clock.advance(5 * 60_000);
    for (let i = 0; i < 100; i++) recorder.record({ ...event, note: `later ${i}` });
    await recorder.close();
    assert.equal((await recorded('chatty')).length, 26);
  });

  test('a cluster-scoped object has its events in default', async () => {
    const { recorder } = start();
    const { metadata } = await client.create(namespaces, { metadata: { name: 'cluster-scoped' } });
    const regarding = referenceTo(namespaces, metadata);
    recorder.record({ regarding, type: 'Normal', reason: 'Seen', action: 'Look', note: 'Looked at.' });
    await recorder.close();
    assert.equal((await recorded('cluster-scoped', 'default')).length, 1);
  });

  test('a note of any length is cut to what the API takes, between characters', async () => {
    const { recorder } = start();
    recorder.record({ ...(await about('wordy')), note: '😀'.repeat(1000) });
    await recorder.close();
    const note = (await recorded('wordy'))[0]?.['note'];
    assert.ok(typeof note === 'string' && Buffer.byteLength(note) <= 1024 && Buffer.byteLength(note) > 1000);
    assert.match(note, /^(?:😀)+…$/u);
  });

  test('an event that expired under its series is made again', async () => {
    const { recorder } = start();
    const event = await about('expired');
    recorder.record(event);
    await recorder.flush();
    const [first] = await recorded('expired');
    await client.delete(events, { namespace, name: first?.metadata.name ?? '' });
    recorder.record(event);
    await recorder.close();
    assert.match(JSON.stringify((await recorded('expired'))[0]?.['series']), /"count":2/);
  });

  test('what is the case is one event, whichever process says it', async () => {
    const event: RecordedEvent = { ...(await about('standing')), ifPresent: 'keep' };
    const first = await standingAfter(event);
    assert.equal(first?.['note'], 'The server is down.');
    const repeated = await standingAfter(event, event, event);
    assert.equal(repeated?.metadata.resourceVersion, first.metadata.resourceVersion);
    // It went away and came back, as a later process saw.
    const back = await standingAfter({ ...event, ifPresent: 'count' });
    assert.match(JSON.stringify(back?.['series']), /"count":2/);
    await client.delete(events, { namespace, name: first.metadata.name });
    assert.equal((await standingAfter(event))?.metadata.name, first.metadata.name);
  });

  test('other words, or another object of that name, are another event', async () => {
    const { recorder } = start();
    const event: RecordedEvent = { ...(await about('words')), ifPresent: 'keep' };
    recorder.record(event);
    recorder.record({ ...event, note: 'The server is slow.' });
    recorder.record({ ...event, regarding: { ...event.regarding, uid: 'e0b3e1a4-5f4f-4a4e-9d0b-0c4f5f0f6a11' } });
    await recorder.close();
    assert.equal((await recorded('words')).length, 3);
  });

  test('a name that is long or cut at a dot makes a name that the API takes', async () => {
    const { recorder } = start();
    const name = `${'a'.repeat(229)}.${'b'.repeat(20)}`;
    recorder.record(await about(name));
    await recorder.close();
    assert.equal((await recorded(name)).length, 1);
  });

  test('while the API server does not keep up, what went well is left out before what did not', async () => {
    const slow = Promise.withResolvers<void>();
    const sent: unknown[] = [];
    const { recorder } = start({
      create: async (_resource, object) => {
        await slow.promise;
        sent.push(object['type']);
        return object;
      },
      patch: refuse,
    });
    const event = await about('crowd');
    const each = (i: number) => ({ ...event.regarding, name: `crowd-${i}`, uid: `uid-${i}` });
    for (let i = 0; i < 5_000; i++) recorder.record({ ...event, regarding: each(i), type: 'Normal' });
    for (let i = 0; i < 10; i++) recorder.record({ ...event, regarding: each(i) });
    slow.resolve();
    await recorder.close();
    assert.equal(sent.filter((type) => type === 'Warning').length, 10);
    const normal = sent.filter((type) => type === 'Normal').length;
    assert.ok(normal > 100 && normal < 2_000, `${normal} of 5,000`);
  });

  test('an API server that refuses is no exception', async () => {
    const { recorder } = start({ create: refuse, patch: refuse });
    recorder.record(await about('refused'));
    await recorder.close();
    assert.equal((await recorded('refused')).length, 0);
  });
});

/** What status says of time is true to the second (P9), and what has begun is not begun anew. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { desired } from '../../src/oauthclient/desired.ts';
import { renewalOf } from '../../src/oauthclient/schedule.ts';
import { statusOf } from '../../src/oauthclient/status.ts';
import {
  aCertificate,
  aClient,
  aNext,
  brief,
  day,
  findingsOf,
  hour,
  now,
  recorded,
  renewal,
  settled,
  viewOf,
} from '../oauthclient/view.ts';
import { assertWellEnded } from './ending.ts';
import { World, type WorldOptions } from './world.ts';

const methods = ['tls_client_auth', 'self_signed_tls_client_auth'] as const;

async function ready(options: Partial<WorldOptions> = {}): Promise<World> {
  const world = new World({ method: 'tls_client_auth', verifyInterval: '720h', ...options });
  await world.begin();
  await world.run(world.clock.now() + hour);
  assert.equal(world.ready, 'True/Ready');
  return world;
}

const published = (world: World) => world.record?.state.certificates.find(({ role }) => role === 'Published');
const condition = (world: World, type: string) => world.client.status?.conditions?.find((one) => one.type === type);

describe('the end of a certificate that could not be replaced', () => {
  test('Ready is True until it, and False from that second on', async () => {
    const world = await ready({ watched: false, spec: { certificate: { duration: '12h' } } });
    const notAfter = Date.parse(published(world)?.notAfter ?? '');
    world.awayUntil = Infinity;
    await world.run(notAfter - 1);
    assert.equal(world.ready, 'True/Ready');
    // A call to the server that is away may just be under way; the second is the same.
    await world.run(notAfter + 999);
    assert.equal(world.ready, 'False/Expired');
    assert.equal(Date.parse(condition(world, 'Ready')?.lastTransitionTime ?? ''), notAfter);
    assert.equal(condition(world, 'CertificateReady')?.reason, 'Expired');

    // And once the server is back, within its longest pause.
    const back = notAfter + hour;
    world.awayUntil = back;
    await world.run(back + 2 * 60_000);
    assert.equal(world.ready, 'True/Ready');
    assert.ok(world.works);
  });

  test('a CA that ends takes its clients with it: every one says so in that second', async () => {
    const world = await ready({ watched: false, caDuration: '960h' });
    const end = Date.parse(world.issuerEnd('clients-1') ?? '');
    assert.equal(world.issuerReady('clients-1'), 'True/CAExpiresSoon');
    await world.run(end - 1);
    assert.equal(world.ready, 'True/Ready');
    assert.equal(published(world)?.notAfter, new Date(end).toISOString().replace('.000Z', 'Z'), 'none outlives its CA');
    await world.run(end + 1);
    assert.equal(world.ready, 'False/Expired');
    assert.equal(world.issuerReady('clients-1'), 'False/CAExpired');
    assert.ok(world.verifier.issued.size < 20, `${world.verifier.issued.size} certificates on the way there`);
    // Another issuer is the way out.
    world.addIssuer();
    await world.run(end + 5 * 60_000);
    assert.equal(world.ready, 'True/Ready');
    assert.ok(world.works);
  });
});

describe('a credential that the server refuses, and then takes though its Secret is as it was', () => {
  for (const method of methods) {
    test(`${method}: the client is registered within a minute, and the server was not asked without a pause`, async () => {
      const world = new World({ method, verifyInterval: '720h', watched: false });
      world.calls = Array.from({ length: 1_000 }, () => 'unauthorized');
      await world.begin();
      const began = world.clock.now();
      await world.run(began + hour);
      assert.equal(world.ready, 'False/RegistrationUnauthorized');
      assert.deepEqual(world.authorizationServer.clientIds, []);
      const asked = 1_000 - world.calls.length;
      assert.ok(asked >= 60 && asked <= 90, `asked ${asked} times in an hour`);

      world.calls = [];
      await world.run(began + hour + 60_000);
      assert.equal(world.authorizationServer.clientIds.length, 1);
      await world.run(began + hour + 5 * 60_000);
      assert.equal(world.ready, 'True/Ready');
      assert.ok(world.works);
    });
  }
});

describe('nothing is issued anew', () => {
  for (const method of methods) {
    test(`${method}: by restarts at any time`, async () => {
      const world = await ready({ method });
      const first = published(world)?.x5tS256;
      for (let times = 0; times < 40; times++) {
        world.kill();
        await world.run(world.clock.now() + world.random.below(hour));
        world.start();
        await world.run(world.clock.now() + world.random.below(6 * hour));
      }
      assert.equal(published(world)?.x5tS256, first);
      assert.equal(world.verifier.issued.size, 1);
    });

    test(`${method}: by a rebuild from Git with the operator's own Secrets, which goes on at the time that was set`, async () => {
      // The terminators are rebuilt too, and let nobody through until they are.
      const world = await ready({ method, watched: false });
      const before = { record: world.record?.state, status: world.client.status, clients: clientIds(world) };
      world.rebuild();
      await world.run(world.clock.now() + hour);
      world.start();
      await world.run(world.clock.now() + hour);
      assert.equal(world.ready, 'True/Ready');
      const { record, client } = world;
      assert.notEqual(record?.state.owner.uid, before.record?.owner.uid);
      assert.equal(client.status?.clientId, before.status?.clientId);
      assert.deepEqual(client.status?.certificates, before.status?.certificates, 'the renewal time with them');
      assert.deepEqual(clientIds(world), before.clients);
      assert.equal(world.verifier.issued.size, 1);
      assert.ok(world.works);
    });
  }
});

const clientIds = (world: World) => world.authorizationServer.clientIds;

describe('the spread of renewals', () => {
  const certificate = aCertificate('old');
  const renewedAt = (uid: string, clusterId = 'test-1') => {
    const observed = { ...settled(), client: aClient({}, { uid }), clusterId };
    return renewalOf(certificate, desired(observed, now));
  };

  test('is by cluster and name: a new uid changes nothing, another cluster does', () => {
    assert.equal(renewedAt('uid-1'), renewedAt('uid-2'));
    assert.notEqual(renewedAt('uid-1'), renewedAt('uid-1', 'test-2'));
  });
});

test('a renewal that is asked for before there is a certificate is answered by the first', async () => {
  const world = new World({ method: 'tls_client_auth' });
  await world.begin();
  world.requestRenewal('early');
  await world.run(world.clock.now() + hour);
  assertWellEnded(world, { renewals: 0, changes: 0 });
  assert.equal(world.client.status?.lastHandledRenew, 'early');
});

describe('a clock that jumps', () => {
  const year = 365 * day;
  const end = now + 15 * day;
  const found = (at: number, of = settled()) => findingsOf(of, at).map(brief);
  const staging = 'CertificateReady=Unknown/RenewalDue → stageCertificate';
  const rotated = recorded(settled(), {
    certificates: [
      aCertificate('next', {
        stagedAt: new Date(renewal()).toISOString(),
        notAfter: new Date(now + 35 * day).toISOString(),
      }),
      aCertificate('old', { role: 'Draining', replacedAt: new Date(renewal()).toISOString() }),
    ],
  });

  test('forward by an hour: a renewal is begun if it is due by then, and only then', () => {
    assert.deepEqual(found(renewal() - 2 * hour + hour), []);
    assert.deepEqual(found(renewal() - hour + hour), [staging]);
  });

  test('back by an hour, across a renewal that was begun: nothing is begun again, nothing is taken back', () => {
    const next = aNext({ stagedAt: new Date(renewal()).toISOString() });
    const begun = recorded(settled(), { certificates: [aCertificate('old'), next] });
    assert.deepEqual(found(renewal() - hour, begun), ['Proved=Unknown/Proving → prove']);
  });

  test('back by an hour, across one that was published: it rests, and the drain is no shorter', () => {
    const at = renewal() - hour;
    const { findings, desired: wanted } = { findings: planned(rotated, at), desired: viewOf(rotated, at).desired };
    assert.deepEqual(findings, ['CertificateReady=Unknown/Republishing → publish']);
    assert.ok(wanted.certificate.drainMs === undefined);
  });

  test('back by a year: nothing is issued, destroyed or doubted', () => {
    assert.deepEqual(found(now - year), []);
    assert.equal(statusOf(viewOf(settled(), now - year), []).conditions?.[0]?.status, 'True');
  });

  test('forward by a year: it has expired, says so, and a successor is begun', () => {
    assert.deepEqual(found(now + year - 1, { ...settled(), reproof: { due: Infinity, refusals: 0, message: '' } }), [
      'CertificateReady=False/Expired',
      staging,
    ]);
    const observed = settled();
    const view = viewOf(observed, end);
    const { conditions } = statusOf(view, findingsOf(observed, end));
    assert.deepEqual([conditions?.[0]?.status, conditions?.[1]?.reason], ['False', 'Expired']);
  });
});

const planned = (observed: ReturnType<typeof settled>, at: number) => findingsOf(observed, at).map(brief);

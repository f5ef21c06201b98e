/** What Prometheus and kubelet see of a running operator, beside what is true. */
import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { authorizationServer } from '../../src/api/authorization-server.ts';
import { clientCertificateIssuer } from '../../src/api/client-certificate-issuer.ts';
import type { Condition } from '../../src/api/conditions.ts';
import { rotationPhase } from '../../src/api/oauth-client.ts';
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../../src/api/resources.ts';
import { secretValues } from '../support/application.ts';
import { apply, documents, namespace } from '../support/cluster-objects.ts';
import { CLIENTS_ALLOWED, startInstallation, type Installation } from '../support/installation.ts';
import { TestClient } from '../support/oauth-client.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, INGRESSES, serverReady } from './lifecycle-world.ts';

const EXPIRATION = 'certbound_oauthclient_certificate_expiration_timestamp_seconds';
const RENEWAL = 'certbound_oauthclient_certificate_renewal_timestamp_seconds';
const REQUESTS = 'certbound_authorizationserver_requests_total';
const PROOFS = 'certbound_certificate_proofs_total';
const AVAILABLE = 'certbound_authorizationserver_available';
const OF_STATE = /^certbound_(oauthclient|authorizationserver_ready|clientcertificateissuer|suspected)/;

let world: Installation;
let operator: OperatorProcess;
let ended: number | string | undefined;

const client = (name: string) => new TestClient(world, { namespace: 'team', name });

/** Samples by series. */
async function scrape(): Promise<Map<string, number>> {
  const lines = (await operator.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]),
  );
}

const labelled = (server: string, rest: string) => `{authorization_server="${server}",${rest}}`;

/** Sum over the series of a metric that have these labels. */
async function total(name: string, ...labels: string[]): Promise<number> {
  const found = [...(await scrape())].filter(
    ([series]) => series.startsWith(`${name}{`) && labels.every((label) => series.includes(label)),
  );
  return found.reduce((sum, [, value]) => sum + value, 0);
}

const readyOf = (status: { conditions?: Condition[] | undefined } | undefined) =>
  status?.conditions?.find(({ type }) => type === 'Ready');
const epochSeconds = (time: string) => Date.parse(time) / 1000;

type Add = (series: string, value: number) => void;

async function addPlatform({ kube }: Installation, add: Add): Promise<void> {
  for (const object of (await kube.list(authorizationServers)).items) {
    const { metadata, status } = authorizationServer.parse(object);
    const named = `authorization_server="${metadata.name}"`;
    add(`certbound_authorizationserver_ready{${named}}`, readyOf(status)?.status === 'True' ? 1 : 0);
    add(`certbound_suspected_orphans{${named}}`, 0);
    for (const phase of rotationPhase.options)
      add(`certbound_oauthclients_in_phase${labelled(metadata.name, `phase="${phase}"`)}`, 0);
  }
  for (const object of (await kube.list(clientCertificateIssuers)).items) {
    const { metadata, status } = clientCertificateIssuer.parse(object);
    const named = `issuer="${metadata.name}"`;
    add(`certbound_clientcertificateissuer_ready{${named}}`, readyOf(status)?.status === 'True' ? 1 : 0);
    const ca = new X509Certificate(status?.caCertificate ?? '');
    const sha256 = ca.fingerprint256.replaceAll(':', '').toLowerCase();
    const name = 'certbound_clientcertificateissuer_ca_expiration_timestamp_seconds';
    add(`${name}{${named},sha256="${sha256}"}`, epochSeconds(ca.validTo));
  }
}

async function addClient(each: TestClient, add: Add): Promise<void> {
  const status = await each.status();
  const ready = readyOf(status);
  const key = `{namespace="team",name="${each.ref.name}"}`;
  add(`certbound_oauthclient_ready${key}`, ready?.status === 'True' ? 1 : 0);
  add(`certbound_oauthclients${labelled('corporate', `ready="${ready?.status}",reason="${ready?.reason}"`)}`, 1);
  if (status.rotation !== undefined)
    add(`certbound_oauthclients_in_phase${labelled('corporate', `phase="${status.rotation.phase}"`)}`, 1);
  const orphans = (await each.record())?.state.suspectedOrphans.length ?? 0;
  add('certbound_suspected_orphans{authorization_server="corporate"}', orphans);
  const secret = await each.secret();
  if (secret === undefined) return;
  add(`${EXPIRATION}${key}`, epochSeconds(new X509Certificate(secretValues(secret)['tls.crt'] ?? '').validTo));
  const published = status.certificates?.find(({ role }) => role === 'Published');
  add(`${RENEWAL}${key}`, epochSeconds(published?.renewalTime ?? ''));
}

/** The same series, from the objects that the API server holds. */
async function expected(): Promise<Map<string, number>> {
  const series = new Map<string, number>();
  const add: Add = (key, value) => void series.set(key, (series.get(key) ?? 0) + value);
  await addPlatform(world, add);
  for (const { metadata } of (await world.kube.list(oauthClients)).items) await addClient(client(metadata.name), add);
  return series;
}

/** What is told is what is, no series more and none less; caches may take a moment. */
async function agrees(): Promise<void> {
  let told: string[] = [];
  let is: string[] = [];
  const sorted = (series: Map<string, number>) =>
    [...series]
      .filter(([key]) => OF_STATE.test(key))
      .map((one) => one.join(' '))
      .toSorted((a, b) => a.localeCompare(b));
  await waitFor(async () => {
    [is, told] = [sorted(await expected()), sorted(await scrape())];
    return is.join('\n') === told.join('\n');
  }).catch(() => assert.deepEqual(told, is));
}

/** Whether kubelet would leave the Pod alone, asked all the while until `over`. */
async function healthyUntil(over: () => Promise<boolean>): Promise<void> {
  await waitFor(async () => {
    for (const path of ['/healthz', '/readyz'] as const) {
      const { ok, text } = await operator.probe(path);
      assert.ok(ok, `${path}: ${text}`);
    }
    return over();
  }, 120_000);
  assert.equal(ended, undefined);
}

describe('metrics and health of a running operator', () => {
  before(async () => {
    world = await startInstallation();
    await apply(
      world.kube,
      ...edited(await world.platform()),
      ...(await documents(INGRESSES)),
      namespace('team', CLIENTS_ALLOWED),
    );
    operator = await world.startOperator();
    void operator.exited.then((how) => (ended = how));
    await serverReady(world, 'corporate');
    await world.ingressController.settled();
  });
  after(() => world.stop());

  it('tell when certificates end and how far clients are, before and after a renewal, and nothing of those that are gone', async () => {
    await agrees();
    assert.equal(await total(EXPIRATION), 0);
    const [kept, deleted] = [client('kept'), client('deleted')];
    await Promise.all([kept, deleted].map((each) => each.apply({ certificate: { duration: '48h' } })));
    await Promise.all([kept, deleted].map((each) => each.ready()));
    await agrees();
    const before_ = await scrape();
    assert.equal([...before_.keys()].filter((key) => key.startsWith(EXPIRATION)).length, 2);
    assert.equal(before_.get(`certbound_oauthclients_in_phase${labelled('corporate', 'phase="Settled"')}`), 2);

    await kept.apply({ certificate: { duration: '96h' } });
    await kept.until((status) => status.rotation?.phase === 'Draining');
    await kept.ready();
    await agrees();
    const later = await scrape();
    const key = '{namespace="team",name="kept"}';
    for (const name of [EXPIRATION, RENEWAL]) {
      const gained = (later.get(`${name}${key}`) ?? 0) - (before_.get(`${name}${key}`) ?? Infinity);
      assert.ok(gained > 24 * 3600, `${name} moved by ${gained} s`);
    }
    assert.equal(later.get(`certbound_oauthclients_in_phase${labelled('corporate', 'phase="Draining"')}`), 1);

    await deleted.delete();
    await deleted.gone();
    await agrees();
    assert.deepEqual(
      [...(await scrape()).keys()].filter((series) => series.includes('name="deleted"')),
      [],
    );
  });

  it('count every request and what came of it', async () => {
    const seen = world.authorizationServer.requests();
    const routes: [string, string][] = [
      ['register', 'POST /reg'],
      ['remove', 'DELETE /reg/:id'],
      ['token', 'POST /token'],
      ['revoke', 'POST /token/revocation'],
    ];
    for (const [operation, route] of routes) {
      const [counted, received] = [await total(REQUESTS, `operation="${operation}"`), seen.get(route) ?? 0];
      assert.ok(received > 0, route);
      assert.equal(counted, received, operation);
    }
    assert.ok((await total(REQUESTS, 'operation="discover"', 'outcome="2xx"')) > 0);
    assert.equal(
      await total('certbound_authorizationserver_request_duration_seconds_count', 'operation="token"'),
      await total(REQUESTS, 'operation="token"'),
    );
    assert.equal(await total(PROOFS, 'outcome="refused"'), 0);
  });

  it('show a registration whose answer was lost, and a certificate that is refused', async () => {
    let cut = 0;
    world.authorizationServer.setFault(({ method, route }) =>
      method === 'POST' && route === '/reg' && cut++ === 0 ? { kind: 'reset', when: 'after' } : undefined,
    );
    const orphaned = await client('orphaned').apply();
    await orphaned.until((status) => readyOf(status)?.reason === 'OrphanSuspected');
    world.authorizationServer.setFault(undefined);
    await agrees();
    assert.equal(await total('certbound_suspected_orphans', 'authorization_server="corporate"'), 1);
    assert.equal(await total('certbound_oauthclients', 'ready="False",reason="OrphanSuspected"'), 1);

    const forgotten = await client('forgotten').apply();
    const { clientId = '' } = await forgotten.ready();
    assert.ok(world.authorizationServer.store.forgetClient(clientId));
    await forgotten.annotate({ [RENEW_REQUESTED]: 'refused' });
    await waitFor(async () => (await total(PROOFS, 'outcome="refused"')) > 0, 60_000);
    await Promise.all([orphaned, forgotten].map((each) => each.delete()));
  });

  it('a server that hangs: seen, and no reason to restart anything, with more clients waiting than there are workers', async () => {
    const crowd = Array.from({ length: 20 }, (_, i) => client(`crowd-${i}`));
    await Promise.all(crowd.map((each) => each.apply()));
    await Promise.all(crowd.map((each) => each.ready()));
    const { promise: released, resolve: release } = Promise.withResolvers<undefined>();
    world.authorizationServer.setFault(() => released);
    await Promise.all(crowd.map((each) => each.annotate({ [RENEW_REQUESTED]: 'while it hangs' })));
    // Of the crowd some find out; the others are held, and one tries now and then.
    await healthyUntil(async () => (await total(REQUESTS, 'operation="token"', 'outcome="deadline"')) >= 5);
    await healthyUntil(async () => (await total(AVAILABLE, 'authorization_server="corporate"')) === 0);
    for (const each of crowd) assert.equal(readyOf(await each.status())?.status, 'True');
    world.authorizationServer.setFault(undefined);
    release(undefined);
    await healthyUntil(async () => (await total(AVAILABLE, 'authorization_server="corporate"')) === 1);
    await Promise.all(
      crowd.map((each) =>
        each.until((status) => status.lastHandledRenew !== undefined && status.rotation?.phase === 'Draining', 120_000),
      ),
    );
    await agrees();
  });

  it('a server that is gone, behind its gateway and altogether: the same', async () => {
    const waiting = client('crowd-0');
    await world.authorizationServer.stop();
    await waiting.annotate({ [RENEW_REQUESTED]: 'while it is gone' });
    await healthyUntil(async () => (await total(REQUESTS, 'operation="token"', 'outcome="5xx"')) > 0);
    await world.ingressController.stop();
    await healthyUntil(async () => (await total(REQUESTS, 'outcome="unconnected"')) > 0);
    assert.equal(readyOf(await waiting.status())?.status, 'True');
    await agrees();
  });

  it('a process that stood still fails one liveness probe, and goes on', async () => {
    operator.signal('SIGSTOP');
    await sleep(11_000);
    operator.signal('SIGCONT');
    const { ok, text } = await operator.probe('/healthz');
    assert.ok(!ok);
    assert.match(text, /event-loop failed: blocked for \d+ ms/);
    await healthyUntil(() => Promise.resolve(true));
    await agrees();
  });
});

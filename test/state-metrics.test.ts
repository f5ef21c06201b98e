/** What a scrape says of clients, servers and issuers, from caches as they may be. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AuthorizationServer } from '../src/api/authorization-server.ts';
import { clientCertificateIssuer, type ClientCertificateIssuer } from '../src/api/client-certificate-issuer.ts';
import type { OAuthClientStatus } from '../src/api/oauth-client.ts';
import { createMetrics } from '../src/metrics.ts';
import type { Observed } from '../src/oauthclient/observed.ts';
import { recordName, type RecordProjection, type RecordState } from '../src/oauthclient/record.ts';
import { registerStateMetrics } from '../src/state-metrics.ts';
import type { HostResult } from '../src/terminator/proof/results.ts';
import { UNPROVED } from '../src/terminator/proof/verdict.ts';
import {
  aCertificate,
  aClient,
  aNext,
  aServer,
  day,
  instant,
  isReady,
  namespace,
  now,
  projected,
  settled,
} from './oauthclient/view.ts';

const EXPIRATION = 'certbound_oauthclient_certificate_expiration_timestamp_seconds';
const RENEWAL = 'certbound_oauthclient_certificate_renewal_timestamp_seconds';
const seconds = (time: number) => Math.floor(time / 1000);

/** What the caches hold of some clients. */
class World {
  clients: Observed['client'][] = [];
  records: RecordProjection[] = [];
  secrets: NonNullable<Observed['published']>[] = [];
  servers: AuthorizationServer[] = [aServer()];
  issuers: ClientCertificateIssuer[] = [];
  proofs: HostResult[] = [];
  readonly #metrics = createMetrics();

  constructor() {
    registerStateMetrics(this.#metrics.registry, {
      clients: {
        get: (inNamespace, name) =>
          this.clients.find(({ metadata }) => metadata.namespace === inNamespace && metadata.name === name),
        list: () => this.clients,
      },
      servers: {
        get: (_none, name) => this.servers.find(({ metadata }) => metadata.name === name),
        list: () => this.servers,
      },
      issuers: { list: () => this.issuers },
      records: { list: () => this.records },
      published: {
        get: (inNamespace, name) => this.secrets.find((one) => one.namespace === inNamespace && one.name === name),
      },
      proofs: { list: () => this.proofs },
      controllerName: 'certbound.dev/operator',
    });
  }

  add({ client, record, published }: Observed, status?: OAuthClientStatus): this {
    this.clients.push({ ...client, status: status ?? client.status });
    if (record !== undefined) this.records.push(record);
    if (published !== undefined) this.secrets.push(published);
    return this;
  }

  /** The samples of one metric, without its name. */
  async samples(name: string): Promise<string[]> {
    const lines = (await this.#metrics.registry.getSingleMetricAsString(name)).split('\n');
    return lines.filter((line) => line.startsWith(`${name}{`)).map((line) => line.slice(name.length));
  }
}

const published = (certificates: RecordState['certificates'] = [aCertificate('old')]): Observed => {
  const observed = settled();
  const state = observed.record?.state;
  assert.ok(state !== undefined);
  return { ...observed, record: projected({ ...state, certificates }) };
};

const showing = (x5tS256: string, renewalTime: number, conditions = isReady()): OAuthClientStatus => ({
  certificates: [
    {
      x5tS256,
      role: 'Published',
      serialNumber: '01',
      subject: 'CN=x',
      notBefore: instant(now),
      notAfter: instant(now),
      renewalTime: instant(renewalTime),
    },
  ],
  rotation: { phase: 'Settled', reason: 'Issuing', since: instant(now) },
  conditions,
});

const ofBatch = (time: number) => [`{namespace="${namespace}",name="batch"} ${seconds(time)}`];

describe('the certificate of a client', () => {
  test('ends and is renewed when the one that is published does', async () => {
    const world = new World().add(published([aCertificate('old'), aNext()]), showing('old', now + 5 * day));
    assert.deepEqual(await world.samples(EXPIRATION), ofBatch(now + 15 * day));
    assert.deepEqual(await world.samples(RENEWAL), ofBatch(now + 5 * day));
  });

  test('is what the Secret holds, while its successor could not be written to it', async () => {
    const replaced = [
      aCertificate('old', { role: 'Draining', replacedAt: instant(now), notAfter: instant(now + day) }),
      aCertificate('new', { notAfter: instant(now + 30 * day) }),
    ];
    const world = new World().add(published(replaced), showing('new', now + 20 * day));
    assert.deepEqual(await world.samples(EXPIRATION), ofBatch(now + day));
    assert.deepEqual(await world.samples(RENEWAL), [], 'no renewal of it is to come');
  });

  test('is what the record has published, while the Secret is gone, broken or somebody else’s', async () => {
    const { client, record, published: secret } = published();
    assert.ok(secret !== undefined);
    for (const found of [undefined, { ...secret, digests: {} }, { ...secret, ownerUid: 'somebody else' }]) {
      const world = new World();
      world.clients.push(client);
      if (record !== undefined) world.records.push(record);
      if (found !== undefined) world.secrets.push(found);
      assert.deepEqual(await world.samples(EXPIRATION), ofBatch(now + 15 * day));
    }
  });

  test('has no time before there is one, and none when the client is gone or another of its name', async () => {
    const world = new World().add({ ...published([aNext()]), published: undefined });
    assert.deepEqual(await world.samples(EXPIRATION), []);
    world.records = [];
    world.clients = [];
    world.add(published());
    assert.equal((await world.samples(EXPIRATION)).length, 1);
    world.clients = [aClient({}, { uid: 'another' })];
    assert.deepEqual(await world.samples(EXPIRATION), []);
    world.clients = [];
    assert.deepEqual(await world.samples(EXPIRATION), []);
  });

  test('is told once, though a copy of the record lies about; an unreadable one says nothing', async () => {
    const world = new World().add(published());
    const [record] = world.records;
    assert.ok(record !== undefined);
    world.records.push({ ...record, name: 'a-copy' }, { ...record, name: 'damaged', state: undefined });
    assert.equal((await world.samples(EXPIRATION)).length, 1);
  });
});

describe('clients', () => {
  const named = (name: string, server: string, status?: OAuthClientStatus) => ({
    ...aClient({ authorizationServerRef: { name: server } }, { name, uid: name }, status),
  });

  test('are counted by readiness and by phase, and told one by one', async () => {
    const world = new World();
    world.clients = [
      named('a', 'corporate', showing('a', now)),
      named('b', 'corporate', showing('b', now)),
      named('c', 'corporate', { conditions: isReady('False', 'OrphanSuspected') }),
      named('d', 'corporate'),
    ];
    assert.deepEqual(await world.samples('certbound_oauthclients'), [
      '{authorization_server="corporate",ready="True",reason="Ready"} 2',
      '{authorization_server="corporate",ready="False",reason="OrphanSuspected"} 1',
      '{authorization_server="corporate",ready="Unknown",reason="Pending"} 1',
    ]);
    assert.deepEqual(
      await world.samples('certbound_oauthclient_ready'),
      ['a"} 1', 'b"} 1', 'c"} 0', 'd"} 0'].map((end) => `{namespace="${namespace}",name="${end}`),
    );
    const phases = await world.samples('certbound_oauthclients_in_phase');
    assert.equal(phases.length, 7);
    assert.deepEqual(
      phases.filter((line) => !line.endsWith(' 0')),
      ['{authorization_server="corporate",phase="Settled"} 2'],
    );
  });

  test('name no server that the platform did not make, whatever a tenant writes', async () => {
    const world = new World();
    world.clients = Array.from({ length: 50 }, (_, i) => named(`c-${i}`, `invented-${i}`, showing('x', now)));
    const unnamed = 'authorization_server=""';
    assert.deepEqual(await world.samples('certbound_oauthclients'), [`{${unnamed},ready="True",reason="Ready"} 50`]);
    const phases = await world.samples('certbound_oauthclients_in_phase');
    assert.ok(phases.includes(`{${unnamed},phase="Settled"} 50`));
    assert.equal(phases.length, 8);
  });

  test('give no more reasons than there may be', async () => {
    const world = new World();
    world.clients = Array.from({ length: 500 }, (_, i) =>
      named(`c-${i}`, 'corporate', { conditions: isReady('False', `Invented${i}`) }),
    );
    const lines = await world.samples('certbound_oauthclients');
    assert.equal(lines.length, 65);
    assert.equal(lines.at(-1), '{authorization_server="corporate",ready="False",reason="Other"} 436');
  });

  test('of a server that another installation acts on are not ours', async () => {
    const world = new World();
    world.servers = [aServer({ controllerName: 'example.com/other' })];
    world.clients = [named('a', 'corporate', showing('a', now))];
    const names = ['oauthclients', 'oauthclients_in_phase', 'oauthclient_ready', 'authorizationserver_ready'];
    for (const name of names) assert.deepEqual(await world.samples(`certbound_${name}`), [], name);
  });

  test('may have left some behind at the server', async () => {
    const world = new World().add(published());
    const orphans = 'certbound_suspected_orphans';
    assert.deepEqual(await world.samples(orphans), ['{authorization_server="corporate"} 0']);
    const state = world.records[0]?.state;
    assert.ok(state !== undefined);
    world.records = [projected({ ...state, suspectedOrphans: [instant(now), instant(now + day)] })];
    assert.deepEqual(await world.samples(orphans), ['{authorization_server="corporate"} 2']);
  });
});

test('servers and issuers: who is Ready, and when each CA ends', async () => {
  const world = new World();
  const notReady = aServer();
  world.servers = [
    aServer(),
    { ...notReady, metadata: { ...notReady.metadata, name: 'down' }, status: { conditions: isReady('False', 'X') } },
  ];
  const generation = (sha256: string, notAfter: number) => ({
    sha256,
    subject: 'CN=CA',
    notBefore: instant(now),
    notAfter: instant(notAfter),
    phase: 'Active',
  });
  world.issuers = [
    clientCertificateIssuer.parse({
      metadata: { name: 'ours', uid: 'u', resourceVersion: '1' },
      spec: { ca: { managed: {} } },
      status: { conditions: isReady(), generations: [generation('aa', now + day), generation('bb', now + 9 * day)] },
    }),
    clientCertificateIssuer.parse({ metadata: { name: 'new', uid: 'v', resourceVersion: '1' }, spec: { ca: {} } }),
  ];
  assert.deepEqual(await world.samples('certbound_authorizationserver_ready'), [
    '{authorization_server="corporate"} 1',
    '{authorization_server="down"} 0',
  ]);
  assert.deepEqual(await world.samples('certbound_clientcertificateissuer_ready'), [
    '{issuer="ours"} 1',
    '{issuer="new"} 0',
  ]);
  assert.deepEqual(await world.samples('certbound_clientcertificateissuer_ca_expiration_timestamp_seconds'), [
    `{issuer="ours",sha256="aa"} ${seconds(now + day)}`,
    `{issuer="ours",sha256="bb"} ${seconds(now + 9 * day)}`,
  ]);
});

test('terminators: hosts by what was shown, and the proof that is oldest', async () => {
  const world = new World();
  const doubt = { reason: 'CertificateRefused', case: 'canary', answered: '', address: 'a', clean: 0 } as const;
  const proofs = [
    { ...UNPROVED, passedAt: now },
    { ...UNPROVED, passedAt: now - day },
    { ...UNPROVED, doubts: [{ ...doubt, seen: 2 }] },
    { ...UNPROVED, doubts: [{ ...doubt, seen: 1 }] },
  ];
  world.proofs = proofs.map((proof, i) => ({ controller: 'k8s.io/ingress-nginx', host: `${i}.example.test`, proof }));
  assert.deepEqual(await world.samples('certbound_terminator_hosts'), [
    '{controller="k8s.io/ingress-nginx",state="proved"} 2',
    '{controller="k8s.io/ingress-nginx",state="disproved"} 1',
    '{controller="k8s.io/ingress-nginx",state="unproved"} 1',
  ]);
  assert.deepEqual(await world.samples('certbound_terminator_oldest_proof_timestamp_seconds'), [
    `{controller="k8s.io/ingress-nginx"} ${(now - day) / 1000}`,
  ]);
});

test('10,000 clients are three series each, whatever the scrape before said', async (t) => {
  const { registry } = createMetrics();
  const observed = published();
  const { state } = observed.record ?? {};
  assert.ok(state !== undefined && observed.published !== undefined);
  const clients = new Map<string, Observed['client']>();
  const records: RecordProjection[] = [];
  const secret = observed.published;
  const status = showing('old', now + 5 * day);
  for (let i = 0; i < 10_000; i++) {
    const owner = { namespace: `team-${i % 100}`, name: `payments-batch-${i}`, uid: `uid-${i}` };
    const metadata = { ...observed.client.metadata, ...owner };
    clients.set(`${owner.namespace}/${owner.name}`, { ...observed.client, metadata, status });
    records.push({ ...projected({ ...state, owner }), name: recordName(owner.namespace, owner.name) });
  }
  const servers = [aServer()];
  registerStateMetrics(registry, {
    clients: { get: (inNamespace, name) => clients.get(`${inNamespace}/${name}`), list: () => clients.values() },
    servers: { get: (_none, name) => servers.find(({ metadata }) => metadata.name === name), list: () => servers },
    issuers: { list: () => [] },
    records: { list: () => records },
    published: {
      get: (inNamespace, name) => ({
        ...secret,
        ownerUid: clients.get(`${inNamespace}/${name.replace(/-oauth$/, '')}`)?.metadata.uid,
      }),
    },
    proofs: { list: () => [] },
    controllerName: 'certbound.dev/operator',
  });
  const told = (text: string) => text.split('\n').filter((line) => line.includes(',name="')).length;
  for (let scrape = 1; scrape <= 3; scrape++) {
    const before = process.cpuUsage();
    const text = await registry.metrics();
    const { user } = process.cpuUsage(before);
    t.diagnostic(`scrape ${scrape}: ${Math.round(user / 1000)} ms of CPU, ${text.length} bytes`);
    assert.equal(told(text), 30_000);
  }
  clients.clear();
  assert.equal(told(await registry.metrics()), 0);
});

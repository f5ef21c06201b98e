/** A client's life when something breaks: its Secret, the authorization server, the operator. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OWNER_UID, RENEW_REQUESTED, ROLE_LABEL, Role } from '../../src/api/annotations.ts';
import { secrets, type KubernetesObject } from '../../src/kube/resource.ts';
import { secretValues } from '../support/application.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { waitFor } from '../support/wait-for.ts';
import { registeredKeys } from './lifecycle-cases.ts';
import { allClients, operatorWrites, type LifecycleWorld } from './lifecycle-world.ts';

type World = () => LifecycleWorld;
const encode = (text: string) => Buffer.from(text).toString('base64');

interface Damage {
  name: string;
  /** What somebody does to the published Secret. */
  do(world: LifecycleWorld, secret: KubernetesObject): Promise<unknown>;
}

function withValues(values: Record<string, string>, change: Partial<KubernetesObject> = {}): Damage['do'] {
  return ({ installation: { kube } }, secret) => {
    const data = { ...Object(secret['data']), ...values };
    return kube.update(secrets, { ...secret, ...change, data });
  };
}

function bare({ metadata: { name, namespace, labels, annotations, ownerReferences } }: KubernetesObject) {
  return {
    name,
    ...(namespace && { namespace }),
    ...(labels && { labels }),
    ...(annotations && { annotations }),
    ...(ownerReferences && { ownerReferences }),
  };
}

const strangersKey = '-----BEGIN PRIVATE KEY-----\nanother\n-----END PRIVATE KEY-----\n';
const damages: Damage[] = [
  { name: 'deleted', do: ({ installation: { kube } }, { metadata }) => kube.delete(secrets, metadata) },
  { name: 'key-swapped', do: withValues({ 'tls.key': encode(strangersKey) }) },
  { name: 'certificate-garbage', do: withValues({ 'tls.crt': encode('garbage') }) },
  { name: 'client-id-changed', do: withValues({ client_id: encode('somebody else') }) },
  {
    name: 'emptied',
    do: ({ installation: { kube } }, secret) =>
      kube.update(secrets, { ...secret, data: { 'tls.crt': '', 'tls.key': '' } }),
  },
  {
    name: 'label-removed',
    do: ({ installation: { kube } }, { metadata }) =>
      kube.patch(secrets, metadata, { metadata: { labels: { [ROLE_LABEL]: null } } }, { type: 'merge' }),
  },
  {
    name: 'label-removed-and-damaged',
    do: withValuesAndWithoutLabels({ 'tls.crt': encode('garbage') }),
  },
  { name: 'immutable-and-damaged', do: withValues({ 'tls.key': encode(strangersKey) }, { immutable: true }) },
  {
    name: 'type-changed',
    async do({ installation: { kube } }, secret) {
      await kube.delete(secrets, secret.metadata);
      // The operator may be quicker; then its Secret is there, of the right type.
      await kube
        .create(secrets, { metadata: bare(secret), type: 'Opaque', data: secret['data'] })
        .catch(() => undefined);
    },
  },
];

function withValuesAndWithoutLabels(values: Record<string, string>): Damage['do'] {
  return (world, secret) => {
    const { labels: _labels, ...metadata } = secret.metadata;
    return withValues(values)(world, { ...secret, metadata });
  };
}

/** The Secret as it was, by the operator's own copy: no new certificate, no call to the server. */
async function assertRepaired(client: TestClient, intact: KubernetesObject): Promise<void> {
  let found: KubernetesObject | undefined;
  const same = async () => {
    found = await client.secret();
    return (
      JSON.stringify(sorted(found?.['data'])) === JSON.stringify(sorted(intact['data'])) &&
      found?.['type'] === intact['type'] &&
      found?.['immutable'] === undefined &&
      found?.metadata.labels?.[ROLE_LABEL] === Role.published
    );
  };
  await waitFor(same).catch((error: unknown) => {
    throw new Error(`not repaired: ${JSON.stringify({ ...found, data: undefined })}`, { cause: error });
  });
  assert.equal(found?.metadata.annotations?.[OWNER_UID], (await client.object())?.metadata.uid);
  assert.deepEqual(found?.metadata.ownerReferences, intact.metadata.ownerReferences);
}

function sorted(data: unknown): unknown {
  return Object.entries(Object(data)).toSorted(([a], [b]) => (a < b ? -1 : 1));
}

export function repairCases(world: World): void {
  const clients = new Map<string, { client: TestClient; secret: KubernetesObject }>();
  let registrations: number | undefined;

  describe('while the authorization server is down', { concurrency: true }, () => {
    before(async () => {
      const made = damages.map(({ name }) => world().client(name));
      await Promise.all(made.map((client) => client.apply()));
      await Promise.all(made.map((client) => client.ready()));
      for (const client of made) clients.set(client.ref.name, { client, secret: await client.publishedSecret() });
      const { authorizationServer } = world().installation;
      registrations = authorizationServer.requests().get('POST /reg');
      authorizationServer.setFault(() => ({ kind: 'reset', when: 'before' }));
    });

    for (const damage of damages) {
      it(`writes the published Secret again, byte for byte: ${damage.name}`, async () => {
        const entry = clients.get(damage.name);
        assert.ok(entry !== undefined);
        await damage.do(world(), entry.secret);
        await assertRepaired(entry.client, entry.secret);
      });
    }
  });

  it('once it is back, accepts every certificate that was written again', async () => {
    const { authorizationServer } = world().installation;
    authorizationServer.setFault(undefined);
    assert.equal(authorizationServer.requests().get('POST /reg'), registrations);
    for (const { client, secret } of clients.values()) {
      const { certificates } = await client.ready();
      assert.equal(certificates?.length, 1);
      assert.equal(await boundTo(await client.credentials()), secretValues(secret)['x5t_s256']);
      assert.equal(client.registrations().length, 1);
    }
  });

  it('replaces an immutable Secret when its certificate is renewed', async () => {
    const client = await world().client('immutable').apply();
    await client.ready();
    const { kube } = world().installation;
    const first = await client.credentials();
    await kube.patch(secrets, client.secretRef, { immutable: true }, { type: 'merge' });
    await client.annotate({ [RENEW_REQUESTED]: 'now' });
    await client.until((status) => status.lastHandledRenew === 'now' && status.rotation?.phase === 'Draining');
    const renewed = await client.credentials();
    assert.notEqual(renewed.x5tS256, first.x5tS256);
    assert.equal(await boundTo(renewed), renewed.x5tS256);
    assert.equal(await boundTo(first), first.x5tS256);
  });
}

/** The certificate that waits to be proved, once the registration is what it must be for that. */
async function stagedIn(client: TestClient): Promise<string | undefined> {
  const state = (await client.record())?.state;
  return state?.registration === undefined || state.intent !== undefined
    ? undefined
    : state.certificates.find((c) => c.role === 'Next')?.x5tS256;
}

export function restartCases(world: World): void {
  it('killed after a registration and in mid-rotation, goes on with what is stored', async () => {
    const { installation, method } = world();
    const { authorizationServer } = installation;
    const rotating = await world().client('killed-in-rotation').apply();
    const settled = await rotating.ready();
    const old = await rotating.credentials();
    const registrations = authorizationServer.requests().get('POST /reg') ?? 0;
    authorizationServer.setFault(({ method: verb, route }) =>
      verb === 'POST' && route === '/token' ? { kind: 'respond', status: 503, body: 'not now' } : undefined,
    );
    const fresh = await world().client('killed-after-registration').apply();
    await rotating.annotate({ [RENEW_REQUESTED]: 'now' });
    await waitFor(async () => (await stagedIn(fresh)) !== undefined && (await stagedIn(rotating)) !== undefined);
    await world().operator.kill();
    const staged = { fresh: await stagedIn(fresh), rotating: await stagedIn(rotating) };
    const clientId = (await fresh.record())?.state.registration?.clientId;
    assert.equal(await fresh.secret(), undefined);
    assert.equal((await rotating.credentials()).x5tS256, old.x5tS256);
    authorizationServer.setFault(undefined);
    world().operator = await installation.startOperator();

    await fresh.ready();
    await rotating.until((s) => s.lastHandledRenew === 'now' && s.rotation?.phase === 'Draining');
    assert.equal((await fresh.credentials()).clientId, clientId);
    assert.equal((await rotating.credentials()).clientId, settled.clientId);
    for (const [client, x5tS256] of [
      [fresh, staged.fresh],
      [rotating, staged.rotating],
    ] as const) {
      assert.equal(client.registrations().length, 1);
      const credentials = await client.credentials();
      assert.equal(credentials.x5tS256, x5tS256, 'what was staged before the kill is what is published');
      assert.equal(await boundTo(credentials), x5tS256);
    }
    assert.equal(await boundTo(old), old.x5tS256);
    assert.equal(authorizationServer.requests().get('POST /reg'), registrations + 1);
    const keys = method === 'tls_client_auth' ? [] : [old.x5tS256, staged.rotating];
    assert.deepEqual(registeredKeys(rotating), keys);
  });

  it('down between the proof and publication, counts the drain from publication', async () => {
    const { installation } = world();
    const client = await world().client('published-late').apply();
    await client.ready();
    const { data } = await client.publishedSecret();
    const old = await client.credentials();
    await client.annotate({ [RENEW_REQUESTED]: 'now' });
    await client.until((s) => s.lastHandledRenew === 'now' && s.rotation?.phase === 'Draining');
    await world().operator.kill();
    // As if it had died with the proof stored and the Secret not yet written.
    const renewed = await client.publishedSecret();
    await installation.kube.update(secrets, { ...renewed, data });
    const replacedAt = async () => {
      const certificates = (await client.record())?.state.certificates ?? [];
      return Date.parse(certificates.find((c) => c.x5tS256 === old.x5tS256)?.replacedAt ?? '');
    };
    assert.ok((await replacedAt()) < Date.now());
    await sleep(5_000);
    const up = Date.now();
    world().operator = await installation.startOperator();
    await waitFor(async () => (await client.credentials()).x5tS256 === secretValues(renewed)['x5t_s256']);
    assert.ok((await replacedAt()) >= up);
    assert.equal(await boundTo(old), old.x5tS256);
    assert.equal(await boundTo(await client.credentials()), secretValues(renewed)['x5t_s256']);
  });

  it('killed at rest, and started again, writes nothing', async () => {
    const clients = await allClients(world());
    assert.ok(clients.length > 5);
    await Promise.all(clients.map((client) => client.ready()));
    const published = await Promise.all(clients.map((client) => client.publishedSecret()));
    const requests = world().installation.authorizationServer.requests();
    await sleep(1000);
    await world().operator.kill();
    const since = new Date();
    world().operator = await world().installation.startOperator();
    await sleep(5000);
    const writes = await operatorWrites(world(), since);
    // Owners of Ingresses are told again what a restart has forgotten telling them.
    const advice = (e: (typeof writes)[number]) => e.resource === 'events' && e.namespace === 'identity';
    assert.deepEqual(
      writes.filter((e) => !advice(e)).map((e) => `${e.verb} ${e.requestURI} ${e.code}`),
      [],
    );
    const unchanged = await Promise.all(clients.map((client) => client.publishedSecret()));
    assert.deepEqual(unchanged, published);
    const now = world().installation.authorizationServer.requests();
    for (const call of ['POST /reg', 'PUT /reg/:id', 'DELETE /reg/:id', 'POST /token']) {
      assert.equal(now.get(call), requests.get(call), call);
    }
  });
}

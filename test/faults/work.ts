/** What goes on while something is wrong: one client is created, others renewed, changed, deleted, damaged. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import { secrets } from '../../src/kube/resource.ts';
import { registeredKeys } from '../e2e/lifecycle-cases.ts';
import { boundTo, isTrue, type TestClient } from '../support/oauth-client.ts';
import { clientOf, selfSignedClientOf, type FaultWorld } from './world.ts';

/** Until the API server takes it, which may be what is wrong. */
async function persist(operation: () => Promise<unknown>): Promise<void> {
  const started = performance.now();
  for (;;) {
    try {
      await operation();
      return;
    } catch (error) {
      if (performance.now() - started > 180_000) throw error;
      await sleep(200);
    }
  }
}

/** What a lost answer to a create leaves of the client that is created (RFC 7591 has no way to look it up). */
export interface Leftover {
  /** Clients at the server that nobody can use. */
  orphans: number;
  /** How often it was suspected, whether there is one or not. */
  suspected: number;
}

interface Before {
  thumbprint: string;
  data: string;
}

async function lookAt(client: TestClient): Promise<Before> {
  const secret = await client.publishedSecret();
  const { x5tS256 } = await client.credentials();
  return { thumbprint: x5tS256, data: JSON.stringify(secret['data']) };
}

export class Work {
  readonly created: TestClient;
  readonly renewed: TestClient;
  /** Self-signed: each renewal changes what is registered. */
  readonly rekeyed: TestClient;
  readonly changed: TestClient;
  readonly deleted: TestClient;
  readonly damaged: TestClient;
  readonly #world: FaultWorld;
  readonly #leaves: Leftover;
  readonly #before = new Map<TestClient, Before>();
  #registrations = 0;

  constructor(world: FaultWorld, prefix: string, leaves: Leftover) {
    this.#world = world;
    this.#leaves = leaves;
    this.created = clientOf(world, `${prefix}-created`);
    this.renewed = clientOf(world, `${prefix}-renewed`);
    this.rekeyed = selfSignedClientOf(world, `${prefix}-rekeyed`);
    this.changed = clientOf(world, `${prefix}-changed`);
    this.deleted = clientOf(world, `${prefix}-deleted`);
    this.damaged = clientOf(world, `${prefix}-damaged`);
  }

  get #prepared(): TestClient[] {
    return [this.renewed, this.rekeyed, this.changed, this.deleted, this.damaged];
  }

  /** Those that are there when it is over. */
  get #kept(): TestClient[] {
    return [this.created, this.renewed, this.rekeyed, this.changed, this.damaged];
  }

  /** `POST /reg` since the beginning: how often something was registered, the prepared ones included. */
  get registrations(): number {
    return this.#posted() - this.#registrations;
  }

  async prepare(): Promise<void> {
    this.#registrations = this.#posted();
    // Without a scope it would have all that is granted, and nothing would be left to change.
    await Promise.all(
      this.#prepared.map((client) => client.apply(client === this.changed ? { scope: 'accounts:read' } : {})),
    );
    for (const client of this.#prepared) {
      await client.ready(120_000);
      this.#before.set(client, await lookAt(client));
    }
  }

  async do(): Promise<void> {
    const { kube } = this.#world.installation;
    const damage = { data: { 'tls.key': Buffer.from('damaged').toString('base64') } };
    await Promise.all([
      persist(() => this.created.apply()),
      persist(() => this.renewed.annotate({ [RENEW_REQUESTED]: 'now' })),
      persist(() => this.rekeyed.annotate({ [RENEW_REQUESTED]: 'now' })),
      persist(() => this.changed.apply({ scope: 'accounts:read accounts:write' })),
      persist(() => this.deleted.delete()),
      persist(() => kube.patch(secrets, this.damaged.secretRef, damage, { type: 'merge' })),
    ]);
  }

  /** The state of the undisturbed run; undefined once it is reached, else what is missing first. */
  async missing(): Promise<string | undefined> {
    try {
      await Promise.all(this.#kept.map((client) => this.#settled(client)));
      await this.#gone(this.deleted);
      await this.#asAsked();
      await Promise.all(this.#kept.map((client) => this.#works(client)));
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  async remove(): Promise<void> {
    await Promise.all(this.#kept.map((client) => client.delete()));
    for (const client of this.#kept) {
      await client.gone();
      await this.#gone(client);
    }
  }

  /** How many requests of the server made a registration. */
  #posted(): number {
    return this.#world.installation.authorizationServer.requests().get('POST /reg') ?? 0;
  }

  async #settled(client: TestClient): Promise<void> {
    const { name } = client.ref;
    const object = await client.object();
    const status = object?.status ?? {};
    const said = status.conditions?.map(({ type, status: is, reason }) => `${type}=${is}/${reason}`).join(' ');
    assert.equal(status.observedGeneration, object?.metadata.generation, `${name}: generation not observed`);
    assert.ok(isTrue(status, 'Ready'), `${name} is not Ready: ${said}`);
    assert.ok(!isTrue(status, 'Reconciling') && !isTrue(status, 'Stalled'), `${name} is not settled: ${said}`);
    const record = await client.record();
    assert.equal(record?.state.intent, undefined, `${name}: an intent is open`);
    const leaves = client === this.created ? this.#leaves : { orphans: 0, suspected: 0 };
    assert.equal(record?.state.suspectedOrphans.length, leaves.suspected, `${name}: orphans suspected`);
    const roles = record?.state.certificates.map(({ role }) => role).toSorted();
    const renewed = client === this.renewed || client === this.rekeyed;
    assert.deepEqual(roles, renewed ? ['Draining', 'Published'] : ['Published'], `${name}: ${String(roles)}`);
    const registered = client.registrations().map(({ client_id: id }) => id);
    const { clientId } = await client.credentials();
    const others = registered.filter((id) => id !== clientId);
    assert.deepEqual(
      [registered.length, others.length],
      [leaves.orphans + 1, leaves.orphans],
      `${name}: registered as ${registered.join(', ')}`,
    );
  }

  async #asAsked(): Promise<void> {
    assert.equal(this.changed.registrations()[0]?.['scope'], 'accounts:read accounts:write', 'scope not registered');
    const { data } = await lookAt(this.damaged);
    assert.equal(data, this.#before.get(this.damaged)?.data, 'the damaged Secret is not as it was');
    for (const client of [this.renewed, this.rekeyed]) {
      const { thumbprint } = await lookAt(client);
      assert.notEqual(thumbprint, this.#before.get(client)?.thumbprint, `${client.ref.name} is not renewed`);
    }
    const keys = (await this.rekeyed.record())?.state.certificates.map(({ x5tS256 }) => x5tS256) ?? [];
    assert.deepEqual(registeredKeys(this.rekeyed).toSorted(), keys.toSorted(), 'other keys are registered');
  }

  async #works(client: TestClient): Promise<void> {
    const credentials = await client.credentials();
    assert.equal(await boundTo(credentials), credentials.x5tS256, `${client.ref.name}: bound to another certificate`);
  }

  async #gone(client: TestClient): Promise<void> {
    const { name } = client.ref;
    assert.equal(await client.object(), undefined, `${name} is still there`);
    assert.equal(await client.secret(), undefined, `the Secret of ${name} is left over`);
    assert.equal(await client.ownSecret(), undefined, `the operator's own Secret of ${name} is left over`);
    const { orphans } = client === this.created ? this.#leaves : { orphans: 0 };
    assert.equal(client.registrations().length, orphans, `${name} is still registered`);
  }
}

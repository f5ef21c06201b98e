/** An OAuthClient whose operator dies: what it is made of, and what must have become of it. */
import assert from 'node:assert/strict';
import { isDeepStrictEqual } from 'node:util';
import { oauthClients } from '../../src/api/resources.ts';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import { claimName } from '../../src/authserver/claims.ts';
import { effectiveIdentity } from '../../src/authserver/identity.ts';
import { configMaps, events, secrets } from '../../src/kube/resource.ts';
import { recordName } from '../../src/oauthclient/record.ts';
import type { ApiRequest } from '../support/api-request.ts';
import { credentialsOf, type ClientCredentials } from '../support/application.ts';
import { CLUSTER_ID } from '../support/installation.ts';
import { boundTo, isTrue, type TestClient } from '../support/oauth-client.ts';
import { conditionList } from './condition-list.ts';
import type { CrashSubject } from './crash-subject.ts';
import type { CrashWorld } from './crash-world.ts';
import { clientOf, NAMESPACE, selfSignedClientOf } from './world.ts';

const OPERATOR_NAMESPACE = 'certbound-system';

/** Without names, times and keys, which differ from run to run. */
export interface ClientOutcome {
  conditions: string[];
  phase: string | undefined;
  roles: string[];
  handled: string | undefined;
  /** The certificate that is published is another than before. */
  renewed: boolean;
  scope: unknown;
  keys: 'as recorded' | 'others';
}

export interface ClientScenario {
  name: string;
  what: string;
  /** What it is made with. */
  prepare(client: TestClient, world: CrashWorld): Promise<unknown>;
  begin(client: TestClient, world: CrashWorld): Promise<unknown>;
  /** What it ends with, where that is not a client that works. */
  ends?: 'deleted' | 'withdrawn';
  /** How many certificates are published one after the other, the first included, at most. */
  certificates: number;
  over(outcome: ClientOutcome | 'gone'): boolean;
}

function placesOf(world: CrashWorld, name: string): Set<string> {
  const values = { namespace: NAMESPACE, name, clusterId: CLUSTER_ID };
  const effective = effectiveIdentity([{ dn: 'CN={name},O={namespace}' }], undefined, values);
  if (!('identity' in effective)) throw new Error(effective.violation.message);
  const claim = claimName(world.installation.authorizationServer.issuer, effective.identity);
  return new Set([
    `${oauthClients.plural} ${NAMESPACE} ${name}`,
    `${secrets.plural} ${NAMESPACE} ${name}-oauth`,
    `${secrets.plural} ${OPERATOR_NAMESPACE} ${recordName(NAMESPACE, name)}`,
    `${configMaps.plural} ${OPERATOR_NAMESPACE} ${claim}`,
  ]);
}

function keysOf(registration: Record<string, unknown> | undefined): string[] {
  const keys: unknown = Reflect.get(Object(registration?.['jwks']), 'keys');
  return Array.isArray(keys) ? keys.map((key: unknown) => String(Reflect.get(Object(key), 'x5t#S256'))).toSorted() : [];
}

export class ClientSubject implements CrashSubject {
  readonly kind = 'oauthclient';
  readonly name: string;
  readonly key: string;
  readonly marker: string;
  readonly client: TestClient;
  readonly #world: CrashWorld;
  readonly #method: AuthMethod;
  readonly #scenario: ClientScenario;
  readonly #names: Set<string>;
  #before: string | undefined;
  #begun = false;
  /** Registered by a call whose answer was lost with the operator: client ids. */
  readonly #lost = new Set<string>();
  /** Every key that was ever seen in its record. */
  readonly #seen = new Set<string>();

  constructor(world: CrashWorld, method: AuthMethod, scenario: ClientScenario, name: string) {
    this.#world = world;
    this.#method = method;
    this.#scenario = scenario;
    this.name = name;
    this.key = `${NAMESPACE}/${name}`;
    this.marker = `${CLUSTER_ID}/${this.key}`;
    this.client = method === 'tls_client_auth' ? clientOf(world, name) : selfSignedClientOf(world, name);
    this.#names = placesOf(world, name);
  }

  /** How many clients at the server nobody can use. */
  get orphans(): number {
    return this.#lost.size;
  }

  owns({ resource, namespace, name }: ApiRequest): boolean {
    return this.#names.has(`${resource} ${namespace} ${name}`);
  }

  async prepare(): Promise<void> {
    await this.#scenario.prepare(this.client, this.#world);
    this.#before = (await this.credentials())?.x5tS256;
    await this.#look();
  }

  async begin(): Promise<void> {
    this.#begun = true;
    await this.#scenario.begin(this.client, this.#world);
  }

  /** What an application would find at this moment. */
  async credentials(): Promise<ClientCredentials | undefined> {
    // What ends need not work any more.
    if (this.#begun && this.#scenario.ends !== undefined) return undefined;
    const secret = await this.client.secret();
    return secret === undefined ? undefined : credentialsOf(secret);
  }

  async died(): Promise<void> {
    const record = await this.#look();
    for (const { client_id: id } of this.client.registrations()) {
      if (id !== record?.state.registration?.clientId) this.#lost.add(String(id));
    }
  }

  async #look() {
    const record = await this.client.record();
    for (const thumbprint of Object.keys(record?.material.certificates ?? {})) this.#seen.add(thumbprint);
    return record;
  }

  /** Those that somebody can use. */
  #registered() {
    return this.client.registrations().filter(({ client_id: id }) => !this.#lost.has(String(id)));
  }

  async outcome(): Promise<ClientOutcome | 'gone'> {
    if (this.#scenario.ends === 'deleted') return this.#gone();
    if (this.#scenario.ends === 'withdrawn') return this.#withdrawn();
    const object = await this.client.object();
    const status = object?.status ?? {};
    assert.equal(status.observedGeneration, object?.metadata.generation, 'generation not observed');
    assert.ok(!isTrue(status, 'Reconciling') && !isTrue(status, 'Stalled'), JSON.stringify(status.conditions));
    const record = await this.#look();
    assert.equal(record?.state.intent, undefined, 'an intent is open');
    const credentials = await this.client.credentials();
    const certificates = record?.state.certificates ?? [];
    const published = certificates.find(({ role }) => role === 'Published');
    assert.equal(credentials.x5tS256, published?.x5tS256, 'another certificate is published than recorded');
    const [registered, ...others] = this.#registered();
    assert.deepEqual([registered?.['client_id'], others], [credentials.clientId, []], 'registered once');
    const recorded = certificates.map(({ x5tS256 }) => x5tS256).toSorted();
    const wanted = this.#method === 'tls_client_auth' ? [] : recorded;
    assert.deepEqual(Object.keys(record?.material.certificates ?? {}).toSorted(), recorded, 'keys and certificates');
    return {
      conditions: conditionList(status),
      phase: status.rotation?.phase,
      roles: certificates.map(({ role }) => role).toSorted(),
      handled: status.lastHandledRenew,
      renewed: credentials.x5tS256 !== this.#before,
      scope: registered?.['scope'],
      keys: isDeepStrictEqual(keysOf(registered), wanted) ? 'as recorded' : 'others',
    };
  }

  async #gone(): Promise<'gone'> {
    assert.equal(await this.client.object(), undefined, 'the OAuthClient is there');
    assert.equal(await this.client.secret(), undefined, 'the published Secret is there');
    assert.equal(await this.client.ownSecret(), undefined, 'the own Secret is there');
    assert.deepEqual(this.#registered(), [], 'still registered');
    return 'gone';
  }

  /** It is there, and nothing that it could get a token with. */
  async #withdrawn(): Promise<ClientOutcome> {
    const object = await this.client.object();
    const status = object?.status ?? {};
    assert.equal(status.observedGeneration, object?.metadata.generation, 'generation not observed');
    assert.equal(await this.client.secret(), undefined, 'the published Secret is there');
    assert.deepEqual(this.#registered(), [], 'still registered');
    const record = await this.#look();
    assert.equal(record?.state.intent, undefined, 'an intent is open');
    assert.deepEqual([record?.state.certificates, record?.material], [[], { certificates: {} }], 'keys are kept');
    return {
      conditions: conditionList(status),
      phase: status.rotation?.phase,
      roles: [],
      handled: status.lastHandledRenew,
      renewed: false,
      scope: undefined,
      keys: 'as recorded',
    };
  }

  async verify(): Promise<void> {
    const record = await this.#look();
    const kept = Object.keys(record?.material.certificates ?? {});
    const [registered] = this.#registered();
    const destroyed = [...this.#seen].filter((thumbprint) => !kept.includes(thumbprint));
    const credentials = await this.credentials();
    for (const thumbprint of destroyed) {
      assert.notEqual(credentials?.x5tS256, thumbprint, `${this.name}: a destroyed key is published`);
      assert.ok(!keysOf(registered).includes(thumbprint), `${this.name}: a destroyed key is registered`);
    }
    if (this.#lost.size > 0) await this.#reported(record?.state.suspectedOrphans.length ?? 0);
    if (credentials !== undefined) assert.equal(await boundTo(credentials), credentials.x5tS256, this.name);
    const published = new Set([this.#before, credentials?.x5tS256].filter((each) => each !== undefined));
    assert.ok(published.size <= this.#scenario.certificates, `${this.name}: published ${published.size} certificates`);
  }

  /** Before anything else was tried: who looks finds it. */
  async #reported(suspected: number): Promise<void> {
    const told = (await this.#world.installation.kube.list(events, { namespace: NAMESPACE })).items.filter(
      (event) =>
        event['reason'] === 'OrphanSuspected' &&
        Reflect.get(Object(event['regarding']), 'name') === this.client.ref.name,
    );
    assert.ok(suspected > 0 || told.length > 0, `${this.name}: an orphan that nobody is told of`);
  }

  async remove(): Promise<void> {
    if ((await this.client.object()) !== undefined) await this.client.delete();
    await this.client.gone();
  }
}

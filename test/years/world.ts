/** A platform and one client, for years: the operator is the real one, and what is around it a model with a clock. */
import { RENEW_REQUESTED } from '../../src/api/annotations.ts';
import type { ClientGrants } from '../../src/api/authorization-server.ts';
import { durationMs } from '../../src/api/duration.ts';
import { oauthClient, type OAuthClient, type OAuthClientSpec } from '../../src/api/oauth-client.ts';
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../../src/api/resources.ts';
import { projectClaim } from '../../src/authserver/claims.ts';
import { defaultRateLimit, ServerTraffic } from '../../src/authserver/connection/traffic.ts';
import { OperatorError } from '../../src/errors.ts';
import { KubeError } from '../../src/kube/kube-error.ts';
import { ingresses, secrets, type KubernetesObject } from '../../src/kube/resource.ts';
import { readRecord, recordName, type ClientRecord } from '../../src/oauthclient/record.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { now } from '../oauthclient/view.ts';
import { ModelApiServer, ModelTransport, type ObjectChange } from './api-server.ts';
import { ModelAuthorizationServer, mtlsOrigin, registrationOrigin, type ServerHabits } from './authorization-server.ts';
import { OPERATOR_NAMESPACE, OperatorLife } from './operator.ts';
import { People } from './people.ts';
import { INGRESS, issuerSpec, type PlatformOptions, setUp } from './platform.ts';
import { randomFrom, type Random } from './random.ts';
import { Replica } from './terminators.ts';
import { Verifier } from './verifier.ts';
import { ModelConnection, type Received, type Sent } from './wire.ts';

/** The operator's process ended here. */
class Killed extends Error {}

/** What the next registration calls come to. `lost`: carried out, and nobody learns of it. */
export type CallFate = 'ok' | 'refused' | 'unauthorized' | 'unavailable' | 'lost';
/** What the next writes to the API server come to. */
export type WriteFate = 'ok' | 'refused' | 'lost';

export interface WorldOptions extends PlatformOptions {
  spec?: Partial<OAuthClientSpec>;
  server?: Partial<ServerHabits>;
  /** Of the three replicas of the terminator. */
  delaysMs?: readonly [number, number, number];
  /** `each`: every replica has an address of its own. `one`: they share it, and each connection meets any of them. */
  addresses?: 'one' | 'each';
  seed?: number;
  /** False where the promise is known not to hold: look at `works`. Default true. */
  watched?: boolean;
}

export const CLIENT = { namespace: 'payments', name: 'batch' };
const tokenLifetimeMs = 300_000;
const ADDRESSES = { one: ['192.0.2.10'], each: ['192.0.2.1', '192.0.2.2', '192.0.2.3'] };

export class World {
  readonly clock = new FakeClock(now);
  readonly api: ModelApiServer;
  readonly authorizationServer: ModelAuthorizationServer;
  readonly replicas: readonly Replica[];
  readonly verifier: Verifier;
  readonly random: Random;
  calls: CallFate[] = [];
  writes: WriteFate[] = [];
  /** The authorization server can't be reached before. */
  awayUntil = 0;
  /** Events, as `reason: note`. */
  readonly events: string[] = [];
  /** Tokens that were issued. */
  tokens = 0;
  readonly #people: People;
  readonly #options: WorldOptions;
  readonly #addresses: readonly string[];
  #life: OperatorLife | undefined;
  #dead = false;
  #pointsLeft = Infinity;
  /** Whoever dies with what a server that replaces tokens has answered has lost the token (docs/guide.md, Known limits). */
  #tokenInHand = false;
  #violation: Error | undefined;
  /** A change that is somebody else's. */
  #foreign = false;
  #issuers = 1;
  #parsed: { found: KubernetesObject; client: OAuthClient } | undefined;
  #reloads: { at: number; replica: Replica }[] = [];

  constructor(options: WorldOptions) {
    this.#options = options;
    this.random = randomFrom(options.seed ?? 1);
    this.#addresses = ADDRESSES[options.addresses ?? 'each'];
    this.replicas = (options.delaysMs ?? [0, 4_000, 10_000]).map((delay) => new Replica(delay));
    this.authorizationServer = new ModelAuthorizationServer(this.clock, {
      rotates: false,
      rotatesOnRead: false,
      lagMs: 0,
      ...options.server,
    });
    this.api = new ModelApiServer(this.clock, (change) => this.#changed(change));
    this.#people = new People(this.api);
    this.verifier = new Verifier({
      replicas: this.replicas,
      authorizationServer: this.authorizationServer,
      now: () => this.clock.now(),
      spec: () => this.client.spec,
      propagationMs: durationMs(options.propagation ?? '60s'),
      tokenLifetimeMs,
    });
    setUp(this.#people, options, this.#addresses);
  }

  get client() {
    const found = this.#people.get(oauthClients, CLIENT);
    if (this.#parsed?.found !== found) this.#parsed = { found, client: oauthClient.parse(found) };
    return this.#parsed.client;
  }

  get record(): ClientRecord | undefined {
    const ref = { namespace: OPERATOR_NAMESPACE, name: recordName(CLIENT.namespace, CLIENT.name) };
    const object = this.#people.find(secrets, ref);
    return object === undefined ? undefined : readRecord(object);
  }

  get ready(): string | undefined {
    const condition = this.client.status?.conditions?.find(({ type }) => type === 'Ready');
    return condition === undefined ? undefined : `${condition.status}/${condition.reason}`;
  }

  /** Whether what applications read now is accepted, and what they read before. */
  get works(): boolean {
    try {
      this.verifier.verify();
      return this.verifier.published !== undefined;
    } catch {
      return false;
    }
  }

  /** Something is half done: a certificate on its way, or a call to the server. */
  get busy(): boolean {
    const state = this.record?.state;
    return state?.intent !== undefined || state?.certificates.some(({ role }) => role === 'Next') === true;
  }

  /** That nobody else may have, whoever is there. */
  get heldIdentities(): string[] {
    return [...this.api.objects()].flatMap((object) => {
      const claim = object.kind === 'ConfigMap' ? projectClaim(object) : undefined;
      return claim === undefined || claim.expires !== undefined ? [] : [claim.holder];
    });
  }

  get running(): boolean {
    return this.#life !== undefined;
  }

  start(): void {
    this.#dead = false;
    this.#pointsLeft = Infinity;
    const wire = { before: () => this.#beforeWrite(), after: () => this.#afterWrite() };
    const traffic = new ServerTraffic('corporate', defaultRateLimit, { clock: this.clock });
    this.#life = new OperatorLife({
      transport: new ModelTransport(this.api, wire),
      clock: this.clock,
      connect: (server) => new ModelConnection(server, (sent) => this.#deliver(sent), traffic),
      objects: this.api.objects(),
      observer: { before: () => undefined, after: () => this.#afterStep() },
      onEvent: (event) => this.events.push(`${String(event['reason'])}: ${String(event['note'])}`),
    });
  }

  /** It ends at once, with whatever it has in memory. */
  kill(): void {
    this.#life = undefined;
  }

  /** It dies at the n-th point from now at which something reaches a server, or its answer comes. */
  killAfter(points: number): void {
    this.#pointsLeft = points;
  }

  /** Until then, or until the operator dies. @returns whether it lives */
  async run(until: number): Promise<boolean> {
    if (this.#life === undefined) this.#advanceTo(until);
    while (this.#life !== undefined && this.clock.now() < until) {
      const due = await this.#reconcile(this.#life);
      this.#rethrow();
      if (this.#dead) this.kill();
      else if (due > this.clock.now()) this.#advanceTo(Math.min(until, due));
    }
    this.#rethrow();
    return this.#life !== undefined;
  }

  async #reconcile(life: OperatorLife): Promise<number> {
    try {
      return await life.reconcile();
    } catch (error) {
      // The API server did not take a write.
      if (error instanceof OperatorError || error instanceof Killed) return -Infinity;
      throw error;
    }
  }

  /** The team applies its manifest. */
  createClient(): void {
    const { method, spec } = this.#options;
    this.#people.create(oauthClients, {
      metadata: CLIENT,
      spec: { authorizationServerRef: { name: 'corporate' }, tokenEndpointAuthMethod: method, ...spec },
    });
  }

  /** The platform has been there for a while when the first client comes. */
  async begin(): Promise<void> {
    this.start();
    await this.run(this.clock.now() + 5 * 60_000);
    this.createClient();
  }

  /**
   * Everything was lost but the operator's own Secrets, and is applied again from Git: every uid is another, no status is
   * there, and no published Secret.
   */
  rebuild(): void {
    this.kill();
    this.verifier.withdrawn();
    this.api.rebuild(
      ({ kind, metadata }) => kind !== 'ConfigMap' && (kind !== 'Secret' || metadata.namespace === OPERATOR_NAMESPACE),
      ({ kind }) => kind === 'AuthorizationServer',
    );
  }

  /** The operator's own Secrets are copied. @returns how to put the copies back */
  backUp(): () => void {
    return this.api.backUp(({ kind, metadata }) => kind === 'Secret' && metadata.namespace === OPERATOR_NAMESPACE);
  }

  /** The team edits its manifest. */
  change(spec: Partial<OAuthClientSpec>): void {
    const found = this.#people.get(oauthClients, CLIENT);
    this.#people.put(oauthClients, { ...found, spec: { ...Object(found['spec']), ...spec } });
  }

  requestRenewal(value: string): void {
    const found = this.#people.get(oauthClients, CLIENT);
    const annotations = { ...found.metadata.annotations, [RENEW_REQUESTED]: value };
    this.#people.put(oauthClients, { ...found, metadata: { ...found.metadata, annotations } });
  }

  /** The platform changes what it grants. */
  grant(clients: Partial<ClientGrants>): void {
    const found = this.#people.get(authorizationServers, { name: 'corporate' });
    const { clients: before, ...spec } = Object(found['spec']);
    this.#people.put(authorizationServers, { ...found, spec: { ...spec, clients: { ...before, ...clients } } });
  }

  /** Somebody removes the finalizer by hand, and the AuthorizationServer goes. */
  removeServer(): void {
    this.#people.delete(authorizationServers, { name: 'corporate' });
  }

  /** Somebody deletes the operator's own Secret of the client. */
  loseRecord(): void {
    this.#people.delete(secrets, { namespace: OPERATOR_NAMESPACE, name: recordName(CLIENT.namespace, CLIENT.name) });
  }

  /** What applications read. */
  get secret(): KubernetesObject | undefined {
    return this.#people.find(secrets, { ...CLIENT, name: `${CLIENT.name}-oauth` });
  }

  get deleted(): boolean {
    return this.#people.find(oauthClients, CLIENT) === undefined;
  }

  deleteClient(): void {
    this.#people.delete(oauthClients, CLIENT);
    this.verifier.withdrawn();
  }

  /** Somebody deletes the published Secret, or writes one value of it. */
  damage(value: string | undefined): void {
    const ref = { ...CLIENT, name: `${CLIENT.name}-oauth` };
    const found = this.#people.find(secrets, ref);
    if (found === undefined) return;
    this.#foreign = true;
    if (value === undefined) this.#people.delete(secrets, ref);
    else this.#people.put(secrets, { ...found, data: { ...Object(found['data']), 'tls.key': value } });
    this.#foreign = false;
  }

  get takesCAs(): boolean {
    return this.#options.method === 'tls_client_auth' && this.#issuers < 3;
  }

  get rotates(): boolean {
    return this.#options.server?.rotates === true;
  }

  /** The authorization server forgets the last update of the client, where that takes nothing from what is promised. */
  failOver(): void {
    const clientId = this.verifier.published?.clientId;
    if (clientId === undefined) return;
    const takeBack = this.authorizationServer.failOver(clientId);
    try {
      this.verifier.verify();
    } catch {
      takeBack();
    }
  }

  /** The platform has another CA: its issuer is granted, and becomes the server's default. */
  addIssuer(): void {
    const name = `clients-${++this.#issuers}`;
    this.#people.create(clientCertificateIssuers, { metadata: { name }, spec: issuerSpec(this.#options) });
    const found = this.#people.get(authorizationServers, { name: 'corporate' });
    const spec = Object(found['spec']);
    const clients = { ...spec.clients, issuers: [...spec.clients.issuers, name] };
    this.#people.put(authorizationServers, { ...found, spec: { ...spec, clients, defaultIssuerRef: { name } } });
  }

  /** `Ready` of an issuer, as `True/AuthorityUsable`. */
  issuerReady(name: string): string | undefined {
    const status = Object(this.#people.get(clientCertificateIssuers, { name })['status']);
    const ready = status.conditions?.find(({ type }: { type: string }) => type === 'Ready');
    return ready === undefined ? undefined : `${ready.status}/${ready.reason}`;
  }

  /** When its CA ends, RFC 3339. */
  issuerEnd(name: string): string | undefined {
    const status = Object(this.#people.get(clientCertificateIssuers, { name })['status']);
    return status.generations?.[0]?.notAfter;
  }

  #changed(change: ObjectChange): void {
    this.#life?.observe(change);
    const object = change.after ?? change.before;
    const { kind, metadata } = object ?? {};
    this.#guard(() => {
      if (kind === 'Secret' && metadata?.name === `${CLIENT.name}-oauth`) {
        this.verifier.secretChanged(change, this.#foreign);
      }
      if (kind === 'Secret' && metadata?.name === recordName(CLIENT.namespace, CLIENT.name)) {
        this.verifier.recordChanged(change);
      }
    });
    const terminated = kind === 'Ingress' || metadata?.name.startsWith('certbound-trust-') === true;
    if (!terminated) return;
    for (const replica of this.replicas) this.#reloads.push({ at: this.clock.now() + replica.delayMs, replica });
  }

  /** Time passes; whatever a terminator loads meanwhile is looked at when it is loaded. */
  #advanceTo(end: number): void {
    for (;;) {
      const due = this.#reloads.toSorted((a, b) => a.at - b.at).find(({ at }) => at <= end);
      this.clock.advance((due?.at ?? end) - this.clock.now());
      if (due !== undefined) {
        this.#reloads = this.#reloads.filter((one) => one !== due);
        this.#load(due.replica);
      }
      this.#guard(this.#verify);
      if (due === undefined) return;
    }
  }

  readonly #verify = () => this.verifier.verify();

  #load(replica: Replica): void {
    const ingress = this.#people.get(ingresses, INGRESS);
    const reference = ingress.metadata.annotations?.['nginx.ingress.kubernetes.io/auth-tls-secret'] ?? '/';
    const [namespace = '', name = ''] = reference.split('/');
    replica.load(ingress, this.#people.find(secrets, { namespace, name }));
  }

  /** A promise that is broken inside the operator's own calls would count as a failed step there. */
  #guard(look: () => void): void {
    if (this.#options.watched === false && look === this.#verify) return;
    try {
      look();
    } catch (error) {
      this.#violation ??= error instanceof Error ? error : new Error(String(error));
    }
  }

  #rethrow(): void {
    if (this.#violation !== undefined) throw this.#violation;
  }

  #afterStep(): void {
    this.#rethrow();
    if (this.#dead) throw new Killed();
  }

  /** @returns whether the operator is dead by now */
  #point(): boolean {
    if (this.#pointsLeft-- <= 0 && !this.#tokenInHand) this.#dead = true;
    return this.#dead;
  }

  #beforeWrite(): void {
    const refused = this.writes[0] === 'refused' && !this.#tokenInHand;
    if (this.#point() || refused) {
      if (!this.#dead) this.writes.shift();
      throw new KubeError('It was not written.', { status: 500, reason: 'InternalError' });
    }
  }

  #afterWrite(): void {
    this.#tokenInHand = false;
    this.#advanceTo(this.clock.now() + 5);
    if (this.#point() || this.writes.shift() === 'lost') {
      throw new KubeError('The answer was lost.', { status: 0, reason: 'Unavailable' });
    }
  }

  #deliver(sent: Sent): Received {
    if (this.#dead || this.clock.now() < this.awayUntil) return 'unconnected';
    if (this.#point()) return 'unconnected';
    const changes = sent.origin === registrationOrigin && sent.method !== 'GET';
    const fate = changes ? (this.calls.shift() ?? 'ok') : 'ok';
    this.#advanceTo(this.clock.now() + 10 + this.random.below(300));
    if (fate === 'refused') return { status: 400, json: { error: 'invalid_client_metadata' } };
    if (fate === 'unauthorized') return { status: 401, json: { error: 'invalid_token' } };
    if (fate === 'unavailable') return { status: 503, json: undefined };
    const answer = this.authorizationServer.handle({ ...sent, certificate: this.#forwarded(sent) });
    this.#guard(this.#verify);
    if (sent.path === '/token' && answer.status === 200) this.tokens++;
    if (fate === 'lost') return 'broken';
    this.#tokenInHand = changes && sent.method === 'PUT' && this.rotates;
    return this.#point() ? 'broken' : answer;
  }

  /** The client certificate as a replica of the terminator lets it through. */
  #forwarded({ origin, address, chain }: Sent) {
    if (origin !== mtlsOrigin) return undefined;
    const own = this.#addresses.indexOf(address ?? '');
    const index = this.#addresses.length === this.replicas.length ? own : this.random.below(this.replicas.length);
    return this.replicas[index]?.passes(chain, this.clock.now()) === true ? chain[0] : undefined;
  }
}

import { ROLE_LABEL, Role } from '../../src/api/annotations.ts';
import type { AuthMethod } from '../../src/api/oauth-client.ts';
import { claimName } from '../../src/authserver/claims.ts';
import type { ClientMetadata } from '../../src/authserver/driver.ts';
import { OperatorError } from '../../src/errors.ts';
import { clientChecks } from '../../src/oauthclient/checks/chain.ts';
import { withoutKeys } from '../../src/oauthclient/checks/registration.ts';
import { desired, type Desired } from '../../src/oauthclient/desired.ts';
import { digestOf } from '../../src/oauthclient/digest.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import { contextValues, digests, type SecretProjection } from '../../src/oauthclient/published-secret.ts';
import {
  certificateHeld,
  certificateIn,
  type CertificateState,
  type Intent,
  type RecordState,
} from '../../src/oauthclient/record.ts';
import { proofDelay, replacedLate } from '../../src/oauthclient/schedule.ts';
import { wakeAt } from '../../src/oauthclient/wake.ts';
import { statusOf } from '../../src/oauthclient/status.ts';
import type { ClientStep, ClientView } from '../../src/oauthclient/step.ts';
import type { Kind } from '../../src/runtime/pass.ts';
import { FakeClock } from '../support/fake-clock.ts';
import {
  aCertificate,
  aClient,
  aServer,
  grants,
  instant,
  issuerUrl,
  now,
  projected,
  selfSigned,
  untouched,
} from './view.ts';

/** The operator's process ended here. */
export class Killed extends Error {}

/** What a call to the server comes to. `lost`: it is carried out, and nobody learns of it. */
export type Answer = 'ok' | 'refused' | 'lost';

interface Secret {
  projection: SecretProjection;
  x5tS256: string;
  clientId: string;
}

/**
 * Everything around the decisions, in memory: the API server's objects, an authorization server and the operator's steps,
 * each of which does what the real one does, in the same order. What a restart loses is in `memory`.
 */
export class World {
  readonly clock = new FakeClock(now);
  /** What the next calls to the server come to; then all are well. */
  answers: Answer[] = [];
  /** How long the server takes to know a registration that it has accepted, milliseconds. */
  lag = 0;
  /** Called where the operator may die; throws `Killed`. */
  point: () => void = () => undefined;
  dying = false;
  memory = { unsentIntents: new Set<string>() };

  readonly registrations = new Map<string, { metadata: ClientMetadata; since: number }>();
  readonly issued = new Map<string, CertificateState>();
  /** When the Secret ceased to hold a certificate. */
  readonly left = new Map<string, number>();
  /** Thumbprints of the certificates whose keys exist. */
  keys = new Set<string>();
  record: RecordState | undefined;
  secret: Secret | undefined;
  proofs = 0;
  #observed: Observed;
  #serial = 0;

  constructor(method: AuthMethod, drain: string | undefined) {
    this.#observed = {
      ...untouched(method),
      client: aClient(
        { tokenEndpointAuthMethod: method, ...(drain === undefined ? {} : { certificate: { drain } }) },
        { finalizers: [] },
      ),
      server: aServer({
        defaultIssuerRef: { name: 'corporate-clients' },
        clients: { ...grants, recovery: 'Recreate' },
      }),
    };
  }

  /** What the API server says of the client. */
  get client(): Observed['client'] {
    return this.#observed.client;
  }

  get claim(): Observed['claim'] {
    return this.#observed.claim;
  }

  /** A certificate is on its way, or a call to the server. */
  get busy(): boolean {
    const begun = this.#announced() !== undefined || this.record?.intent !== undefined;
    return begun || certificateIn(this.record, 'Next') !== undefined;
  }

  get desired(): Desired {
    return desired(this.#observe(), this.clock.now());
  }

  /** The team changes its spec. */
  change(certificate: NonNullable<Observed['client']['spec']['certificate']>): void {
    const { client } = this;
    const metadata = { ...client.metadata, generation: client.metadata.generation + 1 };
    this.#observed = { ...this.#observed, client: { ...client, metadata, spec: { ...client.spec, certificate } } };
  }

  /** The platform grants the namespace, or does not. */
  grant(granted: boolean): void {
    const clients = { ...grants, recovery: 'Recreate' as const, ...(granted ? {} : { namespaces: {} }) };
    const server = aServer({ defaultIssuerRef: { name: 'corporate-clients' }, clients });
    this.#observed = { ...this.#observed, server };
  }

  delete(): void {
    this.#setMetadata({ deletionTimestamp: instant(this.clock.now()) });
  }

  restart(): void {
    this.memory = { unsentIntents: new Set() };
    this.dying = false;
  }

  kind(): Kind<Observed, Desired, ClientStep> {
    return {
      name: 'oauthclient',
      checks: clientChecks,
      desired,
      observe: async () => this.#observe(),
      run: async (step, view) => this.#run(step, view),
      settle: async (view, findings) => {
        this.#observed = { ...this.#observed, client: { ...this.client, status: statusOf(view, findings) } };
      },
      wakeAt,
    };
  }

  /** Whether the server lets somebody in who shows this certificate as this client. */
  accepts(clientId: string, x5tS256: string): boolean {
    const registration = this.registrations.get(clientId);
    const certificate = this.issued.get(x5tS256);
    if (registration === undefined || certificate === undefined) return false;
    if (Date.parse(certificate.notAfter) <= this.clock.now()) return false;
    const { tls_client_auth_subject_dn: subject, jwks } = registration.metadata;
    return subject === undefined ? JSON.stringify(jwks).includes(`"${x5tS256}"`) : subject === certificate.subject;
  }

  #observe(): Observed {
    const announced = this.#announced();
    const intent = this.record?.intent?.id ?? announced?.intent;
    return {
      ...this.#observed,
      announced,
      record: this.record && projected(this.record),
      published: this.secret?.projection,
      unsentIntent: intent !== undefined && this.memory.unsentIntents.has(intent) ? intent : undefined,
      reproof: { due: Infinity, refusals: 0, message: '' },
      comparison: { due: Infinity },
    };
  }

  #announced(): Observed['announced'] {
    const { claim, client, record } = this;
    const told = record !== undefined || client.status?.clientId !== undefined;
    return told || claim?.intent === undefined || claim.expires !== undefined ? undefined : claim;
  }

  #setMetadata(change: Partial<Observed['client']['metadata']>): void {
    this.#observed = {
      ...this.#observed,
      client: { ...this.client, metadata: { ...this.client.metadata, ...change } },
    };
  }

  #run(step: ClientStep, view: ClientView): void {
    const state = this.record;
    const certificates = state?.certificates ?? [];
    switch (step.name) {
      case 'stageCertificate':
        return this.#stage(step.reason, view);
      case 'intendCreate':
        return this.#save({ intent: this.#intent('create') });
      case 'intendUpdate':
        return this.#save({ intent: this.#intent('update') });
      case 'register':
        return this.#register(view, `client-${++this.#serial}`);
      case 'updateRegistration':
        return this.#register(view, this.#clientId());
      case 'recoverUpdate': {
        const held = this.registrations.get(this.#clientId())?.metadata ?? {};
        return this.#registered(this.#clientId(), held, view);
      }
      case 'abandonRegistration': {
        const suspectedOrphans = [...(state?.suspectedOrphans ?? []), instant(this.clock.now())];
        return this.#save({ suspectedOrphans, certificates: certificates.filter((c) => c.role !== 'Next') }, 'intent');
      }
      case 'rejectRegistration':
        this.registrations.delete(this.#clientId());
        return this.#save(
          { rejected: { askedDigest: digestOf(withoutKeys(view.desired.metadata)), message: step.message } },
          'registration',
        );
      case 'prove':
        return this.#prove(step.x5tS256, view);
      case 'publish':
        return this.#publish(view);
      case 'retire':
        return this.#save({ certificates: certificates.filter((c) => c.x5tS256 !== step.x5tS256) });
      default:
        return this.#own(step, view);
    }
  }

  /** What it begins and ends with. */
  #own(step: ClientStep, view: ClientView): void {
    switch (step.name) {
      case 'addFinalizer':
        return this.#setMetadata({ finalizers: ['certbound.dev/deregistration'] });
      case 'removeFinalizer':
        return this.#setMetadata({ finalizers: [] });
      case 'claimIdentity':
        return this.#claim(view);
      case 'claimAndRegister':
        return this.#registerFirst(view);
      case 'recordIntent': {
        const { method, identity } = view.desired;
        const id = view.observed.announced?.intent ?? '';
        const intent: Intent = { id, operation: 'create', since: instant(this.clock.now()) };
        this.record = { ...this.#newState(method, identity), intent };
        return;
      }
      case 'releaseClaim':
        this.#observed = { ...this.#observed, claim: this.claim && { ...this.claim, expires: this.clock.now() } };
        return;
      case 'deregister':
        this.#call();
        this.registrations.delete(this.#clientId());
        this.point();
        return this.#save({}, 'registration', 'intent');
      case 'withdrawSecret':
        this.secret = undefined;
        return;
      case 'beginWithdrawal':
        return this.#save({ withdrawal: { since: instant(this.clock.now()) } });
      case 'endWithdrawal':
        return this.#save({}, 'withdrawal');
      case 'destroyKeys':
        return this.#save({ certificates: [] });
      case 'forgetRecord':
        this.record = undefined;
        this.keys = new Set();
        return;
      default:
        throw new TypeError(`the model knows no step ${step.name}`);
    }
  }

  #claim({ desired: { identity } }: ClientView, intent?: string): void {
    if (!identity.ok) throw new TypeError('no identity');
    const name = claimName(issuerUrl, identity);
    const held = { name, resourceVersion: '1', holder: 'payments/batch', holderUid: 'uid-1', expires: undefined };
    this.#observed = { ...this.#observed, claim: { ...held, ...(intent === undefined ? {} : { intent }) } };
  }

  /** Until the first record is stored, the claim alone tells of the call. */
  #registerFirst(view: ClientView): void {
    const { method, identity } = view.desired;
    const certificate = this.#issue('Issuing', view);
    const id = view.observed.announced?.intent ?? this.#intent('create').id;
    if (view.observed.announced === undefined) this.#claim(view, id);
    const clientId = `client-${++this.#serial}`;
    const asked = this.#create(view, clientId, id);
    this.record = this.#newState(method, identity);
    this.#registered(clientId, asked, view, [certificate]);
  }

  #issue(reason: string, { desired: { certificate, method, identity } }: ClientView): CertificateState {
    const at = this.clock.now();
    const name = `cert-${++this.#serial}`;
    const notAfter = at + certificate.durationMs;
    const made = (method === 'tls_client_auth' ? aCertificate : selfSigned)(name, {
      role: 'Next',
      reason,
      subject: identity.ok ? identity.value : '',
      notAfter: instant(notAfter),
      stagedAt: instant(at),
    });
    this.issued.set(name, made);
    return made;
  }

  #stage(reason: string, view: ClientView): void {
    const { method, identity } = view.desired;
    const made = this.#issue(reason, view);
    const base = this.record ?? this.#newState(method, identity);
    const wanted = base.registration === undefined ? 'create' : 'update';
    const needed = wanted === 'create' || method === 'self_signed_tls_client_auth';
    const intent = base.intent ?? (needed ? this.#intent(wanted) : undefined);
    this.record = base;
    this.#save({ certificates: [...base.certificates, made], ...(intent === undefined ? {} : { intent }) });
  }

  #newState(method: AuthMethod, identity: Desired['identity']): RecordState {
    if (!identity.ok) throw new TypeError('no identity');
    const { parameter, value, canonical } = identity;
    return {
      version: 1,
      clusterId: this.#observed.clusterId,
      owner: { namespace: 'payments', name: 'batch', uid: 'uid-1' },
      server: { name: 'corporate', issuer: issuerUrl },
      method,
      identity: { parameter, value, canonical },
      certificates: [],
      suspectedOrphans: [],
    };
  }

  #intent(operation: Intent['operation']): Intent {
    const intent: Intent = { id: `intent-${++this.#serial}`, operation, since: instant(this.clock.now()) };
    this.memory.unsentIntents.add(intent.id);
    return intent;
  }

  /** One write; a key exists as long as the record has its certificate. */
  #save(change: Partial<RecordState>, ...gone: (keyof RecordState)[]): void {
    if (this.record === undefined) throw new TypeError('no record');
    const state = { ...this.record, ...change };
    for (const member of gone) Reflect.deleteProperty(state, member);
    this.record = state;
    this.keys = new Set(state.certificates.map((c) => c.x5tS256));
  }

  #clientId(): string {
    return this.record?.registration?.clientId ?? '';
  }

  /** The server's answer to a call that it does not refuse. */
  #call(): Answer {
    const answer = this.answers.shift() ?? 'ok';
    if (answer === 'refused') throw new OperatorError('RegistrationRefused', 'Not now.');
    return answer;
  }

  /** From its beginning the call is in doubt; only a refusal says that nothing was done. */
  #register(view: ClientView, clientId: string): void {
    const asked = this.#create(view, clientId, this.record?.intent?.id ?? '');
    this.#registered(clientId, asked, view);
  }

  #create(view: ClientView, clientId: string, id: string): ClientMetadata {
    const asked = view.desired.metadata ?? {};
    const { unsentIntents } = this.memory;
    this.point();
    const answer = this.#call();
    unsentIntents.delete(id);
    this.registrations.set(clientId, { metadata: asked, since: this.clock.now() });
    this.point();
    if (answer === 'lost') throw new OperatorError('AnswerLost', 'The connection broke.');
    return asked;
  }

  #registered(
    clientId: string,
    held: ClientMetadata,
    { desired: { metadata } }: ClientView,
    certificates = this.record?.certificates ?? [],
  ): void {
    const current = digestOf(held) === digestOf(metadata);
    const registration = {
      clientId,
      accepted: held,
      askedDigest: current ? digestOf(held) : '',
      updatedAt: instant(this.clock.now()),
    };
    this.#save({ registration, certificates }, 'intent', 'rejected');
  }

  #prove(x5tS256: string, view: ClientView): void {
    this.proofs++;
    const at = this.clock.now();
    const state = this.record;
    const next = state?.certificates.find((c) => c.x5tS256 === x5tS256);
    if (state === undefined || next === undefined) throw new TypeError('no certificate to prove');
    const since = this.registrations.get(this.#clientId())?.since ?? at;
    const { propagationMs } = view.desired;
    const published = certificateIn(state, 'Published');
    if (!this.accepts(this.#clientId(), x5tS256) || at < since + this.lag) {
      const replaces = published === undefined ? undefined : Date.parse(published.notAfter);
      const notAfter = Date.parse(next.notAfter);
      const milliseconds = proofDelay({ since, now: at, propagationMs, notAfter, replaces });
      throw new OperatorError('NotAcceptedYet', 'Not yet.', { retry: { class: 'after', milliseconds } });
    }
    this.point();
    const certificates = state.certificates.map((c): CertificateState => {
      if (c.x5tS256 === x5tS256) return { ...c, role: 'Published' };
      if (c.role !== 'Published') return c;
      return { ...c, role: 'Draining', replacedAt: instant(at) };
    });
    this.#save({
      certificates,
      longestTokenLifetimeSeconds: 300,
      ...(view.desired.context === undefined ? {} : { context: view.desired.context }),
    });
  }

  #drainFromNow(): void {
    const at = this.clock.now();
    const { record, secret } = this;
    const held = record && secret && certificateHeld(record, secret.projection.digests);
    if (record === undefined || held === undefined || !replacedLate(held, at)) return;
    const certificates = record.certificates.map((c) => (c === held ? { ...c, replacedAt: instant(at) } : c));
    this.#save({ certificates });
    this.point();
  }

  #publish({ desired: { context, secretName } }: ClientView): void {
    const certificate = certificateIn(this.record, 'Published');
    const says = context ?? this.record?.context;
    if (certificate === undefined || says === undefined) throw new TypeError('nothing to publish');
    this.#drainFromNow();
    if (this.secret !== undefined && this.secret.x5tS256 !== certificate.x5tS256) {
      this.left.set(this.secret.x5tS256, this.clock.now());
    }
    this.secret = {
      x5tS256: certificate.x5tS256,
      clientId: says.clientId,
      projection: {
        namespace: 'payments',
        name: secretName,
        uid: 'uid-secret',
        resourceVersion: `${++this.#serial}`,
        type: 'kubernetes.io/tls',
        immutable: false,
        labels: { [ROLE_LABEL]: Role.published },
        ownerUid: 'uid-1',
        controllerUid: 'uid-1',
        lastWriter: undefined,
        digests: { ...certificate.digests, ...digests(contextValues(says)) },
      },
    };
  }
}

/** What is promised of a published certificate (design, §1: P1, P3), looked at whenever anything in the model changes. */
import assert from 'node:assert/strict';
import { createHash, createPrivateKey, type X509Certificate } from 'node:crypto';
import { durationMs } from '../../src/api/duration.ts';
import { DEFAULT_DURATION, type OAuthClientSpec } from '../../src/api/oauth-client.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { readRecord, type CertificateState } from '../../src/oauthclient/record.ts';
import { certificatesFromPem } from '../../src/x509/pem.ts';
import { instant } from '../oauthclient/view.ts';
import type { ModelAuthorizationServer } from './authorization-server.ts';
import type { ObjectChange } from './api-server.ts';
import type { Replica } from './terminators.ts';

/** What an application has read. */
interface Credentials {
  clientId: string;
  x5tS256: string;
  chain: readonly X509Certificate[];
}

export interface Scene {
  replicas: readonly Replica[];
  authorizationServer: ModelAuthorizationServer;
  readonly now: () => number;
  readonly spec: () => OAuthClientSpec;
  propagationMs: number;
  tokenLifetimeMs: number;
}

/** How late a drain may begin: the proof is stored a moment before the Secret is written. */
const punctualMs = 5_000;

export class Verifier {
  /** Every certificate that a record has had, by thumbprint, with the time at which it appeared. */
  readonly issued = new Map<string, CertificateState & { at: number }>();
  readonly #scene: Scene;
  #published: Credentials | undefined;
  /** Of what the Secret ceased to hold: when. */
  readonly #left = new Map<Credentials, number>();
  /** How often P1 and P3 were looked at. */
  looks = 0;
  publications = 0;
  mostLive = 0;
  /** Renewals that were begun before their time. */
  readonly early: string[] = [];

  constructor(scene: Scene) {
    this.#scene = scene;
  }

  /** What applications read; undefined where there is nothing, or what somebody else has made of it. */
  get published(): Credentials | undefined {
    return this.#published;
  }

  /** @param damaged somebody else than the operator wrote it */
  secretChanged({ after }: ObjectChange, damaged: boolean): void {
    if (damaged || after === undefined) return;
    const credentials = credentialsIn(after);
    const before = this.#published;
    if (before?.x5tS256 !== credentials.x5tS256) this.publications++;
    if (before !== undefined && before.x5tS256 !== credentials.x5tS256) this.#left.set(before, this.#scene.now());
    // A renewal that comes to what was there before: read again, and promised again.
    for (const [old] of this.#left) if (old.x5tS256 === credentials.x5tS256) this.#left.delete(old);
    this.#published = credentials;
  }

  withdrawn(): void {
    this.#published = undefined;
    this.#left.clear();
  }

  recordChanged({ after }: ObjectChange): void {
    const record = after === undefined ? undefined : readRecord(after);
    if (record === undefined) return;
    const { certificates } = record.state;
    const isNew = certificates.some(({ x5tS256 }) => !this.issued.has(x5tS256));
    for (const certificate of certificates) {
      const known = this.issued.get(certificate.x5tS256);
      if (known === undefined && certificate.reason === 'RenewalDue') this.#assertDue(certificates);
      this.issued.set(certificate.x5tS256, { ...certificate, at: known?.at ?? this.#scene.now() });
    }
    const live = certificates.filter(({ notAfter }) => Date.parse(notAfter) > this.#scene.now());
    this.mostLive = Math.max(this.mostLive, live.length);
    this.#assertFew(live, isNew);
    // A key exists as long as the record has its certificate, and no longer.
    assert.deepEqual(
      Object.keys(record.material.certificates).toSorted(),
      certificates.map(({ x5tS256 }) => x5tS256).toSorted(),
    );
  }

  /** Three; a fourth one only where what is published would end otherwise. */
  #assertFew(live: readonly CertificateState[], isNew: boolean): void {
    assert.ok(live.length <= 4, `${live.length} certificates are live`);
    const published = live.find(({ role }) => role === 'Published');
    if (!isNew || live.length <= 3 || published === undefined) return;
    const { duration = DEFAULT_DURATION, renewBefore } = this.#scene.spec().certificate ?? {};
    const end = Date.parse(published.notAfter);
    const share = Math.min(1, (end - Date.parse(published.stagedAt)) / durationMs(duration));
    const before = (renewBefore === undefined ? durationMs(duration) / 3 : durationMs(renewBefore)) * share;
    const left = end - this.#scene.now();
    assert.ok(left <= 0.56 * before, `a fourth certificate ${left} ms before the published one ends`);
  }

  /** By the spec as it is: `renewBefore` before the end, or a tenth of that earlier; in proportion where the life was shortened. */
  #assertDue(certificates: readonly CertificateState[]): void {
    const published = certificates.find(({ role }) => role === 'Published');
    if (published === undefined) return;
    const { duration = DEFAULT_DURATION, renewBefore } = this.#scene.spec().certificate ?? {};
    const end = Date.parse(published.notAfter);
    const share = Math.min(1, (end - Date.parse(published.stagedAt)) / durationMs(duration));
    const before = (renewBefore === undefined ? durationMs(duration) / 3 : durationMs(renewBefore)) * share;
    const now = this.#scene.now();
    if (now < end - 1.1 * before - 1_000) this.early.push(`${published.x5tS256} at ${instant(now)}`);
  }

  /** P1: what an application reads is accepted, and P3: so is what it may have read before. */
  verify(): void {
    const { now } = this.#scene;
    if (this.#published === undefined) return;
    this.looks++;
    this.#assertAccepted(this.#published, 'is published');
    for (const [old, at] of this.#left) {
      if (now() >= this.#promisedUntil(old, at)) this.#left.delete(old);
      else this.#assertAccepted(old, `was published until ${instant(at)}`);
    }
  }

  #promisedUntil({ chain }: Credentials, leftAt: number): number {
    const { spec, propagationMs, tokenLifetimeMs } = this.#scene;
    const notAfter = chain[0]?.validToDate.getTime() ?? 0;
    const { drain } = spec().certificate ?? {};
    if (drain === undefined) return notAfter;
    return Math.min(notAfter, leftAt + Math.max(durationMs(drain), propagationMs + tokenLifetimeMs) - punctualMs);
  }

  #assertAccepted({ clientId, x5tS256, chain }: Credentials, what: string): void {
    const { replicas, authorizationServer, now } = this.#scene;
    const certificate = `${x5tS256.slice(0, 8)} (until ${chain[0]?.validTo}) ${what}, and at ${new Date(now()).toISOString()}`;
    for (const [index, replica] of replicas.entries()) {
      assert.ok(replica.passes(chain, now()), `${certificate} terminator ${index} refuses it`);
    }
    assert.ok(authorizationServer.accepts(clientId, chain[0]), `${certificate} the server refuses it`);
  }
}

/** P1: they change in one write, never by halves. */
function credentialsIn(secret: KubernetesObject): Credentials {
  const values = Object.fromEntries(
    Object.entries(Object(secret['data'])).map(([key, value]) => [
      key,
      Buffer.from(String(value), 'base64').toString(),
    ]),
  );
  const { 'tls.crt': chainPem = '', 'tls.key': key = '', x5t_s256: x5tS256 = '', client_id: clientId = '' } = values;
  const chain = certificatesFromPem(chainPem);
  const [leaf] = chain;
  assert.ok(leaf !== undefined && leaf.checkPrivateKey(createPrivateKey(key)), 'the key is another certificate’s');
  assert.equal(createHash('sha256').update(leaf.raw).digest('base64url'), x5tS256);
  assert.equal(values['tls-bundle.pem'], `${key.trimEnd()}\n${chainPem}`);
  assert.notEqual(clientId, '');
  return { clientId, x5tS256, chain };
}

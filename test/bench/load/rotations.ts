/** Rotations of many clients, by annotation and by another issuer, and what makes the terminators reload meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { RENEW_REQUESTED } from '../../../src/api/annotations.ts';
import { authorizationServers, oauthClients } from '../../../src/api/resources.ts';
import type { IngressModel } from '../../support/ingress-model.ts';
import { HOSTS } from '../../support/oauth-deployment.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { BenchWorld, ClientRef, ClientWatch } from '../world.ts';
import { ISSUERS, touchOtherIngress } from './platform.ts';
import type { PublishedSecrets } from './published.ts';

const patience = 300_000;

export interface RotationOptions {
  world: BenchWorld;
  watch: ClientWatch;
  published: PublishedSecrets;
  /** Those of tls_client_auth, which have an issuer. */
  byCa: readonly ClientRef[];
  selfSigned: readonly ClientRef[];
  /** Of each client. */
  rotations: number;
  /** Between two of one client, at least. */
  spacingMs: number;
  /** What the platform says of its terminators. */
  propagationMs: number;
  /** In [0, 1). */
  random: () => number;
  say: (line: string) => void;
}

export class Rotations {
  readonly #options: RotationOptions;
  readonly #issuerOf = new Map<ClientRef, string>();
  #granted: (typeof ISSUERS)[number] = ISSUERS[0];
  #news = new AbortController();
  #done = 0;
  #moved = 0;
  #bundles = 0;
  /** When each was made, and when the last replica knew of it; epoch milliseconds. */
  readonly #grants: { granted: number; known: number }[] = [];

  constructor(options: RotationOptions) {
    this.#options = options;
  }

  /** Successors that were published. */
  get done(): number {
    return this.#done;
  }
  /** Those of them that came from another CA. */
  get moved(): number {
    return this.#moved;
  }
  /** How often a CA joined or left the terminators' bundle. */
  get bundleChanges(): number {
    return this.#bundles;
  }

  /** Whether a replica had yet to hear of a grant that is older than `spec.propagation` promises; epoch milliseconds. */
  overdue(at: number): boolean {
    return this.#grants.some(({ granted, known }) => at > granted + this.#options.propagationMs && at < known);
  }

  /** Seconds from a grant to the reload of the last replica that had to hear of it. */
  get longestWay(): number {
    return Math.max(0, ...this.#grants.map(({ granted, known }) => (Math.min(known, Date.now()) - granted) / 1000));
  }

  /** Every client again and again. */
  async run(): Promise<void> {
    const { byCa, selfSigned } = this.#options;
    await Promise.all([...byCa, ...selfSigned].map((ref, i) => this.#rotate(ref, byCa.includes(ref), i)));
  }

  /** Every second client moves to another CA as soon as it is granted, while the terminators have yet to hear of it. */
  async #rotate(ref: ClientRef, byCa: boolean, index: number): Promise<void> {
    const { world, published, rotations, spacingMs, random } = this.#options;
    const pause = (milliseconds: number) =>
      sleep(milliseconds, undefined, index % 2 === 0 ? { signal: this.#news.signal } : {}).catch(() => undefined);
    await pause(random() * spacingMs);
    for (let i = 0; i < rotations; i++) {
      const { x5tS256 } = published.current(ref);
      const issuer = this.#granted.name;
      const move = byCa && (this.#issuerOf.get(ref) ?? ISSUERS[0].name) !== issuer;
      this.#issuerOf.set(ref, issuer);
      const patch = move
        ? { spec: { certificate: { issuerRef: { name: issuer } } } }
        : { metadata: { annotations: { [RENEW_REQUESTED]: `rotation ${i}` } } };
      await world.kube.patch(oauthClients, ref, patch, { type: 'merge' });
      await published.changed(ref, x5tS256, patience).catch((error: unknown) => {
        throw new Error(JSON.stringify(this.#options.watch.status(ref)), { cause: error });
      });
      this.#done += 1;
      if (move) this.#moved += 1;
      await pause(spacingMs * (1 + 0.2 * random()));
    }
  }

  /**
   * The platform goes over from one CA to the other, and back: the other is granted, clients move with their next rotation,
   * and the one that no live certificate is from is taken out.
   */
  async changeIssuers(signal: AbortSignal): Promise<void> {
    const { world, say, spacingMs } = this.#options;
    await sleep(spacingMs, undefined, { signal }).catch(() => undefined);
    for (let turn = 1; !signal.aborted; turn++) {
      const before = this.#granted;
      const next = ISSUERS[turn % ISSUERS.length] ?? before;
      await this.#grant(world, [before.name, next.name], before.name);
      this.#granted = next;
      this.#news.abort();
      this.#news = new AbortController();
      say(`granted ${next.name}; ${this.#done} rotations`);
      while (!signal.aborted && !this.#hasLeft(before.dn)) await sleep(1_000);
      if (signal.aborted) return;
      await this.#grant(world, [next.name], next.name);
      say(`took ${before.name} out; ${this.#done} rotations`);
      await sleep(spacingMs / 2, undefined, { signal }).catch(() => undefined);
    }
  }

  async #grant(
    { kube, ingressControllers }: BenchWorld,
    issuers: readonly string[],
    defaultIssuer: string,
  ): Promise<void> {
    const spec = { defaultIssuerRef: { name: defaultIssuer }, clients: { issuers } };
    await kube.patch(authorizationServers, { name: 'corporate' }, { spec }, { type: 'merge' });
    this.#bundles += 1;
    if (issuers.length < ISSUERS.length) return;
    const grant = { granted: Date.now(), known: Infinity };
    this.#grants.push(grant);
    const trusts = ({ hosts }: IngressModel, host: string) =>
      hosts.find(({ hostname }) => hostname === host)?.clientAuthentication?.ca.match(/BEGIN CERT/g)?.length ===
      issuers.length;
    // The next change comes when no client uses the other CA any more, so it is long known everywhere by then.
    const ways = ingressControllers.flatMap((controller, replica) =>
      [HOSTS.mtls, HOSTS.api].map(async (host) => {
        await waitFor(() => trusts(controller.model(), host), patience);
        const seconds = (Date.now() - grant.granted) / 1000;
        this.#options.say(`replica ${replica} trusts ${issuers.join(', ')} on ${host} after ${seconds.toFixed(1)} s`);
      }),
    );
    void Promise.all(ways).then(
      () => (grant.known = Date.now()),
      () => this.#options.say(`a replica has not heard of the grant of ${issuers.join(', ')}`),
    );
  }

  /** No certificate of this issuer is used by anybody. */
  #hasLeft(dn: string): boolean {
    const { byCa, watch, published } = this.#options;
    const rdns = dn.split(',').toSorted().join();
    return byCa.every((ref) =>
      (watch.status(ref).certificates ?? [])
        // One that was not published yet is of the issuer that is granted by now.
        .map(({ x5tS256 }) => published.issuerOf(x5tS256)?.split('\n').toSorted().join())
        .every((issuer) => issuer !== rdns),
    );
  }

  /** Other teams change their Ingresses, so that every replica reloads every few seconds. */
  async touchIngresses(everyMs: number, signal: AbortSignal): Promise<void> {
    const { world, random } = this.#options;
    for (let i = 0; !signal.aborted; i++) {
      await touchOtherIngress(world, `/version-${i}`);
      await sleep(everyMs * (0.5 + random()), undefined, { signal }).catch(() => undefined);
    }
  }
}

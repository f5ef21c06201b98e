import type { AuthorizationServer } from '../../api/authorization-server.ts';
import type { ClientCertificateIssuer } from '../../api/client-certificate-issuer.ts';
import type { GrantedNamespace } from '../../api/namespace-grant.ts';
import type { Informer } from '../../kube/informer.ts';
import type { KindUnion } from '../../kube/kind-union.ts';
import type { Rewritten } from '../../runtime/contest.ts';
import { Rewrites } from '../../runtime/rewrites.ts';
import { type Trust, trustOf } from '../../x509/trust.ts';
import { holds, type PublishedTrust, shownRef, TRUST_KIND, type TrustRef, trustRef } from './published.ts';
import { Condition } from '../step.ts';

/** Where a server's trust bundle is read from. */
export interface TrustSources {
  issuers: Pick<Informer<ClientCertificateIssuer>, 'get'>;
  namespaces: Pick<Informer<GrantedNamespace>, 'get'>;
  bundles: Pick<KindUnion<PublishedTrust>, 'get' | 'byIndex'>;
  /** Where tenants' objects are served; empty: everywhere. */
  watchNamespaces: readonly string[];
}

/** What decides about the trust bundle of a server. */
export interface ObservedTrust {
  readonly trust: Trust;
  /** What is at its place, if it is labelled as ours. */
  readonly current: PublishedTrust | undefined;
  /** What was published for the server, wherever. */
  readonly published: readonly PublishedTrust[];
  /** Of the namespace that is to have it. */
  readonly place: 'served' | 'missing' | 'not served';
  readonly rewritten: Rewritten | undefined;
}

/** What this process has written. It paces repetition and times proofs; a restart may forget it. */
export class TrustMemory {
  readonly rewrites = new Rewrites();
  readonly #writtenAt = new Map<string, number>();

  wrote(ref: TrustRef, content: string, now: number): void {
    this.rewrites.wrote(shownRef(ref), content, now);
    this.#writtenAt.set(shownRef(ref), now);
  }

  /** Epoch milliseconds. */
  writtenAt(ref: TrustRef): number | undefined {
    return this.#writtenAt.get(shownRef(ref));
  }

  forget(ref: TrustRef): void {
    this.rewrites.forget(shownRef(ref));
    this.#writtenAt.delete(shownRef(ref));
  }
}

const Index = { server: 'authserver/trust-bundle' } as const;

/** Before the informers start. */
export function indexTrust(bundles: Pick<KindUnion<PublishedTrust>, 'addIndex'>): void {
  bundles.addIndex(Index.server, ({ kind, server, scope }) =>
    kind === TRUST_KIND && server !== undefined && scope === undefined ? [server] : [],
  );
}

export function observeTrust(
  { issuers, namespaces, bundles, watchNamespaces }: TrustSources,
  memory: TrustMemory,
  server: AuthorizationServer,
): ObservedTrust {
  const ref = trustRef(server);
  const served = ref === undefined || watchNamespaces.length === 0 || watchNamespaces.includes(ref.namespace);
  const missing = ref !== undefined && namespaces.get(undefined, ref.namespace) === undefined;
  return {
    trust: trustOf(server, (name) => issuers.get(undefined, name)),
    current: ref && bundles.get(TRUST_KIND, ref.namespace, ref.name),
    published: bundles.byIndex(Index.server, server.metadata.name),
    place: served ? (missing ? 'missing' : 'served') : 'not served',
    rewritten: ref && memory.rewrites.of(shownRef(ref)),
  };
}

/** How far the server's own truststore is, as far as it can be seen: what the server has read of it, nobody knows. */
export interface TrustView {
  ref: string;
  listed: true;
  problem: { reason: string; message: string } | undefined;
  inEffect: boolean;
  caHashes: readonly string[];
  changedAt: number | undefined;
  trustChangedAt: undefined;
}

/** Beside the views of the terminators: what the next certificate of a client needs is published there before it is used. */
export function trustViews(sources: TrustSources, memory: TrustMemory, server: AuthorizationServer): TrustView[] {
  const ref = trustRef(server);
  if (ref === undefined) return [];
  const { trust, current } = observeTrust(sources, memory, server);
  const known = trust.error === undefined && (trust.bundle !== undefined || trust.pending.length === 0);
  const inEffect = known && holds(current, server.metadata.name, trust.bundle?.pem);
  const said = server.status?.conditions?.find(({ type }) => type === Condition.trustBundle);
  const times = [current?.writtenAt, memory.writtenAt(ref)].filter((time) => time !== undefined);
  return [
    {
      ref: shownRef(ref),
      listed: true,
      problem: !inEffect && said?.status === 'False' ? { reason: said.reason, message: said.message } : undefined,
      inEffect,
      caHashes: current?.hashes ?? [],
      changedAt: times.length === 0 ? undefined : Math.max(...times),
      trustChangedAt: undefined,
    },
  ];
}

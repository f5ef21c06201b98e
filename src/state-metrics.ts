import { Gauge, type Registry } from 'prom-client';
import type { AuthorizationServer } from './api/authorization-server.ts';
import type { ClientCertificateIssuer } from './api/client-certificate-issuer.ts';
import type { Condition } from './api/conditions.ts';
import { type OAuthClient, rotationPhase } from './api/oauth-client.ts';
import type { Caches } from './caches.ts';
import { secretNameOf } from './oauthclient/desired.ts';
import {
  certificateHeld,
  certificateIn,
  recordName,
  type CertificateState,
  type RecordState,
} from './oauthclient/record.ts';
import type { ProofResults } from './terminator/proof/results.ts';
import { stateOf } from './terminator/proof/verdict.ts';

/** What is read at a scrape. */
export interface StateSources {
  clients: Pick<Caches['clients'], 'get' | 'list'>;
  servers: Pick<Caches['servers'], 'get' | 'list'>;
  issuers: Pick<Caches['issuers'], 'list'>;
  records: Pick<Caches['records'], 'list'>;
  published: Pick<Caches['published'], 'get'>;
  /** Of hosts whose terminators are asked. */
  proofs: Pick<ProofResults, 'list'>;
  /** Servers that name another one are not ours, nor are their clients. */
  controllerName: string;
}

interface Sample<Label extends string> {
  labels: Record<Label, string>;
  value: number;
}

interface ReadingOptions<Label extends string> {
  name: string;
  help: string;
  labelNames: readonly Label[];
  read: () => Iterable<Sample<Label>>;
}

/** Read at every scrape and kept nowhere, so that no series outlives its object. */
class Reading<Label extends string> extends Gauge<Label> {
  readonly #read: () => Iterable<Sample<Label>>;

  constructor({ read, ...options }: ReadingOptions<Label>) {
    super({ ...options, registers: [] });
    this.#read = read;
  }

  override async get() {
    return { ...(await super.get()), values: [...this.#read()] };
  }
}

/**
 * What the caches know of clients, servers and issuers: when certificates end, who is Ready, how far rotations are. Of what
 * tenants write, only the namespace and the name of their OAuthClients become labels.
 */
export function registerStateMetrics(registry: Registry, sources: StateSources): void {
  const add = <Label extends string>(options: ReadingOptions<Label>) => registry.registerMetric(new Reading(options));
  const client = ['namespace', 'name'] as const;
  add({
    name: 'certbound_oauthclient_certificate_expiration_timestamp_seconds',
    help: 'When the certificate ends that the published Secret of an OAuthClient holds.',
    labelNames: client,
    read: () => ofPublished(sources, (certificate) => certificate.notAfter),
  });
  add({
    name: 'certbound_oauthclient_certificate_renewal_timestamp_seconds',
    help: 'When the successor of that certificate is begun.',
    labelNames: client,
    read: () => ofPublished(sources, renewalShown),
  });
  add({
    name: 'certbound_oauthclient_ready',
    help: '1 while an OAuthClient is Ready.',
    labelNames: client,
    *read() {
      for (const { metadata, status } of ourClients(sources)) {
        yield { labels: keyOf(metadata), value: isReady(status) };
      }
    },
  });
  add({
    name: 'certbound_oauthclients',
    help: 'OAuthClients by the status and the reason of their condition Ready.',
    labelNames: ['authorization_server', 'ready', 'reason'],
    read: () => byReadiness(sources),
  });
  add({
    name: 'certbound_oauthclients_in_phase',
    help: 'OAuthClients by how far their newest certificate is.',
    labelNames: ['authorization_server', 'phase'],
    read: () => byPhase(sources),
  });
  add({
    name: 'certbound_suspected_orphans',
    help: 'Registrations whose answer was lost, of the OAuthClients that exist: each may have left a client at the server.',
    labelNames: ['authorization_server'],
    read: () => suspectedOrphans(sources),
  });
  add({
    name: 'certbound_authorizationserver_ready',
    help: '1 while an AuthorizationServer is Ready.',
    labelNames: ['authorization_server'],
    *read() {
      for (const { metadata, status } of ourServers(sources)) {
        yield { labels: { authorization_server: metadata.name }, value: isReady(status) };
      }
    },
  });
  add({
    name: 'certbound_terminator_hosts',
    help: 'Hosts by what live connections have shown: proved, disproved, or not yet either.',
    labelNames: ['controller', 'state'],
    read: () => byProof(sources),
  });
  add({
    name: 'certbound_terminator_oldest_proof_timestamp_seconds',
    help: 'When, of the proved hosts of a controller, the one was asked that was asked longest ago.',
    labelNames: ['controller'],
    *read() {
      const oldest = new Map<string, number>();
      for (const { controller, proof } of sources.proofs.list()) {
        if (proof.passedAt === undefined) continue;
        oldest.set(controller, Math.min(proof.passedAt, oldest.get(controller) ?? Infinity));
      }
      for (const [controller, time] of oldest) yield { labels: { controller }, value: time / 1000 };
    },
  });
  registerIssuerMetrics(registry, sources);
}

function registerIssuerMetrics(registry: Registry, { issuers }: StateSources): void {
  const add = <Label extends string>(options: ReadingOptions<Label>) => registry.registerMetric(new Reading(options));
  add({
    name: 'certbound_clientcertificateissuer_ready',
    help: '1 while a ClientCertificateIssuer is Ready.',
    labelNames: ['issuer'],
    *read() {
      for (const { metadata, status } of issuers.list()) {
        yield { labels: { issuer: metadata.name }, value: isReady(status) };
      }
    },
  });
  add({
    name: 'certbound_clientcertificateissuer_ca_expiration_timestamp_seconds',
    help: 'When a CA certificate of a ClientCertificateIssuer ends.',
    labelNames: ['issuer', 'sha256'],
    *read() {
      for (const { metadata, status } of issuers.list()) {
        for (const { sha256, notAfter } of status?.generations ?? []) {
          yield { labels: { issuer: metadata.name, sha256 }, value: epochSeconds(notAfter) };
        }
      }
    },
  });
}

type Statused = Pick<OAuthClient | AuthorizationServer | ClientCertificateIssuer, 'status'>['status'];

function readyCondition(status: Statused): Condition | undefined {
  return status?.conditions?.find(({ type }) => type === 'Ready');
}

const isReady = (status: Statused): number => (readyCondition(status)?.status === 'True' ? 1 : 0);
const epochSeconds = (instant: string): number => Date.parse(instant) / 1000;
const keyOf = ({ namespace = '', name }: OAuthClient['metadata']) => ({ namespace, name });

function isOurs({ controllerName }: StateSources, server: AuthorizationServer | undefined): boolean {
  return (server?.spec.controllerName ?? controllerName) === controllerName;
}

function* ourServers(sources: StateSources): Generator<AuthorizationServer> {
  for (const server of sources.servers.list()) if (isOurs(sources, server)) yield server;
}

function* ourClients(sources: StateSources): Generator<OAuthClient> {
  for (const client of sources.clients.list()) {
    if (isOurs(sources, sources.servers.get(undefined, client.spec.authorizationServerRef.name))) yield client;
  }
}

/** A name that a tenant wrote is a label only where the platform has made a server of that name. */
function serverLabel({ servers }: StateSources, name: string): string {
  return servers.get(undefined, name) === undefined ? '' : name;
}

/** One sample for each client with a published certificate of which there is such a time. */
function* ofPublished(
  sources: StateSources,
  timeOf: (certificate: CertificateState, client: OAuthClient) => string | undefined,
): Generator<Sample<'namespace' | 'name'>> {
  for (const { name, state } of sources.records.list()) {
    if (state === undefined) continue;
    const { owner } = state;
    const client = sources.clients.get(owner.namespace, owner.name);
    // A copy under another name, as a backup makes it, is nobody's record.
    if (client?.metadata.uid !== owner.uid || name !== recordName(owner.namespace, owner.name)) continue;
    const certificate = certificateOf(sources, client, state);
    const time = certificate === undefined ? undefined : timeOf(certificate, client);
    if (time !== undefined) yield { labels: keyOf(client.metadata), value: epochSeconds(time) };
  }
}

/** What applications read: while the Secret can't be written that is the predecessor of what the record has published. */
function certificateOf(
  { published }: StateSources,
  client: OAuthClient,
  state: RecordState,
): CertificateState | undefined {
  const secret = published.get(client.metadata.namespace, secretNameOf(client));
  const held = secret?.ownerUid === client.metadata.uid ? certificateHeld(state, secret.digests) : undefined;
  return held ?? certificateIn(state, 'Published');
}

/** From status, where the pass that computed it has written it. */
function renewalShown({ x5tS256 }: CertificateState, { status }: OAuthClient): string | undefined {
  return status?.certificates?.find((shown) => shown.x5tS256 === x5tS256)?.renewalTime;
}

/** More than the operator has; who may write status could invent any number of them. */
const mostReasons = 64;
const OTHER = 'Other';

function byReadiness(sources: StateSources) {
  const reasons = new Set<string>();
  const counts = new Counts<'authorization_server' | 'ready' | 'reason'>();
  for (const { spec, status } of ourClients(sources)) {
    const { status: ready = 'Unknown', reason = 'Pending' } = readyCondition(status) ?? {};
    const known = reasons.has(reason) || reasons.size < mostReasons;
    if (known) reasons.add(reason);
    const server = serverLabel(sources, spec.authorizationServerRef.name);
    counts.add({ authorization_server: server, ready, reason: known ? reason : OTHER });
  }
  return counts.samples();
}

function byPhase(sources: StateSources) {
  const counts = new Counts<'authorization_server' | 'phase'>();
  for (const { metadata } of ourServers(sources)) {
    for (const phase of rotationPhase.options) counts.add({ authorization_server: metadata.name, phase }, 0);
  }
  for (const { spec, status } of ourClients(sources)) {
    const phase = status?.rotation?.phase;
    const server = serverLabel(sources, spec.authorizationServerRef.name);
    if (phase !== undefined) counts.add({ authorization_server: server, phase });
  }
  return counts.samples();
}

function suspectedOrphans(sources: StateSources) {
  const counts = new Counts<'authorization_server'>();
  for (const { metadata } of ourServers(sources)) counts.add({ authorization_server: metadata.name }, 0);
  for (const { state } of sources.records.list()) {
    if (state === undefined || state.suspectedOrphans.length === 0) continue;
    counts.add({ authorization_server: serverLabel(sources, state.server.name) }, state.suspectedOrphans.length);
  }
  return counts.samples();
}

function byProof({ proofs }: StateSources) {
  const counts = new Counts<'controller' | 'state'>();
  for (const { controller, proof } of proofs.list()) {
    for (const state of ['proved', 'disproved', 'unproved']) counts.add({ controller, state }, 0);
    counts.add({ controller, state: stateOf(proof) });
  }
  return counts.samples();
}

/** Sums by label values. */
class Counts<Label extends string> {
  readonly #samples = new Map<string, Sample<Label>>();

  add(labels: Record<Label, string>, value = 1): void {
    const key = Object.values(labels).join('\n');
    const sample = this.#samples.get(key);
    if (sample === undefined) this.#samples.set(key, { labels, value });
    else sample.value += value;
  }

  samples(): Iterable<Sample<Label>> {
    return this.#samples.values();
  }
}

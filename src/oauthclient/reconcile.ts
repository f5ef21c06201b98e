import { oauthClients } from '../api/resources.ts';
import type { AuthorizationServer } from '../api/authorization-server.ts';
import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { verifyIntervalMs } from '../api/intervals.ts';
import type { OAuthClient } from '../api/oauth-client.ts';
import { capabilitiesOf } from '../authserver/capabilities.ts';
import { claimedClientId, claimName, nameOf, type Claim } from '../authserver/claims.ts';
import { secretNames } from '../authserver/credentials.ts';
import type { Identity } from '../authserver/identity.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Cache, Informer } from '../kube/informer.ts';
import { customResourceDefinitions, resourceName, secrets } from '../kube/resource.ts';
import { writeStatus } from '../kube/status-writer.ts';
import type { Kind } from '../runtime/pass.ts';
import type { Distribution } from '../terminator/distribution.ts';
import { clientChecks } from './checks/chain.ts';
import { desired, identityOf, issuerNameOf, secretNameOf, type Desired } from './desired.ts';
import { doubtIn, unreadableIn, type NamespaceView, type Observed } from './observed.ts';
import { FreeNames } from './free-names.ts';
import { heldBack } from './outage.ts';
import { projectSecret, type SecretProjection } from './published-secret.ts';
import { certificateIn, recordName, type RecordProjection } from './record.ts';
import { wakeAt } from './wake.ts';
import { statusOf } from './status.ts';
import { actionOf } from './steps/run.ts';
import { deniedByTermination, type StepContext } from './steps/context.ts';
import type { ClientFinding, ClientStep, ClientView } from './step.ts';

export const SECRET_NAME_INDEX = 'secretName';
export const HOLDER_INDEX = 'holder';

export interface ClientSources {
  kube: KubeClient;
  clients: Cache<OAuthClient>;
  servers: Informer<AuthorizationServer>;
  issuers: Informer<ClientCertificateIssuer>;
  records: Informer<RecordProjection>;
  /** Secrets that the platform brings. */
  authoritySecrets: { get(namespace: string, name: string): { readonly resourceVersion: string } | undefined };
  published: Cache<SecretProjection>;
  claims: Informer<Claim>;
  namespaces: Informer<NamespaceView>;
  distribution(server: AuthorizationServer, caSha256: string | undefined): Distribution;
  controllerName: string;
  clusterId: string;
  operatorNamespace: string;
  /** Where key sets are served, if they are. */
  jwksUrl: string | undefined;
}

/** The OAuthClient kind: reads caches, plans from the checks, acts through the steps. */
export function oauthClientKind(sources: ClientSources, context: StepContext): Kind<Observed, Desired, ClientStep> {
  const freeNames = new FreeNames(context.clock);
  return {
    name: 'oauthclient',
    checks: clientChecks,
    desired,
    wakeAt,
    observe: (key, signal) => observe(sources, context, freeNames, key, signal),
    heldBack: (key, step, view) =>
      heldBack(view.observed.server && context.connection(view.observed.server), key, step, view),
    run: (step, view, signal) => actionOf(step)(context, view, signal),
    settle: (view, findings, signal) => settle(sources, context, view, findings, signal),
  };
}

async function observe(
  sources: ClientSources,
  context: StepContext,
  freeNames: FreeNames,
  key: string,
  signal: AbortSignal,
): Promise<Observed | undefined> {
  const [namespace = '', name = ''] = key.split('/');
  const client = sources.clients.get(namespace, name);
  if (client === undefined) return undefined;
  const server = sources.servers.get(undefined, client.spec.authorizationServerRef.name);
  if (server !== undefined && (server.spec.controllerName ?? sources.controllerName) !== sources.controllerName) {
    return undefined;
  }
  const issuerName = issuerNameOf(client, server);
  const record = sources.records.get(sources.operatorNamespace, recordName(namespace, name));
  const deleting = client.metadata.deletionTimestamp !== undefined;
  const announced = announcedOf(sources, client, record);
  const intent = record?.state?.intent?.id ?? announced?.intent;
  const observed: Observed = {
    client: { ...client, metadata: { ...client.metadata, namespace } },
    clusterId: sources.clusterId,
    jwksUrl: sources.jwksUrl,
    namespace: sources.namespaces.get(undefined, namespace),
    server,
    credentials: credentialsOf(sources, server),
    issuer: issuerName === undefined ? undefined : sources.issuers.get(undefined, issuerName),
    record,
    published: await findSecret(sources, freeNames, client, record, signal),
    rewritten: context.rewrites.of(client.metadata.uid),
    secretRival: rivalOf(sources, client),
    claim: undefined,
    clientIdClaim: undefined,
    announced,
    distribution: distributionOf(sources, server, record),
    unsentIntent: intent !== undefined && context.unsentIntents.has(intent) ? intent : undefined,
    answeredIntent: context.unstored.registrationOf(intent) === undefined ? undefined : intent,
    acceptedAt: server && context.reproofs.acceptedAt(server.metadata.uid),
    reproof: context.reproofs.of(client.metadata.uid, verifyIntervalMs(server), doubtIn(client.status)),
    comparison: context.comparisons.of(client.metadata.uid, verifyIntervalMs(server), unreadableIn(client.status)),
    readsRotate: readsRotate(context, server, record),
    definitionTerminating: deleting && (await definitionTerminating(sources, signal)),
  };
  return { ...observed, claim: claimOf(sources, observed), clientIdClaim: clientIdClaimOf(sources, observed) };
}

function credentialsOf({ authoritySecrets, operatorNamespace }: ClientSources, server?: AuthorizationServer): string {
  const names = server === undefined ? [] : secretNames(server.spec);
  return names.map((name) => authoritySecrets.get(operatorNamespace, name)?.resourceVersion ?? '').join(' ');
}

/** Found out with one of a server's clients; its record tells the next process. */
function readsRotate(
  { comparisons }: StepContext,
  server: AuthorizationServer | undefined,
  record: RecordProjection | undefined,
): boolean {
  if (server === undefined) return true;
  if (capabilitiesOf(server)?.readsAreFree === true) return false;
  if (record?.state?.registration?.readsRotate === true) comparisons.costly(server.metadata.uid);
  return comparisons.isCostly(server.metadata.uid);
}

/** The cache holds labelled Secrets alone: what is missing there may still exist, made by somebody else. */
async function findSecret(
  { published, kube, namespaces }: ClientSources,
  freeNames: FreeNames,
  client: OAuthClient,
  record: RecordProjection | undefined,
  signal: AbortSignal,
): Promise<SecretProjection | undefined> {
  const { namespace = '' } = client.metadata;
  const name = secretNameOf(client);
  const cached = published.get(namespace, name);
  if (cached !== undefined) return cached;
  // The name was free when the client was taken on, and until there is something to publish nobody asks again.
  if (record?.state !== undefined && certificateIn(record.state, 'Published') === undefined) return undefined;
  try {
    const key = `${client.metadata.uid} ${name}`;
    if (freeNames.take(key)) return undefined;
    const object = await kube.get(secrets, { namespace, name }, { signal });
    if (object !== undefined) return projectSecret(object);
    freeNames.saw(key);
    return undefined;
  } catch (error) {
    if (deniedByTermination(error, namespaces.get(undefined, namespace))) return undefined;
    throw error;
  }
}

const age = ({ metadata }: OAuthClient) => `${metadata.creationTimestamp ?? ''} ${metadata.uid}`;

/** Of several OAuthClients with one Secret name the oldest has it. */
function rivalOf({ clients }: ClientSources, client: OAuthClient): string | undefined {
  return clients
    .byIndex(SECRET_NAME_INDEX, secretKey(client))
    .filter((other) => other.metadata.uid !== client.metadata.uid && age(other) < age(client))
    .map((other) => other.metadata.name)
    .at(0);
}

export function secretKey(client: OAuthClient): string {
  return `${client.metadata.namespace ?? ''}/${secretNameOf(client)}`;
}

function distributionOf(
  sources: ClientSources,
  server: AuthorizationServer | undefined,
  record: RecordProjection | undefined,
): Distribution {
  const newest = certificateIn(record?.state, 'Next') ?? certificateIn(record?.state, 'Published');
  if (server === undefined || newest === undefined) return { state: 'distributed', lagging: [] };
  return sources.distribution(server, newest.caSha256);
}

function claimOf(sources: ClientSources, observed: Observed): Claim | undefined {
  const stored = observed.record?.state;
  const identity = stored?.identity ?? effectiveIdentityOf(observed);
  const issuer = stored?.server.issuer ?? observed.server?.spec.issuer;
  if (identity === undefined || issuer === undefined) return undefined;
  return sources.claims.get(sources.operatorNamespace, claimName(issuer, identity));
}

/** By its holder: what the platform would have the identity be may be another by now. Status tells as a record does. */
function announcedOf(
  { claims }: ClientSources,
  { metadata: { namespace = '', name }, status }: OAuthClient,
  record: RecordProjection | undefined,
): Claim | undefined {
  if (record !== undefined || status?.clientId !== undefined) return undefined;
  const held = claims.byIndex(HOLDER_INDEX, nameOf({ namespace, name }));
  return held.find(({ intent, expires }) => intent !== undefined && expires === undefined);
}

function clientIdClaimOf(sources: ClientSources, { client, server, record }: Observed): Claim | undefined {
  const { clientId } = client.spec;
  const issuer = record?.state?.server.issuer ?? server?.spec.issuer;
  if (clientId === undefined || issuer === undefined) return undefined;
  return sources.claims.get(sources.operatorNamespace, claimName(issuer, claimedClientId(clientId)));
}

function effectiveIdentityOf(observed: Observed): Identity | undefined {
  const identity = identityOf(observed);
  return identity.ok ? identity : undefined;
}

async function definitionTerminating({ kube }: ClientSources, signal: AbortSignal): Promise<boolean> {
  const definition = await kube.get(customResourceDefinitions, { name: resourceName(oauthClients) }, { signal });
  return definition?.metadata.deletionTimestamp !== undefined;
}

function settle(
  { kube, clients }: ClientSources,
  { recorder }: StepContext,
  view: ClientView,
  findings: readonly ClientFinding[],
  signal: AbortSignal,
): Promise<void> {
  const status = statusOf(view, findings);
  return writeStatus({ client: kube, cache: clients, recorder }, view.observed.client, status, signal);
}

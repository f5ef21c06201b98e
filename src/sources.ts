import { isDeepStrictEqual } from 'node:util';
import { COMPROMISED, RENEW_REQUESTED } from './api/annotations.ts';
import type { OAuthClient } from './api/oauth-client.ts';
import { secretNames } from './authserver/credentials.ts';
import { CLIENT_ID_TAKEN } from './authserver/claims.ts';
import { rateLimitOf } from './authserver/connection/traffic.ts';
import type { Caches } from './caches.ts';
import type { Change } from './kube/informer.ts';
import { issuerNameOf } from './oauthclient/desired.ts';
import { secretKey, SECRET_NAME_INDEX } from './oauthclient/reconcile.ts';
import type { Controller } from './runtime/controller.ts';
import type { WorkQueueOptions } from './runtime/workqueue.ts';
import type { TerminatorKind } from './terminator/reconcile.ts';
import { isNews } from './terminator/routes/route.ts';

export const SERVER_INDEX = 'authorizationServer';

export interface Controllers {
  clients: Controller;
  servers: Controller;
  issuers: Controller;
  terminators: Controller;
  /** Absent where the platform names no addresses of terminators. */
  terminatorProofs?: Controller;
  /** Identity claims that were released. */
  claims: Controller;
}

/** Which keys a change concerns. Passes look at the world and not at the change, so a key too many is only work. */
export function connectSources(caches: Caches, controllers: Controllers, terminators: TerminatorKind): void {
  const { clients, servers, issuers } = caches;
  const queue = {
    client: (client: OAuthClient) =>
      controllers.clients.enqueue(`${client.metadata.namespace ?? ''}/${client.metadata.name}`),
    clientsOf: (server: string) => clients.byIndex(SERVER_INDEX, server).forEach(queue.client),
    scopes: (keys: readonly string[]) =>
      keys.forEach((key) => {
        controllers.terminators.enqueue(key);
        controllers.terminatorProofs?.enqueue(key);
      }),
  };
  const issuerOf = (client: OAuthClient) =>
    issuerNameOf(client, servers.get(undefined, client.spec.authorizationServerRef.name));

  /** Deleted servers and issuers wait for their last user; others don't care who uses them. */
  const released = (server: string | undefined, issuer: string | undefined) => {
    if (server !== undefined && isDeleting(servers.get(undefined, server))) controllers.servers.enqueue(server);
    if (issuer !== undefined && isDeleting(issuers.get(undefined, issuer))) controllers.issuers.enqueue(issuer);
  };

  clients.onChange((change) => {
    // A pass looks again after each of its own writes; that a client is gone is news for others.
    if (change.own && change.type !== 'deleted') return;
    if (isBeside(change)) return;
    controllers.clients.enqueue(`${change.namespace ?? ''}/${change.name}`);
    for (const client of both(change)) {
      if (change.type === 'deleted') clients.byIndex(SECRET_NAME_INDEX, secretKey(client)).forEach(queue.client);
      released(client.spec.authorizationServerRef.name, issuerOf(client));
    }
  });
  servers.onChange(({ name }) => {
    controllers.servers.enqueue(name);
    queue.clientsOf(name);
    queue.scopes(terminators.keysForServer(name));
  });
  issuers.onChange(({ name }) => {
    controllers.issuers.enqueue(name);
    for (const client of clients.list()) if (issuerOf(client) === name) queue.client(client);
    queue.scopes(terminators.keysForIssuer(name));
    for (const { metadata, spec } of servers.list()) {
      if (spec.trustBundle !== undefined && spec.clients?.issuers?.includes(name) === true)
        controllers.servers.enqueue(metadata.name);
    }
  });
  caches.records.onChange((change) => {
    const { previous, current } = change;
    // Somebody wrote to its metadata: nothing that a pass looks at.
    if (previous !== undefined && previous.digest === current?.digest && previous.owner === current.owner) return;
    for (const { owner, state } of both(change)) {
      if (owner !== undefined && !change.own) controllers.clients.enqueue(owner);
      for (const { issuer } of state?.certificates ?? []) released(undefined, issuer);
    }
  });
  caches.published.onChange(({ namespace, name, own }) => {
    if (!own) clients.byIndex(SECRET_NAME_INDEX, `${namespace ?? ''}/${name}`).forEach(queue.client);
  });
  caches.authoritySecrets.onChange(({ name }) => {
    for (const issuer of issuers.list()) controllers.issuers.enqueue(issuer.metadata.name);
    for (const server of servers.list()) {
      if (!secretNames(server.spec).includes(name)) continue;
      controllers.servers.enqueue(server.metadata.name);
      // Who was refused with the one before is registered with this one.
      for (const client of clients.byIndex(SERVER_INDEX, server.metadata.name))
        if (client.status?.clientId === undefined) queue.client(client);
    }
  });
  caches.platformConfigMaps.onChange(({ name }) => {
    for (const server of servers.list()) {
      if (server.spec.caBundleRef?.kind === 'ConfigMap' && server.spec.caBundleRef.name === name)
        controllers.servers.enqueue(server.metadata.name);
    }
  });
  caches.claims.onChange((change) => {
    if (change.current?.expires !== undefined) controllers.claims.enqueue(change.name);
    if (change.type === 'added') return;
    const taken = new Set(['IdentityTaken', CLIENT_ID_TAKEN]);
    // Who was told that its identity is taken may have it now.
    for (const client of clients.list()) if (taken.has(readyReason(client) ?? '')) queue.client(client);
  });
  caches.namespaces.onChange(({ name }) => {
    for (const client of clients.list()) if (client.metadata.namespace === name) queue.client(client);
    queue.scopes(terminators.keysForNamespace(name));
    for (const { metadata, spec } of servers.list()) {
      if (spec.trustBundle?.namespace === name) controllers.servers.enqueue(metadata.name);
    }
  });
  caches.frontends.onChange((change, kind) => {
    const frontends = both(change);
    queue.scopes(frontends.flatMap((frontend) => terminators.keysForFrontend(frontend)));
    const concerned = frontends.flatMap((frontend) => terminators.serversOf(frontend));
    for (const server of new Set(concerned)) queue.clientsOf(server);
    for (const server of servers.list()) {
      const listed = server.spec.terminators?.some(
        (ref) => ref.kind === kind && ref.namespace === change.namespace && ref.name === change.name,
      );
      if (listed === true) queue.clientsOf(server.metadata.name);
    }
  });
  caches.routes.onChange((change) => {
    if (!isNews(change)) return;
    for (const route of both(change)) {
      queue.scopes(terminators.keysForRoute(route));
      terminators.serversOfRoute(route).forEach(queue.clientsOf);
    }
  });
  for (const classes of [caches.ingressClasses, caches.gatewayClasses]) {
    classes?.onChange(({ name }) => {
      queue.scopes(terminators.keysForClass(name));
      terminators.serversOfClass(name).forEach(queue.clientsOf);
    });
  }
  caches.companions.onChange((change) => {
    for (const companion of both(change)) {
      queue.scopes(terminators.keysForCompanion(companion));
      if (companion.server !== undefined) queue.clientsOf(companion.server);
    }
  });
  caches.bundles.onChange((change) => {
    for (const bundle of both(change)) {
      queue.scopes(terminators.keysForBundle(bundle));
      if (bundle.server === undefined) continue;
      queue.clientsOf(bundle.server);
      if (bundle.scope === undefined && !change.own) controllers.servers.enqueue(bundle.server);
    }
  });
}

/**
 * Whose turn it is among clients: of one server's no more than it may be asked in a second, nor than `most`, so that they do
 * not wait for each other; before others what is to be refused or to go.
 */
export function clientOrder(
  { clients, servers }: Caches,
  most: number,
): Pick<WorkQueueOptions, 'groupOf' | 'isUrgent'> {
  const clientOf = (key: string): OAuthClient | undefined => {
    const [namespace = '', name = ''] = key.split('/');
    return clients.get(namespace, name);
  };
  return {
    groupOf(key) {
      const name = clientOf(key)?.spec.authorizationServerRef.name;
      const server = name === undefined ? undefined : servers.get(undefined, name);
      // Those of no server ask nothing.
      return server && { name: server.metadata.name, most: Math.min(most, rateLimitOf(server.spec).requestsPerSecond) };
    },
    isUrgent(key) {
      const client = clientOf(key);
      if (client === undefined) return false;
      const { deletionTimestamp, annotations } = client.metadata;
      const reported = annotations[COMPROMISED];
      const live = client.status?.certificates ?? [];
      return deletionTimestamp !== undefined || live.some(({ x5tS256 }) => reported?.includes(x5tS256) === true);
    },
  };
}

/** Labels, and annotations of others: nothing that a pass looks at, however often they are written. */
function isBeside({ previous, current }: Change<OAuthClient>): boolean {
  if (previous === undefined || current === undefined) return false;
  return isDeepStrictEqual(lookedAt(previous), lookedAt(current));
}

function lookedAt({ metadata, status }: OAuthClient): unknown {
  const { uid, generation, deletionTimestamp, finalizers, annotations } = metadata;
  const asked = [annotations[RENEW_REQUESTED], annotations[COMPROMISED]];
  return { uid, generation, deletionTimestamp, finalizers, asked, status };
}

function isDeleting(object: { metadata: { deletionTimestamp?: string | undefined } } | undefined): boolean {
  return object?.metadata.deletionTimestamp !== undefined;
}

function both<T>({ previous, current }: Change<T>): T[] {
  return [previous, current].filter((value) => value !== undefined);
}

function readyReason(client: OAuthClient): string | undefined {
  return client.status?.conditions?.find((c) => c.type === 'Ready')?.reason;
}

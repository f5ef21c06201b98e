/** Copies of what a cluster and an authorization server hold, to be restored when it is too late or too early. */
import { Role, ROLE_LABEL } from '../../src/api/annotations.ts';
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../../src/api/resources.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { configMaps, ingresses, secrets, type KubernetesObject, type Resource } from '../../src/kube/resource.ts';
import type { AuthorizationServerStore } from '../support/authorization-server-store.ts';
import { waitFor } from '../support/wait-for.ts';

const OPERATOR_NAMESPACE = 'certbound-system';
const own: readonly string[] = [Role.client, Role.certificateAuthority];

/** The operator's own Secrets: records of clients, and CAs. */
export async function ownSecrets(kube: KubeClient): Promise<KubernetesObject[]> {
  const { items } = await kube.list(secrets, { namespace: OPERATOR_NAMESPACE });
  return items.filter(({ metadata }) => own.includes(metadata.labels?.[ROLE_LABEL] ?? ''));
}

/** As a backup tool does it: the same content, a new object. */
export async function restore(kube: KubeClient, copies: readonly KubernetesObject[]): Promise<void> {
  for (const { metadata, ...copy } of copies) {
    const { name, namespace, labels, annotations } = metadata;
    const ref = { namespace: namespace ?? OPERATOR_NAMESPACE, name };
    await kube.delete(secrets, ref);
    await kube.create(secrets, {
      ...copy,
      metadata: { ...ref, ...(labels && { labels }), ...(annotations && { annotations }) },
    });
  }
}

export async function remove(
  kube: KubeClient,
  resource: Resource,
  objects: readonly KubernetesObject[],
): Promise<void> {
  for (const { metadata } of objects) {
    if ((metadata.finalizers ?? []).length > 0) {
      await kube.patch(resource, metadata, { metadata: { finalizers: null } }, { type: 'merge' });
    }
    await kube.delete(resource, metadata);
  }
  for (const { metadata } of objects) await waitFor(async () => (await kube.get(resource, metadata)) === undefined);
}

/** Everything that Certbound is told, and all that it made. What is applied again afterwards has other uids. */
export async function erase(kube: KubeClient): Promise<void> {
  for (const resource of [oauthClients, authorizationServers, clientCertificateIssuers, ingresses]) {
    const { items } = await kube.list(resource);
    // The browser's Ingress is the installation's own.
    await remove(
      kube,
      resource,
      items.filter(({ metadata }) => metadata.name !== 'authorization-server'),
    );
  }
  for (const resource of [secrets, configMaps]) {
    const { items } = await kube.list(resource);
    await remove(
      kube,
      resource,
      items.filter(({ metadata }) => metadata.labels?.[ROLE_LABEL] !== undefined),
    );
  }
}

const models = ['Client', 'RegistrationAccessToken'];

/** @returns how to restore the registrations as they are now */
export function backUpServer(store: AuthorizationServerStore): () => void {
  const copies = models.map((name) => [name, structuredClone(store.model(name))] as const);
  return () => {
    for (const [name, copy] of copies) {
      const model = store.model(name);
      model.clear();
      for (const [id, entry] of structuredClone(copy)) model.set(id, entry);
    }
  };
}

import type { ClientCertificateIssuer } from '../api/client-certificate-issuer.ts';
import { clientCertificateIssuers } from '../api/resources.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Informer } from '../kube/informer.ts';
import { customResourceDefinitions, resourceName, secrets } from '../kube/resource.ts';
import { IN_USE_FINALIZER } from '../api/annotations.ts';
import { authoritySecretName, type CaProjection, readCaSecret } from './certificate-authority-secret.ts';

/** Everything that decides about one issuer; no key bytes. */
export interface Observed {
  readonly issuer: ClientCertificateIssuer;
  readonly clusterId: string;
  /** OAuthClients that use it. */
  readonly users: number;
  /** The Secret under the name that the issuer signs with, whoever made it. */
  readonly secret: CaProjection | undefined;
  /** The CRD is being deleted: every issuer was marked deleted, but nobody asked to destroy CAs. */
  readonly definitionTerminating: boolean;
}

export interface ObserveOptions {
  client: Pick<KubeClient, 'get'>;
  issuers: Pick<Informer<ClientCertificateIssuer>, 'get'>;
  authoritySecrets: Pick<Informer<CaProjection>, 'get'>;
  usersOf: (issuerName: string) => number;
  operatorNamespace: string;
  clusterId: string;
}

/** Undefined when the issuer is gone, or deleted with nothing of ours left to do. */
export async function observe(
  options: ObserveOptions,
  name: string,
  signal: AbortSignal,
): Promise<Observed | undefined> {
  const issuer = options.issuers.get(undefined, name);
  if (issuer === undefined) return undefined;
  const deleting = issuer.metadata.deletionTimestamp !== undefined;
  if (deleting && !issuer.metadata.finalizers.includes(IN_USE_FINALIZER)) return undefined;
  const users = options.usersOf(name);
  return {
    issuer,
    clusterId: options.clusterId,
    users,
    secret: await readSecret(options, issuer, signal),
    definitionTerminating: deleting && users === 0 && (await definitionTerminating(options, signal)),
  };
}

/** A Secret that the cache does not have is read live: a gap in the cache must not read as a lost CA. */
async function readSecret(
  { client, authoritySecrets, operatorNamespace: namespace }: ObserveOptions,
  issuer: ClientCertificateIssuer,
  signal: AbortSignal,
): Promise<CaProjection | undefined> {
  const name = authoritySecretName(issuer);
  if (name === undefined) return undefined;
  const cached = authoritySecrets.get(namespace, name);
  if (cached !== undefined) return cached;
  const object = await client.get(secrets, { namespace, name }, { signal });
  return object === undefined ? undefined : readCaSecret(object);
}

async function definitionTerminating({ client }: ObserveOptions, signal: AbortSignal): Promise<boolean> {
  const name = resourceName(clientCertificateIssuers);
  const definition = await client.get(customResourceDefinitions, { name }, { signal });
  return definition === undefined || definition.metadata.deletionTimestamp !== undefined;
}

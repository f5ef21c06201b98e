/** Where the AuthorizationServer kind reads trust bundles from, as the operator has them. */
import { type ClientCertificateIssuer, clientCertificateIssuer } from '../../src/api/client-certificate-issuer.ts';
import type { GrantedNamespace } from '../../src/api/namespace-grant.ts';
import { clientCertificateIssuers } from '../../src/api/resources.ts';
import { indexTrust } from '../../src/authserver/trust-bundle/observed.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { Informer } from '../../src/kube/informer.ts';
import { KindUnion } from '../../src/kube/kind-union.ts';
import { namespaces, secrets } from '../../src/kube/resource.ts';
import { BUNDLE_SELECTOR, type BundleProjection, projectBundle } from '../../src/terminator/bundle.ts';

export interface TrustCaches {
  readonly issuers: Informer<ClientCertificateIssuer>;
  readonly namespaces: Informer<GrantedNamespace>;
  readonly bundles: KindUnion<BundleProjection>;
  readonly synced: Promise<unknown>;
}

export function startTrustCaches(client: KubeClient, signal: AbortSignal): TrustCaches {
  const issuers = new Informer({
    client,
    resource: clientCertificateIssuers,
    project: (object) => clientCertificateIssuer.parse(object),
  });
  const known = new Informer<GrantedNamespace>({
    client,
    resource: namespaces,
    project: ({ metadata: { name, labels = {} } }) => ({ name, labels }),
  });
  const published = new Informer({
    client,
    resource: secrets,
    labelSelector: BUNDLE_SELECTOR,
    project: projectBundle('Secret'),
  });
  const bundles = new KindUnion<BundleProjection>(new Map([['Secret', published]]));
  indexTrust(bundles);
  const caches = [issuers, known, published];
  for (const cache of caches) cache.start(signal);
  return { issuers, namespaces: known, bundles, synced: Promise.all(caches.map(({ synced }) => synced)) };
}

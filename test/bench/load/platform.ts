/** What a load needs besides the bench's world: an API behind the terminators, and the same for self-signed clients. */
import { resolve } from 'node:path';
import { CLIENT_CERTIFICATES, OPT_IN } from '../../../src/api/annotations.ts';
import { authorizationServer } from '../../../src/api/authorization-server.ts';
import { authorizationServers, clientCertificateIssuers } from '../../../src/api/resources.ts';
import { ingresses, type KubernetesObject } from '../../../src/kube/resource.ts';
import { apply, documents, ingress, localService, namespace, opaqueSecret } from '../../support/cluster-objects.ts';
import { CLIENTS_ALLOWED } from '../../support/installation.ts';
import type { IngressController } from '../../support/ingress-controller.ts';
import { HOSTS } from '../../support/oauth-deployment.ts';
import { SELF_SIGNED_SERVER, selfSignedPlatform } from '../../support/self-signed-platform.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { BenchWorld } from '../world.ts';

const ACCOUNTS = 'accounts';
const OTHER_HOST = 'other.example.test';
const OTHER = { namespace: ACCOUNTS, name: 'other' };
const EXAMPLE_INGRESSES = resolve(import.meta.dirname, '../../../examples/ingresses.yaml');

/** Issuers of clients with tls_client_auth: there is one more than is granted at first. */
export const ISSUERS = [
  { name: 'corporate-clients', dn: 'CN=Corporate OAuth Clients,O=Example' },
  { name: 'corporate-clients-2', dn: 'CN=Corporate OAuth Clients 2,O=Example' },
] as const;

const specOf = (object: KubernetesObject): Record<string, unknown> => ({ ...Object(object['spec']) });

export async function applyPlatform(world: BenchWorld, propagation: string): Promise<void> {
  const { kube, serverCa } = world;
  const pair = await serverCa.issue({ cn: 'accounts', dns: [HOSTS.api, HOSTS.selfSignedApi, OTHER_HOST] });
  const tls = { 'tls.crt': pair.certPem, 'tls.key': pair.keyPem };
  const selfSigned = selfSignedPlatform(world, ['accounts:read']).map((object) =>
    object.kind === authorizationServers.kind
      ? { ...object, spec: { ...specOf(object), propagation, resourceServers: { namespaces: { names: [ACCOUNTS] } } } }
      : object,
  );
  const [, second] = ISSUERS;
  await apply(
    kube,
    namespace(ACCOUNTS),
    opaqueSecret({ namespace: ACCOUNTS, name: 'tls' }, tls, 'kubernetes.io/tls'),
    localService({ namespace: ACCOUNTS, name: 'accounts' }, world.authorizationServer.apiPort),
    ...(await documents(EXAMPLE_INGRESSES)).filter(({ metadata }) => metadata.namespace === ACCOUNTS),
    ...selfSigned,
    ingress(
      {
        namespace: ACCOUNTS,
        name: 'accounts-api-self-signed',
        annotations: { [OPT_IN]: SELF_SIGNED_SERVER, [CLIENT_CERTIFICATES]: 'request' },
      },
      HOSTS.selfSignedApi,
      'accounts',
    ),
    ingress(OTHER, OTHER_HOST, 'accounts'),
    {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: clientCertificateIssuers.kind,
      metadata: { name: second.name },
      spec: {
        ca: { managed: { dn: second.dn } },
        policy: { namespaces: { selector: { matchLabels: CLIENTS_ALLOWED } } },
      },
    },
  );
  await kube.patch(authorizationServers, { name: 'corporate' }, { spec: { propagation } }, { type: 'merge' });
}

/** Until both servers are ready and every replica asks for client certificates on all four hosts. */
export async function platformServes({ kube, ingressControllers }: BenchWorld): Promise<void> {
  for (const name of ['corporate', SELF_SIGNED_SERVER]) {
    await waitFor(async () => {
      const object = await kube.get(authorizationServers, { name });
      const conditions = authorizationServer.parse(object).status?.conditions;
      return conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
    }, 120_000);
  }
  const hosts = [HOSTS.mtls, HOSTS.api, HOSTS.selfSigned, HOSTS.selfSignedApi];
  const asked = (controller: IngressController) =>
    controller.model().hosts.flatMap((host) => (host.clientAuthentication === undefined ? [] : [host.hostname]));
  await waitFor(
    () => ingressControllers.every((controller) => hosts.every((host) => asked(controller).includes(host))),
    120_000,
  );
}

/** As some other team changes its Ingress: every replica reloads. */
export async function touchOtherIngress({ kube }: BenchWorld, path: string): Promise<void> {
  const backend = { service: { name: 'accounts', port: { number: 80 } } };
  const rules = [{ host: OTHER_HOST, http: { paths: [{ path, pathType: 'Prefix', backend }] } }];
  await kube.patch(ingresses, OTHER, { spec: { rules } }, { type: 'merge' });
}

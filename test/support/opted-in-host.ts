/** A host whose owner has opted in, in front of a token endpoint, at whatever product; and what is others' around it. */
import { ROLE_LABEL } from '../../src/api/annotations.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import {
  apiVersionOf,
  configMaps,
  type KubernetesObject,
  type Resource,
  secrets,
  services,
} from '../../src/kube/resource.ts';
import type { TerminatorName } from '../../src/verifier/terminators.ts';
import type { TestClient } from './oauth-client.ts';
import type { ThrowawayCa } from './throwaway-ca.ts';

/** The frontend in front of the token endpoint, in every world. */
export const FRONTEND = { namespace: 'identity', name: 'authorization-server-mtls' };
const NAMESPACES = [FRONTEND.namespace, 'accounts'];
/** Who opts in and out, and who undoes things. */
const OWNERS: readonly string[] = ['owner', 'test'];

export interface OptedInHost {
  kube: KubeClient;
  /** Of a cluster admin. */
  kubeconfigPath: string;
  /** Issues the terminator's own certificates: nobody trusts it for clients'. */
  serverCa: ThrowawayCa;
  /** Of namespace payments, ready. */
  client: TestClient;
  frontends: Resource;
  /** As its owner has it who has not opted in. */
  frontend: KubernetesObject;
  bundles: Resource;
  /** Kinds of what else the operator makes. */
  companions?: readonly Resource[];
  /** Whose header the server reads. */
  terminator: TerminatorName;
  /** The frontend's spec in another class, what is told then, and whether the terminator goes on with it all the same. */
  classed: { spec: (name: string) => Record<string, unknown>; name: string; told: string; goesOn?: boolean };
  /** What another manager sets of what is ours. */
  taken: Record<string, unknown>;
  /** A merge patch that gives it back, where the API server does not let that manager drop it alone. */
  givenBack?: Record<string, unknown>;
  /** Until the terminator serves what was written before, where the client is served in spite of a rival. */
  settled?: () => Promise<void>;
  /** Another frontend of the host, in the same namespace; undefined where there is only one for a server. */
  rival: KubernetesObject | undefined;
}

/** By managers, but for owners, whose opt-in it is: of frontends their fields, of all else the very version. */
export async function ofOthers({ kube, companions = [], frontends: served }: OptedInHost): Promise<unknown> {
  const kinds = [services, secrets, configMaps, ...companions];
  const lists = await Promise.all(
    kinds.flatMap((kind) => NAMESPACES.map((namespace) => kube.list(kind, { namespace }))),
  );
  const objects = lists
    .flatMap(({ items }) => items)
    .filter(({ metadata }) => metadata.labels?.[ROLE_LABEL] === undefined)
    .map(({ metadata }) => `${metadata.namespace}/${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`);
  const frontends = (await kube.list(served)).items.map(({ metadata, spec }) => ({
    name: metadata.name,
    annotations: metadata.annotations ?? {},
    spec,
    fields: (metadata.managedFields ?? [])
      .filter(({ manager = '', subresource }) => !OWNERS.includes(manager) && subresource === undefined)
      .map((entry) => ({ ...entry, time: undefined })),
  }));
  return { objects: objects.toSorted(), frontends };
}

/** Another server with a CA of its own, in front of which the rival frontend is. */
export async function rivalServer({
  kube,
  frontends: { group, kind },
  rival,
}: OptedInHost): Promise<KubernetesObject[]> {
  const name = 'rival';
  const corporate = await kube.get(authorizationServers, { name: 'corporate' });
  const spec: Record<string, unknown> = { ...Object(corporate?.['spec']) };
  const terminators = rival === undefined ? [] : [{ group, kind, ...FRONTEND, name: rival.metadata.name }];
  return [
    {
      apiVersion: apiVersionOf(clientCertificateIssuers),
      kind: clientCertificateIssuers.kind,
      metadata: { name },
      spec: { ca: { managed: { dn: 'CN=Rival Clients,O=Example' } }, policy: { namespaces: { names: ['payments'] } } },
    },
    {
      apiVersion: apiVersionOf(authorizationServers),
      kind: authorizationServers.kind,
      metadata: { name },
      spec: {
        ...spec,
        issuer: 'https://rival.example.test',
        defaultIssuerRef: { name },
        terminators,
        clients: { ...Object(spec['clients']), issuers: [name] },
        resourceServers: { namespaces: { names: [FRONTEND.namespace] } },
      },
    },
  ];
}

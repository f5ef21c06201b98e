import { parseAllDocuments } from 'yaml';
import { readFile } from 'node:fs/promises';
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../../src/api/resources.ts';
import type { KubeClient } from '../../src/kube/client.ts';
import { middlewares, tlsOptions } from '../../src/terminator/drivers/traefik.ts';
import {
  apiVersionOf,
  configMaps,
  httpProxies,
  ingressClasses,
  ingresses,
  isKubernetesObject,
  namespaces,
  secrets,
  services,
  type KubernetesObject,
  type Resource,
} from '../../src/kube/resource.ts';
import { gatewayResources } from './gateway-objects.ts';

const rbac = (plural: string, kind: string, namespaced: boolean): Resource => ({
  group: 'rbac.authorization.k8s.io',
  version: 'v1',
  plural,
  kind,
  namespaced,
});
const admission = (plural: string, kind: string): Resource => ({
  group: 'admissionregistration.k8s.io',
  version: 'v1',
  plural,
  kind,
  namespaced: false,
});

const resources: readonly Resource[] = [
  oauthClients,
  authorizationServers,
  clientCertificateIssuers,
  secrets,
  configMaps,
  namespaces,
  services,
  ingresses,
  ingressClasses,
  tlsOptions,
  middlewares,
  httpProxies,
  { group: '', version: 'v1', plural: 'serviceaccounts', kind: 'ServiceAccount', namespaced: true },
  rbac('roles', 'Role', true),
  rbac('rolebindings', 'RoleBinding', true),
  rbac('clusterroles', 'ClusterRole', false),
  rbac('clusterrolebindings', 'ClusterRoleBinding', false),
  admission('validatingadmissionpolicies', 'ValidatingAdmissionPolicy'),
  admission('validatingadmissionpolicybindings', 'ValidatingAdmissionPolicyBinding'),
  ...gatewayResources,
];

export function resourceOf(object: KubernetesObject): Resource {
  const found = resources.find((r) => r.kind === object.kind && apiVersionOf(r) === object.apiVersion);
  if (found === undefined) throw new Error(`no resource for ${object.apiVersion} ${object.kind}`);
  return found;
}

/** As `kubectl apply --server-side` does it. */
export async function apply(kube: KubeClient, ...objects: readonly KubernetesObject[]): Promise<KubernetesObject[]> {
  const applied: KubernetesObject[] = [];
  for (const object of objects) {
    applied.push(await kube.apply(resourceOf(object), object, { fieldManager: 'kubectl', force: true }));
  }
  return applied;
}

/** The objects in YAML text; documents without any are left out. */
export function objectsOf(text: string, source: string): KubernetesObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    const object: unknown = document.toJS();
    if (object === null) return [];
    if (!isKubernetesObject(object)) throw new Error(`${source} holds something that is no Kubernetes object`);
    return [object];
  });
}

/** The documents of a YAML file, after `edit` had its way with the text. */
export async function documents(path: string, edit = (text: string) => text): Promise<KubernetesObject[]> {
  return objectsOf(edit(await readFile(path, 'utf8')), path);
}

export function namespace(name: string, labels: Record<string, string> = {}): KubernetesObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, labels } };
}

export function opaqueSecret(
  ref: { namespace: string; name: string },
  data: Record<string, string>,
  type = 'Opaque',
): KubernetesObject {
  const encoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString('base64')]);
  return { apiVersion: 'v1', kind: 'Secret', metadata: ref, type, data: Object.fromEntries(encoded) };
}

/** A Service whose endpoint is a process on this machine: EndpointSlices refuse loopback addresses. */
export function localService(ref: { namespace: string; name: string }, port: number): KubernetesObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: ref,
    spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port: 80, targetPort: port }] },
  };
}

export function ingress(
  ref: { namespace: string; name: string; annotations?: Record<string, string> },
  host: string,
  service: string,
  ingressClassName = 'nginx',
): KubernetesObject {
  const backend = { service: { name: service, port: { number: 80 } } };
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: ref,
    spec: {
      ingressClassName,
      tls: [{ hosts: [host], secretName: 'tls' }],
      rules: [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
    },
  };
}

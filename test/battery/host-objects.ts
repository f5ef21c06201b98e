/** What the operator would write for a host of the battery, by what its driver renders. */
import { apiVersionOf, type KubernetesObject } from '../../src/kube/resource.ts';
import type { Settings, TerminatorDriver } from '../../src/terminator/driver.ts';
import { opaqueSecret } from '../support/cluster-objects.ts';
import type { KeyPairPem } from '../support/throwaway-ca.ts';
import type { ProductWorld, ServedHost } from './product.ts';

export const NAMESPACE = 'default';
/** The Secret with the hosts' own certificate is `tls`. */
export const SERVICE = 'backend';
export const CLASS = 'terminator';

/** A name of an object for a host. */
export const slug = (host: string): string => host.replace('*', 'any').replaceAll('.', '-');

export const serverSecret = ({ certPem, keyPem }: KeyPairPem): KubernetesObject =>
  opaqueSecret({ namespace: NAMESPACE, name: 'tls' }, { 'tls.crt': certPem, 'tls.key': keyPem }, 'kubernetes.io/tls');

export interface Written {
  settings: Settings;
  /** To be there before the settings: the bundle, and companions. */
  objects: readonly KubernetesObject[];
}

/** @param name of the frontend */
export function written(
  driver: TerminatorDriver,
  name: string,
  clientAuthentication: ServedHost['clientAuthentication'],
): Written {
  if (clientAuthentication === undefined) return { settings: {}, objects: [] };
  const { mode, ca, depth } = clientAuthentication;
  const bundle = { namespace: NAMESPACE, name: `trust-${name}` };
  const frontend = { namespace: NAMESPACE, name, settings: {} };
  const { settings, companions } = driver.render({ bundle, frontend, mode, depth });
  const cas =
    driver.bundleKind === 'Secret'
      ? opaqueSecret(bundle, { 'ca.crt': ca })
      : { apiVersion: 'v1', kind: 'ConfigMap', metadata: bundle, data: { 'ca.crt': ca } };
  return {
    settings,
    objects: [
      cas,
      ...companions.map(({ resource, name: companion, spec }) => ({
        apiVersion: apiVersionOf(resource),
        kind: resource.kind,
        metadata: { namespace: NAMESPACE, name: companion },
        spec,
      })),
    ],
  };
}

/** A Service whose only port is that of the backend, to which products connect that heed no `targetPort`. */
export const service = (
  { backendPort }: Pick<ProductWorld, 'backendPort'>,
  externalName: string,
): KubernetesObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { namespace: NAMESPACE, name: SERVICE },
  spec: { type: 'ExternalName', externalName, ports: [{ name: 'http', port: backendPort }] },
});

/** Hosts as Ingresses, in an order in which they may be written. */
export function ingressesOf(driver: TerminatorDriver, hosts: readonly ServedHost[]): KubernetesObject[] {
  return hosts.flatMap(({ name: host, clientAuthentication }) => {
    const name = slug(host);
    const { settings, objects } = written(driver, name, clientAuthentication);
    const backend = { service: { name: SERVICE, port: { name: 'http' } } };
    return [
      ...objects,
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'Ingress',
        metadata: { namespace: NAMESPACE, name, annotations: { ...settings } },
        spec: {
          ingressClassName: CLASS,
          tls: [{ hosts: [host], secretName: 'tls' }],
          rules: [{ host, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
        },
      },
    ];
  });
}

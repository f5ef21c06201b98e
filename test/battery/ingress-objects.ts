/** The hosts of the battery as Ingresses with what a driver renders for them, and all that these name. */
import type { KubernetesObject } from '../../src/kube/resource.ts';
import type { TerminatorDriver } from '../../src/terminator/driver.ts';
import type { ProductWorld, ServedHost } from './product.ts';

export const NAMESPACE = 'battery';
export const SERVICE = 'api';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
export const slug = (host: string): string => host.replace('*', 'any').replaceAll('.', '-');

function objectsOf(driver: TerminatorDriver, host: ServedHost, ingressClassName: string): KubernetesObject[] {
  const name = slug(host.name);
  const bundle = { namespace: NAMESPACE, name: `trust-${name}` };
  const { clientAuthentication } = host;
  const rendered =
    clientAuthentication === undefined
      ? { settings: {}, companions: [] }
      : driver.render({
          bundle,
          frontend: { namespace: NAMESPACE, name, settings: {} },
          mode: clientAuthentication.mode,
          depth: clientAuthentication.depth,
        });
  const backend = { service: { name: SERVICE, port: { number: 80 } } };
  const metadata = { namespace: NAMESPACE };
  return [
    ...(clientAuthentication === undefined
      ? []
      : [
          {
            apiVersion: 'v1',
            kind: 'Secret',
            metadata: { ...metadata, name: bundle.name },
            data: { 'ca.crt': base64(clientAuthentication.ca) },
          },
        ]),
    ...rendered.companions.map(({ resource, name: companion, spec }) => ({
      apiVersion: resource.group === '' ? resource.version : `${resource.group}/${resource.version}`,
      kind: resource.kind,
      metadata: { ...metadata, name: companion },
      spec,
    })),
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'Ingress',
      metadata: { ...metadata, name, annotations: { ...rendered.settings } },
      spec: {
        ingressClassName,
        tls: [{ hosts: [host.name], secretName: 'tls' }],
        rules: [{ host: host.name, http: { paths: [{ path: '/', pathType: 'Prefix', backend }] } }],
      },
    },
  ];
}

/** In an order in which they may be written. */
export function ingressObjects(
  driver: TerminatorDriver,
  { pair, backendPort }: Pick<ProductWorld, 'pair' | 'backendPort'>,
  hosts: readonly ServedHost[],
  ingressClassName: string,
): KubernetesObject[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { namespace: NAMESPACE, name: 'tls' },
      type: 'kubernetes.io/tls',
      data: { 'tls.crt': base64(pair.certPem), 'tls.key': base64(pair.keyPem) },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { namespace: NAMESPACE, name: SERVICE },
      spec: { type: 'ExternalName', externalName: 'localhost', ports: [{ port: 80, targetPort: backendPort }] },
    },
    ...hosts.flatMap((host) => objectsOf(driver, host, ingressClassName)),
  ];
}

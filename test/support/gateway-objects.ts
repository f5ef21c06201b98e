/** Objects of the Gateway API, and of Envoy Gateway's, as their owners write them. */
import { gatewayClasses, gateways, httpRoutes, type KubernetesObject, type Resource } from '../../src/kube/resource.ts';

const envoyGateway = (plural: string, kind: string): Resource => ({
  group: 'gateway.envoyproxy.io',
  version: 'v1alpha1',
  plural,
  kind,
  namespaced: true,
});

export const clientTrafficPolicies = envoyGateway('clienttrafficpolicies', 'ClientTrafficPolicy');
const backends = envoyGateway('backends', 'Backend');

export const gatewayResources: readonly Resource[] = [
  gatewayClasses,
  gateways,
  httpRoutes,
  clientTrafficPolicies,
  backends,
];

interface Ref {
  namespace: string;
  name: string;
}

export interface Ports {
  httpsPort: number;
  httpPort?: number;
}

/** Of class `envoy`, with a listener for each host, whose certificate is in Secret `tls`. */
export function gateway(
  metadata: Ref & { annotations?: Record<string, string> },
  hosts: readonly string[],
  { httpsPort, httpPort }: Ports,
): KubernetesObject {
  const tls = { mode: 'Terminate', certificateRefs: [{ name: 'tls' }] };
  const https = hosts.map((hostname, i) => ({ name: `https-${i}`, protocol: 'HTTPS', port: httpsPort, hostname, tls }));
  const http = httpPort === undefined ? [] : [{ name: 'http', protocol: 'HTTP', port: httpPort }];
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'Gateway',
    metadata,
    spec: { gatewayClassName: 'envoy', listeners: [...https, ...http] },
  };
}

/** A process on this machine. */
export function localBackend(metadata: Ref, port: number): KubernetesObject {
  return {
    apiVersion: 'gateway.envoyproxy.io/v1alpha1',
    kind: 'Backend',
    metadata,
    spec: { endpoints: [{ ip: { address: '127.0.0.1', port } }] },
  };
}

/** From every listener of the Gateway of its own name to the backend. */
export function httpRoute(metadata: Ref, hostnames: readonly string[], backend: string): KubernetesObject {
  return {
    apiVersion: 'gateway.networking.k8s.io/v1',
    kind: 'HTTPRoute',
    metadata,
    spec: {
      parentRefs: [{ name: metadata.name }],
      hostnames: [...hostnames],
      rules: [{ backendRefs: [{ group: 'gateway.envoyproxy.io', kind: 'Backend', name: backend }] }],
    },
  };
}

import { z } from 'zod';
import type { KubernetesObject } from '../../kube/resource.ts';
import { frontendMeta, frontendObject } from './frontend-object.ts';
import type { Frontend } from './frontend.ts';

const listener = z.object({
  name: z.string().default(''),
  protocol: z.string().default(''),
  port: z.number().default(0),
  hostname: z.string().default(''),
  allowedRoutes: z.object({ namespaces: z.object({ from: z.string().default('Same') }).prefault({}) }).prefault({}),
});

const schema = z.object({
  metadata: frontendMeta,
  spec: z
    .looseObject({
      gatewayClassName: z.string().optional(),
      listeners: z.array(listener).default([]),
    })
    .prefault({}),
});

/**
 * A Gateway decides for all its listeners together (`tls.frontend` knows ports, never hosts: with HTTP/2 a client reaches every
 * host of a port by one connection) and for none of another Gateway's, whatever their hostnames. So its own name stands
 * for its hosts. What is behind it, routes say.
 *
 * @throws when the object is no Gateway of gateway.networking.k8s.io/v1
 */
export function projectGateway(object: KubernetesObject): Frontend {
  const { metadata, spec } = schema.parse(object);
  const https = spec.listeners.filter(({ protocol }) => protocol === 'HTTPS');
  const httpsPorts = [...new Set(https.map(({ port }) => port))].toSorted((a, b) => a - b);
  const whole = `${metadata.namespace}/${metadata.name}`;
  return {
    ...frontendObject('Gateway', { metadata, spec: { ...spec, listeners: { httpsPorts } } }),
    className: spec.gatewayClassName,
    hosts: [whole],
    proofHosts: [...new Set(https.map(({ hostname }) => `${whole}/${hostname === '' ? '*' : hostname.toLowerCase()}`))],
    hostless: false,
    tlsHosts: https.length > 0 ? [whole] : [],
    backends: [],
    listeners: spec.listeners
      .filter(({ protocol }) => protocol === 'HTTP' || protocol === 'HTTPS')
      .map(({ name, port, protocol, hostname, allowedRoutes }) => ({
        name,
        port,
        hostname: hostname.toLowerCase(),
        tls: protocol === 'HTTPS',
        from: allowedRoutes.namespaces.from,
      })),
  };
}

import { z } from 'zod';
import { objectMeta } from '../api/metadata.ts';
import type { KubernetesObject } from '../kube/resource.ts';
import { appliedAt, lastWriter, settingOwners } from './field-managers.ts';
import { type Frontend, parseOptIn } from './frontend.ts';
import { driverKeys } from './registry.ts';
import { settingsOf } from './settings.ts';

const schema = z.object({
  metadata: objectMeta.extend({
    namespace: z.string(),
    managedFields: z.array(z.unknown()).default([]),
    creationTimestamp: z.string().default(''),
  }),
  spec: z
    .looseObject({
      gatewayClassName: z.string().optional(),
      listeners: z.array(z.object({ protocol: z.string().default('') })).default([]),
    })
    .prefault({}),
});

/**
 * A Gateway decides for all its listeners together (`tls.frontend` knows ports, never hosts: with HTTP/2 a client reaches every
 * host of a port by one connection) and for none of another Gateway's, whatever their hostnames. So its own name stands
 * for its hosts. What is behind it, routes say, which are not looked at.
 *
 * @throws when the object is no Gateway of gateway.networking.k8s.io/v1
 */
export function projectGateway(object: KubernetesObject): Frontend {
  const { metadata, spec } = schema.parse(object);
  const { annotations, namespace, name } = metadata;
  const keys = driverKeys('Gateway');
  const owners = settingOwners(metadata.managedFields, keys);
  const whole = `${namespace}/${name}`;
  return {
    kind: 'Gateway',
    namespace,
    name,
    uid: metadata.uid,
    resourceVersion: metadata.resourceVersion,
    className: spec.gatewayClassName,
    hosts: [whole],
    hostless: false,
    tlsHosts: spec.listeners.some(({ protocol }) => protocol === 'HTTPS') ? [whole] : [],
    backends: [],
    optIn: parseOptIn(annotations),
    settings: settingsOf({ metadata, spec }, keys),
    otherOwners: owners.others,
    ownKeys: owners.own,
    appliedAt: appliedAt(metadata.managedFields),
    lastWriter: lastWriter(metadata.managedFields),
    deleting: metadata.deletionTimestamp !== undefined,
    creationTimestamp: metadata.creationTimestamp,
  };
}

import { KubeError } from './kube-error.ts';
import {
  apiVersionOf,
  type KubernetesObject,
  type ObjectRef,
  type Resource,
  resourceName,
  resourcePath,
} from './resource.ts';

/** List items come without apiVersion and kind, and callers need not repeat what the resource says. */
export function withType(resource: Resource, object: KubernetesObject): KubernetesObject {
  if (object.apiVersion !== undefined && object.kind !== undefined) return object;
  return { apiVersion: apiVersionOf(resource), kind: resource.kind, ...object };
}

/** The path of one object. @throws TypeError rather than addressing a whole collection */
export function pathOf(resource: Resource, { namespace, name }: ObjectRef, subresource?: string): string {
  // An empty name would address the whole collection: DELETE on it deletes everything.
  if (name === '') throw new TypeError(`Bug: a call to ${resourceName(resource)} without a name.`);
  if (resource.namespaced && (namespace ?? '') === '') {
    throw new TypeError(`Bug: a call to ${resourceName(resource)} ${name} without a namespace.`);
  }
  return resourcePath(resource, { namespace, name, ...(subresource === undefined ? {} : { subresource }) });
}

/** `update secrets/status payments/batch`, for error messages. */
export function say(verb: string, resource: Resource, { namespace, name }: ObjectRef, subresource?: string): string {
  const kind = subresource === undefined ? resourceName(resource) : `${resourceName(resource)}/${subresource}`;
  return `${verb} ${kind} ${namespace === undefined ? name : `${namespace}/${name}`}`;
}

/** A 2xx answer that is not what the API promises, from a proxy for instance. */
export function unexpected(action: string): KubeError {
  return new KubeError(`The Kubernetes API server's answer to ${action} is not what the API promises.`, {
    status: 200,
    reason: 'NotJSON',
  });
}

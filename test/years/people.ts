/** What people do at the model's API server, and what they see there. */
import { resourcePath, type KubernetesObject, type Resource } from '../../src/kube/resource.ts';
import type { ModelApiServer } from './api-server.ts';

interface Ref {
  namespace?: string;
  name: string;
}

export class People {
  readonly #api: ModelApiServer;

  constructor(api: ModelApiServer) {
    this.#api = api;
  }

  create(resource: Resource, object: KubernetesObject): void {
    const { namespace } = object.metadata;
    const path = resourcePath(resource, { namespace });
    const body = { apiVersion: resource.version, kind: resource.kind, ...object };
    this.#api.call({ action: 'create', method: 'POST', path, query: { fieldManager: 'people' }, body });
  }

  put(resource: Resource, object: KubernetesObject): void {
    const { namespace, name } = object.metadata;
    const path = resourcePath(resource, { namespace, name });
    this.#api.call({ action: 'update', method: 'PUT', path, query: { fieldManager: 'people' }, body: object });
  }

  delete(resource: Resource, ref: Ref): void {
    this.#api.call({ action: 'delete', method: 'DELETE', path: resourcePath(resource, ref) });
  }

  find(resource: Resource, ref: Ref): KubernetesObject | undefined {
    return this.#api.find(resourcePath(resource, ref));
  }

  get(resource: Resource, ref: Ref): KubernetesObject {
    const object = this.find(resource, ref);
    if (object === undefined) throw new TypeError(`there is no ${resource.kind} ${ref.name}`);
    return object;
  }
}

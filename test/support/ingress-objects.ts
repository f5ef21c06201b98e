import { Informer } from '../../src/kube/informer.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { ingresses, type KubernetesObject, type Resource, secrets, services } from '../../src/kube/resource.ts';
import { buildIngressModel, type IngressModelOptions } from './ingress-model.ts';

/** Where an ingress controller reads Ingresses, the Secrets they name, and Services: JSON as on the wire. */
export interface ObjectSource {
  read(options: IngressModelOptions): Promise<readonly unknown[]>;
  /** Calls back after each change that may matter. */
  onChange(listener: () => void, options: IngressModelOptions): void;
  stop(): Promise<void>;
}

export interface ObjectList extends ObjectSource {
  /** Replaces them all; `settled()` of the controller then awaits it. */
  set(objects: readonly unknown[]): void;
}

/** Objects made by hand, without an API server. */
export function objectList(initial: readonly unknown[] = []): ObjectList {
  let objects = initial;
  const listeners: (() => void)[] = [];
  return {
    set(next) {
      objects = next;
      for (const listener of listeners) listener();
    },
    read: () => Promise.resolve(objects),
    onChange: (listener) => void listeners.push(listener),
    stop: () => Promise.resolve(),
  };
}

class ClusterObjects implements ObjectSource {
  readonly #client: KubeClient;
  readonly #stopped = new AbortController();
  /** namespace/name; other Secrets change without our caring. */
  #named = new Set<string>();

  constructor(kubeconfigPath: string) {
    this.#client = KubeClient.fromKubeconfig({
      path: kubeconfigPath,
      userAgent: 'ingress-controller',
      fieldManager: 'ingress-controller',
    });
  }

  async #list(resource: Resource): Promise<KubernetesObject[]> {
    const { items } = await this.#client.list(resource, {}, { signal: this.#stopped.signal });
    return items;
  }

  /** Read afresh, not from a cache: who writes and then awaits settled() finds the write in it. */
  async read(options: IngressModelOptions): Promise<readonly unknown[]> {
    const objects: unknown[] = [...(await this.#list(ingresses)), ...(await this.#list(services))];
    this.#named = new Set(buildIngressModel(objects, options).secrets);
    for (const reference of this.#named) {
      const [namespace, name = ''] = reference.split('/');
      const secret = await this.#client.get(secrets, { namespace, name }, { signal: this.#stopped.signal });
      if (secret !== undefined) objects.push(secret);
    }
    return objects;
  }

  onChange(listener: () => void): void {
    for (const resource of [ingresses, services, secrets]) {
      const informer = new Informer({
        client: this.#client,
        resource,
        project: (object) => ({ version: object.metadata.resourceVersion }),
      });
      informer.onChange(({ namespace, name }) => {
        if (resource !== secrets || this.#named.has(`${namespace ?? ''}/${name}`)) listener();
      });
      informer.start(this.#stopped.signal);
    }
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#client.close();
  }
}

export function clusterObjects(kubeconfigPath: string): ObjectSource {
  return new ClusterObjects(kubeconfigPath);
}

import type { Fence } from '../runtime/fence.ts';
import type { Metrics } from '../telemetry.ts';
import { CredentialSource } from './credentials.ts';
import { isRecord, KubeError } from './kube-error.ts';
import { pathOf, say, unexpected, withType } from './addressing.ts';
import {
  isKubernetesObject,
  type KubernetesObject,
  type ObjectRef,
  type Resource,
  resourceName,
  resourcePath,
} from './resource.ts';
import { type Call, Transport } from './transport.ts';
import { linesOf, parseWatchEvent, type WatchEvent } from './watch-stream.ts';

export { KubeError } from './kube-error.ts';
export type { WatchEvent } from './watch-stream.ts';

export interface CallOptions {
  signal?: AbortSignal | undefined;
  /** Milliseconds until the call is given up; default 30,000. */
  deadlineMs?: number | undefined;
}

export interface KubeClientOptions {
  /** A kubeconfig file; without it KUBECONFIG, the pod's service account, or ~/.kube/config. */
  path?: string | undefined;
  userAgent: string;
  /** Field manager of POST, PUT and patches; server-side apply names its own. */
  fieldManager: string;
  metrics?: Metrics | undefined;
  /** Asked before each write; it throws where this process may not. Default: it may. */
  fence?: Fence | undefined;
}

export interface ListOptions {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  limit?: number | undefined;
  continue?: string | undefined;
  resourceVersion?: string | undefined;
}

export interface ObjectList {
  /** Each with apiVersion and kind, which the API server leaves out of list items. */
  items: KubernetesObject[];
  resourceVersion: string;
  continue?: string;
}

export interface ApplyOptions {
  fieldManager: string;
  force?: boolean;
}

export interface PatchOptions {
  type: 'merge' | 'json';
  subresource?: string;
}

export interface DeletePreconditions {
  uid?: string | undefined;
  resourceVersion?: string | undefined;
  propagationPolicy?: 'Orphan' | 'Background' | 'Foreground' | undefined;
}

export interface WatchQuery {
  namespace?: string | undefined;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  resourceVersion: string;
  timeoutSeconds: number;
  allowWatchBookmarks: true;
}

const defaultDeadlineMs = 30_000;

/** JSON in, JSON out: what the API server sends is what the caller gets, unknown fields included. */
export class KubeClient {
  readonly #transport: Transport;
  readonly #fieldManager: string;

  constructor(transport: Transport, fieldManager: string) {
    this.#transport = transport;
    this.#fieldManager = fieldManager;
  }

  static fromKubeconfig({ path, fieldManager, ...options }: KubeClientOptions): KubeClient {
    const credentials = new CredentialSource(path);
    return new KubeClient(new Transport({ credentials, ...options }), fieldManager);
  }

  /** Undefined when there is none. */
  async get(resource: Resource, ref: ObjectRef, options?: CallOptions): Promise<KubernetesObject | undefined> {
    try {
      return await this.#object(
        { action: say('get', resource, ref), method: 'GET', path: pathOf(resource, ref) },
        options,
      );
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** One page; `continue` of the answer asks for the next. */
  async list(resource: Resource, query: ListOptions = {}, options?: CallOptions): Promise<ObjectList> {
    const { namespace, ...parameters } = query;
    const action = `list ${resourceName(resource)}`;
    const body = await this.#call(
      { action, method: 'GET', path: resourcePath(resource, { namespace }), query: parameters },
      options,
    );
    const metadata = isRecord(body) && isRecord(body['metadata']) ? body['metadata'] : {};
    const { resourceVersion, continue: next } = metadata;
    if (!isRecord(body) || typeof resourceVersion !== 'string') throw unexpected(action);
    // Go's encoder writes an empty list of some kinds as null.
    const items = Array.isArray(body['items']) ? body['items'] : [];
    return {
      items: items.map((item: unknown) => {
        if (!isKubernetesObject(item)) throw unexpected(action);
        return withType(resource, item);
      }),
      resourceVersion,
      ...(typeof next === 'string' && next !== '' ? { continue: next } : {}),
    };
  }

  /** POST. @throws KubeError with reason `AlreadyExists` when the name is taken */
  create(resource: Resource, object: KubernetesObject, options?: CallOptions): Promise<KubernetesObject> {
    const path = resourcePath(resource, { namespace: object.metadata.namespace });
    const query = { fieldManager: this.#fieldManager };
    const body = withType(resource, object);
    return this.#object(
      { action: say('create', resource, object.metadata), method: 'POST', path, query, body },
      options,
    );
  }

  /**
   * PUT, fenced by `metadata.resourceVersion`: whoever acts on an outdated read (a leader that no longer is one) gets
   * a KubeError with reason `Conflict`.
   */
  update(resource: Resource, object: KubernetesObject, options?: CallOptions): Promise<KubernetesObject> {
    return this.#put(resource, object, undefined, options);
  }

  /** PUT over any version of the object with this `metadata.uid`; of a built-in kind only: those of a CRD refuse it. */
  replace(resource: Resource, object: KubernetesObject, options?: CallOptions): Promise<KubernetesObject> {
    const { resourceVersion: _, ...metadata } = object.metadata;
    const action = say('replace', resource, metadata);
    if (metadata.uid === undefined) throw new TypeError(`Bug: ${action} without metadata.uid is for no one object.`);
    const body = withType(resource, { ...object, metadata });
    const query = { fieldManager: this.#fieldManager };
    return this.#object({ action, method: 'PUT', path: pathOf(resource, metadata, undefined), query, body }, options);
  }

  /** PUT of the status subresource, fenced likewise. */
  updateStatus(resource: Resource, object: KubernetesObject, options?: CallOptions): Promise<KubernetesObject> {
    return this.#put(resource, object, 'status', options);
  }

  /**
   * Server-side apply. It creates what is missing: send `metadata.uid` for an object that someone else owns, and the
   * answer is a 409 instead of a phantom.
   */
  apply(
    resource: Resource,
    object: KubernetesObject,
    how: ApplyOptions,
    options?: CallOptions,
  ): Promise<KubernetesObject> {
    return this.#apply(resource, object, { ...how }, options);
  }

  applyStatus(
    resource: Resource,
    object: KubernetesObject,
    how: ApplyOptions,
    options?: CallOptions,
  ): Promise<KubernetesObject> {
    return this.#apply(resource, object, { ...how, subresource: 'status' }, options);
  }

  patch(
    resource: Resource,
    ref: ObjectRef,
    patch: unknown,
    how: PatchOptions,
    options?: CallOptions,
  ): Promise<KubernetesObject> {
    const { subresource } = how;
    return this.#object(
      {
        action: say('patch', resource, ref, subresource),
        method: 'PATCH',
        path: pathOf(resource, ref, subresource),
        query: { fieldManager: this.#fieldManager },
        contentType: how.type === 'json' ? 'application/json-patch+json' : 'application/merge-patch+json',
        body: patch,
      },
      options,
    );
  }

  /** An object that is gone already is done. @throws KubeError with reason `Conflict` when a precondition fails */
  async delete(
    resource: Resource,
    ref: ObjectRef,
    how: DeletePreconditions = {},
    options?: CallOptions,
  ): Promise<void> {
    const { uid, resourceVersion, propagationPolicy } = how;
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      preconditions: { uid, resourceVersion },
      propagationPolicy,
    };
    try {
      await this.#call(
        { action: say('delete', resource, ref), method: 'DELETE', path: pathOf(resource, ref), body },
        options,
      );
    } catch (error) {
      if (!(error instanceof KubeError && error.status === 404)) throw error;
    }
  }

  /**
   * Events since `query.resourceVersion`, until the server ends the watch (after `timeoutSeconds`), which is no error.
   * Aborting the signal ends it quietly.
   *
   * @param options.inactivityMs without as much as a bookmark in this time the connection counts as dead
   * @throws KubeError with reason `Timeout` after inactivity, `Unavailable` when the connection breaks
   */
  async *watch(
    resource: Resource,
    query: WatchQuery,
    { signal, inactivityMs }: { signal: AbortSignal; inactivityMs: number },
  ): AsyncGenerator<WatchEvent, void, undefined> {
    const { namespace, ...parameters } = query;
    const action = `watch ${resourceName(resource)}`;
    const path = resourcePath(resource, { namespace });
    const body = await this.#transport.stream(
      { action, method: 'GET', path, query: { ...parameters, watch: true } },
      { signal, answerMs: Math.min(inactivityMs, defaultDeadlineMs) },
    );
    let silent = false;
    const timer = setTimeout(() => {
      silent = true;
      body.destroy();
    }, inactivityMs);
    try {
      for await (const line of linesOf(heard(body, () => timer.refresh()))) {
        const event = parseWatchEvent(line, action);
        yield 'object' in event ? { ...event, object: withType(resource, event.object) } : event;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof KubeError) throw error;
      if (silent) this.#transport.suspectWatchConnection();
      const said = silent ? `Nothing was heard for ${inactivityMs / 1000} s` : 'The connection broke';
      throw new KubeError(`${said} when asked to ${action}. It is resumed.`, {
        status: 0,
        reason: silent ? 'Timeout' : 'Unavailable',
        cause: error,
      });
    } finally {
      clearTimeout(timer);
      body.on('error', () => undefined).destroy();
    }
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  async #put(
    resource: Resource,
    object: KubernetesObject,
    subresource: string | undefined,
    options: CallOptions | undefined,
  ): Promise<KubernetesObject> {
    const { metadata } = object;
    const action = say('update', resource, metadata, subresource);
    if (metadata.resourceVersion === undefined || metadata.resourceVersion === '') {
      throw new TypeError(`Bug: ${action} without metadata.resourceVersion would overwrite whatever is there.`);
    }
    const path = pathOf(resource, metadata, subresource);
    const query = { fieldManager: this.#fieldManager };
    return this.#object({ action, method: 'PUT', path, query, body: withType(resource, object) }, options);
  }

  #apply(
    resource: Resource,
    object: KubernetesObject,
    { fieldManager, force, subresource }: ApplyOptions & { subresource?: string },
    options: CallOptions | undefined,
  ): Promise<KubernetesObject> {
    return this.#object(
      {
        action: say('apply', resource, object.metadata, subresource),
        method: 'PATCH',
        path: pathOf(resource, object.metadata, subresource),
        query: { fieldManager, force: force ?? false },
        // JSON is valid YAML.
        contentType: 'application/apply-patch+yaml',
        body: withType(resource, object),
      },
      options,
    );
  }

  #call(call: Call, options: CallOptions = {}): Promise<unknown> {
    return this.#transport.call(call, { signal: options.signal, deadlineMs: options.deadlineMs ?? defaultDeadlineMs });
  }

  async #object(call: Call, options: CallOptions | undefined): Promise<KubernetesObject> {
    const body = await this.#call(call, options);
    if (!isKubernetesObject(body)) throw unexpected(call.action);
    return body;
  }
}

async function* heard(chunks: AsyncIterable<Uint8Array>, note: () => void): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) {
    note();
    yield chunk;
  }
}

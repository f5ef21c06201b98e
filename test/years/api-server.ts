/** The API server of the simulation: objects by path, with the rules that the operator's writes rest on. */
import type { CredentialProvider, Call } from '../../src/kube/transport.ts';
import { Transport } from '../../src/kube/transport.ts';
import { errorFromStatus, isRecord, type KubeError } from '../../src/kube/kube-error.ts';
import { isKubernetesObject, type KubernetesObject, type ObjectMeta } from '../../src/kube/resource.ts';
import type { Clock } from '../../src/runtime/clock.ts';
import { instant } from '../oauthclient/view.ts';

/** An object as it was and as it is; undefined where there was or is none. */
export interface ObjectChange {
  before: KubernetesObject | undefined;
  after: KubernetesObject | undefined;
}

export class ModelApiServer {
  readonly #objects = new Map<string, KubernetesObject>();
  readonly #clock: Pick<Clock, 'now'>;
  readonly #onChange: (change: ObjectChange) => void;
  #versions = 100;

  constructor(clock: Pick<Clock, 'now'>, onChange: (change: ObjectChange) => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** Changes with every write. */
  get version(): number {
    return this.#versions;
  }

  objects(): Iterable<KubernetesObject> {
    return this.#objects.values();
  }

  /** By its path. */
  find(path: string): KubernetesObject | undefined {
    return this.#objects.get(path);
  }

  /** @throws KubeError */
  call({ action, method, path, query, body, contentType = '' }: Call): unknown {
    const { key, subresource } = addressed(path);
    const found = this.#objects.get(key);
    const refused = (status: number, reason: string): KubeError =>
      errorFromStatus(action, { kind: 'Status', reason, message: `${method} ${path}` }, { status });
    if (method === 'POST') {
      const object = objectIn(body);
      const created = `${key}/${object.metadata.name}`;
      if (this.#objects.has(created)) throw refused(409, 'AlreadyExists');
      return this.#store(created, undefined, this.#created(object, String(query?.['fieldManager'])));
    }
    if (found === undefined) throw refused(404, 'NotFound');
    if (method === 'GET') return structuredClone(found);
    if (method === 'DELETE') {
      const { uid, resourceVersion } = preconditions(body);
      const { metadata } = found;
      const other = (wanted: string | undefined, is: string | undefined) => wanted !== undefined && wanted !== is;
      if (other(uid, metadata.uid) || other(resourceVersion, metadata.resourceVersion)) throw refused(409, 'Conflict');
      return this.#delete(key, found);
    }
    if (method === 'PUT') {
      const object = objectIn(body);
      const { uid, resourceVersion } = object.metadata;
      const another = uid !== undefined && uid !== found.metadata.uid;
      if (another || resourceVersion !== found.metadata.resourceVersion) throw refused(409, 'Conflict');
      const manager = String(query?.['fieldManager']);
      return this.#store(key, found, this.#managed(replaced(found, object, subresource), found, manager, subresource));
    }
    if (contentType === 'application/json-patch+json') {
      const finalizers = patchedFinalizers(found, body);
      if (finalizers === undefined) throw refused(422, 'Invalid');
      return this.#store(key, found, { ...found, metadata: { ...found.metadata, finalizers } });
    }
    if (contentType === 'application/apply-patch+yaml') {
      return this.#store(key, found, this.#applied(found, objectIn(body), String(query?.['fieldManager'])));
    }
    return this.#store(key, found, merged(found, body));
  }

  /** @returns how to put those objects back as they are now */
  backUp(of: (object: KubernetesObject) => boolean): () => void {
    const copies = [...this.#objects].filter(([, object]) => of(object));
    return () => {
      for (const [key, copy] of copies) this.#store(key, this.#objects.get(key), this.#created(copy, 'people'));
    };
  }

  /** The objects that are kept, made anew. @param withStatus whose status stays */
  rebuild(kept: (object: KubernetesObject) => boolean, withStatus: (object: KubernetesObject) => boolean): void {
    const objects = [...this.#objects];
    this.#objects.clear();
    for (const [key, object] of objects.filter(([, one]) => kept(one))) {
      const { name, namespace, labels, annotations } = object.metadata;
      const own = Object.entries(annotations ?? {}).filter(([one]) => !one.startsWith('nginx.ingress.kubernetes.io/'));
      const metadata: ObjectMeta = {
        name,
        ...(namespace === undefined ? {} : { namespace }),
        ...(labels === undefined ? {} : { labels }),
        annotations: Object.fromEntries(own),
      };
      const { status, ...rest } = object;
      const made = { ...rest, metadata, ...(withStatus(object) ? { status } : {}) };
      this.#store(key, undefined, this.#created(made, 'people'));
    }
  }

  /** It goes at once, or waits for its finalizers. */
  #delete(key: string, found: KubernetesObject): unknown {
    if ((found.metadata.finalizers ?? []).length === 0) {
      this.#versions++;
      this.#objects.delete(key);
      this.#onChange({ before: found, after: undefined });
      return { kind: 'Status', metadata: {} };
    }
    const deletionTimestamp = found.metadata.deletionTimestamp ?? instant(this.#clock.now());
    return this.#store(key, found, { ...found, metadata: { ...found.metadata, deletionTimestamp } });
  }

  #created(object: KubernetesObject, manager: string): KubernetesObject {
    const time = instant(this.#clock.now());
    const metadata: ObjectMeta = {
      ...object.metadata,
      uid: `uid-${this.#versions + 1}`,
      generation: 1,
      creationTimestamp: time,
      managedFields: [{ manager, operation: 'Update', time }],
    };
    return { ...object, metadata };
  }

  /** Who wrote it, and when. */
  #managed(
    object: KubernetesObject,
    { metadata: { managedFields = [] } }: KubernetesObject,
    manager: string,
    subresource: string | undefined,
  ): KubernetesObject {
    const time = instant(this.#clock.now());
    const entry = { manager, operation: 'Update', time, ...(subresource === undefined ? {} : { subresource }) };
    const others = managedFields.filter((one) => one.manager !== manager || one.subresource !== subresource);
    return { ...object, metadata: { ...object.metadata, managedFields: [...others, entry] } };
  }

  /** Server-side apply of annotations alone: what the manager owned and leaves out goes. */
  #applied(found: KubernetesObject, { metadata }: KubernetesObject, manager: string): KubernetesObject {
    const { managedFields = [], annotations = {} } = found.metadata;
    const owned = managedFields.find((entry) => entry.manager === manager);
    const kept = Object.entries(annotations).filter(([key]) => !keysIn(owned?.fieldsV1).includes(`f:${key}`));
    const own = metadata.annotations ?? {};
    const fields = Object.fromEntries(Object.keys(own).map((key) => [`f:${key}`, {}]));
    const entry = {
      manager,
      operation: 'Apply',
      time: instant(this.#clock.now()),
      fieldsV1: { 'f:metadata': { 'f:annotations': fields } },
    };
    return {
      ...found,
      metadata: {
        ...found.metadata,
        annotations: { ...Object.fromEntries(kept), ...own },
        managedFields: [...managedFields.filter((one) => one !== owned), entry],
      },
    };
  }

  #store(key: string, before: KubernetesObject | undefined, object: KubernetesObject): KubernetesObject {
    const { deletionTimestamp, finalizers = [] } = object.metadata;
    const metadata = { ...object.metadata, resourceVersion: String(++this.#versions) };
    const after = structuredClone({ ...object, metadata });
    if (deletionTimestamp !== undefined && finalizers.length === 0) {
      this.#objects.delete(key);
      this.#onChange({ before, after: undefined });
    } else {
      this.#objects.set(key, after);
      this.#onChange({ before, after });
    }
    return structuredClone(after);
  }
}

function objectIn(body: unknown): KubernetesObject {
  if (!isKubernetesObject(body)) throw new TypeError('no object was sent');
  return body;
}

function addressed(path: string): { key: string; subresource: string | undefined } {
  return path.endsWith('/status')
    ? { key: path.slice(0, -'/status'.length), subresource: 'status' }
    : { key: path, subresource: undefined };
}

function preconditions(body: unknown): { uid?: string | undefined; resourceVersion?: string | undefined } {
  const given = isRecord(body) && isRecord(body['preconditions']) ? body['preconditions'] : {};
  const textOf = (key: string) => (typeof given[key] === 'string' ? given[key] : undefined);
  return { uid: textOf('uid'), resourceVersion: textOf('resourceVersion') };
}

/** A kind with a status keeps it from whoever writes the rest, and the other way round. */
function replaced(found: KubernetesObject, object: KubernetesObject, subresource: string | undefined) {
  if (subresource === 'status') return { ...found, status: object['status'] };
  const changed = JSON.stringify(object['spec']) !== JSON.stringify(found['spec']);
  const { generation = 1, uid, creationTimestamp } = found.metadata;
  return {
    ...object,
    metadata: {
      ...object.metadata,
      ...(uid === undefined ? {} : { uid }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
      generation: changed ? generation + 1 : generation,
    },
    ...(found['status'] === undefined ? {} : { status: found['status'] }),
  };
}

/** RFC 6902 as the operator uses it: finalizers, if they are what was looked at. */
function patchedFinalizers({ metadata }: KubernetesObject, body: unknown): string[] | undefined {
  const operations: unknown[] = Array.isArray(body) ? body : [];
  let finalizers: string[] | undefined;
  for (const operation of operations) {
    if (!isRecord(operation)) return undefined;
    const { op, path, value } = operation;
    const is = path === '/metadata/uid' ? metadata.uid : (metadata.finalizers ?? null);
    const same =
      JSON.stringify(is) === JSON.stringify(value) || (Array.isArray(is) && is.length === 0 && value === null);
    if (op === 'test' && !same) return undefined;
    if (op === 'add' && Array.isArray(value)) finalizers = value.map(String);
  }
  return finalizers;
}

function keysIn(fields: unknown): string[] {
  const metadata = isRecord(fields) ? fields['f:metadata'] : undefined;
  const annotations = isRecord(metadata) ? metadata['f:annotations'] : undefined;
  return isRecord(annotations) ? Object.keys(annotations) : [];
}

/** RFC 7396. */
function merged(found: KubernetesObject, patch: unknown): KubernetesObject {
  const merge = (target: unknown, change: unknown): unknown => {
    if (!isRecord(change) || Array.isArray(change)) return change;
    const result = { ...(isRecord(target) ? target : {}) };
    for (const [key, value] of Object.entries(change)) {
      if (value === null) delete result[key];
      else result[key] = merge(result[key], value);
    }
    return result;
  };
  return objectIn(merge(found, patch));
}

const nobody: CredentialProvider = {
  current: () => Promise.reject(new TypeError('nothing is sent')),
  reload: () => false,
};

/** What is done around each write: it may never arrive, or its answer may be lost. */
export interface WireOfWrites {
  before(): void;
  after(): void;
}

/** The operator's way to the model: no byte leaves the process. */
export class ModelTransport extends Transport {
  readonly #server: ModelApiServer;
  readonly #wire: WireOfWrites;

  constructor(server: ModelApiServer, wire: WireOfWrites) {
    super({ credentials: nobody, userAgent: 'certbound' });
    this.#server = server;
    this.#wire = wire;
  }

  override async call(call: Call): Promise<unknown> {
    if (call.method === 'GET') return this.#server.call(call);
    this.#wire.before();
    const answer = this.#server.call(call);
    this.#wire.after();
    return answer;
  }
}

import type { Adapter } from 'oidc-provider';

type Payload = Record<string, unknown>;
interface Entry {
  payload: Payload;
  expiresAt: number;
}

/** What an authorization server knows. Several servers may be given the same one, as replicas of a real one are. */
export class AuthorizationServerStore {
  readonly #models = new Map<string, Map<string, Entry>>();

  model(name: string): Map<string, Entry> {
    const found = this.#models.get(name) ?? new Map<string, Entry>();
    this.#models.set(name, found);
    return found;
  }

  /** The metadata of every registered client. */
  clients(): Payload[] {
    return [...this.model('Client').values()].map(({ payload }) => payload);
  }

  /** Forgets a client as an administrator of the server would; its registration access token stays, and is useless. */
  forgetClient(clientId: string): boolean {
    return this.model('Client').delete(clientId);
  }

  revokeByGrant(grantId: string): void {
    for (const entries of this.#models.values()) {
      for (const [id, { payload }] of entries) if (payload['grantId'] === grantId) entries.delete(id);
    }
  }
}

/** oidc-provider's storage for one kind of object. */
export class StoreAdapter implements Adapter {
  readonly #store: AuthorizationServerStore;
  readonly #entries: Map<string, Entry>;

  constructor(store: AuthorizationServerStore, model: string) {
    this.#store = store;
    this.#entries = store.model(model);
  }

  upsert(id: string, payload: Payload, expiresIn?: number): Promise<void> {
    const expiresAt = expiresIn === undefined ? Infinity : Date.now() + expiresIn * 1000;
    // A copy, as a database would keep: the provider goes on changing its object.
    this.#entries.set(id, { payload: structuredClone(payload), expiresAt });
    return Promise.resolve();
  }

  #live(entry: Entry | undefined): Payload | undefined {
    return entry !== undefined && entry.expiresAt > Date.now() ? structuredClone(entry.payload) : undefined;
  }

  #findBy(member: string, value: string): Promise<Payload | undefined> {
    for (const entry of this.#entries.values()) {
      if (entry.payload[member] === value) return Promise.resolve(this.#live(entry));
    }
    return Promise.resolve(undefined);
  }

  find(id: string): Promise<Payload | undefined> {
    return Promise.resolve(this.#live(this.#entries.get(id)));
  }

  findByUid(uid: string): Promise<Payload | undefined> {
    return this.#findBy('uid', uid);
  }

  findByUserCode(userCode: string): Promise<Payload | undefined> {
    return this.#findBy('userCode', userCode);
  }

  consume(id: string): Promise<void> {
    const entry = this.#entries.get(id);
    if (entry !== undefined) entry.payload['consumed'] = Math.floor(Date.now() / 1000);
    return Promise.resolve();
  }

  destroy(id: string): Promise<void> {
    this.#entries.delete(id);
    return Promise.resolve();
  }

  revokeByGrantId(grantId: string): Promise<void> {
    this.#store.revokeByGrant(grantId);
    return Promise.resolve();
  }
}

/** oidc-provider keeps the keys that it read of a client for as long as the client's metadata are the same ones. */
export class ForgetfulClients extends StoreAdapter {
  readonly #seconds: number;

  constructor(store: AuthorizationServerStore, model: string, seconds: number) {
    super(store, model);
    this.#seconds = seconds;
  }

  override async find(id: string): Promise<Payload | undefined> {
    const payload = await super.find(id);
    return payload && { ...payload, key_sets_of: Math.floor(Date.now() / (this.#seconds * 1000)) };
  }
}

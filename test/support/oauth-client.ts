/** One OAuthClient as its team, the operator's own Secret and the authorization server see it. */
import type { z } from 'zod';
import { oauthClient, type OAuthClientSpec, type OAuthClientStatus } from '../../src/api/oauth-client.ts';
import { oauthClients } from '../../src/api/resources.ts';
import { secrets, type KubernetesObject } from '../../src/kube/resource.ts';
import { readRecord, recordName, type ClientRecord } from '../../src/oauthclient/record.ts';
import { boundTokenFor, credentialsOf, secretValues, type ClientCredentials } from './application.ts';
import { apply } from './cluster-objects.ts';
import { CLUSTER_ID, type Installation } from './installation.ts';
import { waitFor } from './wait-for.ts';

type Spec = Partial<OAuthClientSpec>;
type Condition = NonNullable<OAuthClientStatus['conditions']>[number];

/** What a client is looked at in. */
export interface ClientWorld extends Pick<Installation, 'kube'> {
  /** Undefined where it is no oidc-provider. */
  readonly authorizationServer?: Pick<Installation['authorizationServer'], 'clients'>;
}

export class TestClient {
  readonly ref: { namespace: string; name: string };
  readonly #world: ClientWorld;
  readonly #base: Spec;

  /** @param base what its spec always says */
  constructor(world: ClientWorld, ref: { namespace: string; name: string }, base: Spec = {}) {
    this.#world = world;
    this.ref = ref;
    this.#base = { authorizationServerRef: { name: 'corporate' }, ...base };
  }

  /** The AuthorizationServer that it is registered at. */
  get server(): string {
    return this.#base.authorizationServerRef?.name ?? '';
  }

  get secretRef(): { namespace: string; name: string } {
    return { namespace: this.ref.namespace, name: `${this.ref.name}-oauth` };
  }

  /** As `kubectl apply` does it: what is left out is withdrawn. */
  async apply(spec: Spec = {}): Promise<this> {
    await apply(this.#world.kube, {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: oauthClients.kind,
      metadata: this.ref,
      spec: { ...this.#base, ...spec },
    });
    return this;
  }

  async annotate(annotations: Record<string, string>): Promise<void> {
    await this.#world.kube.patch(oauthClients, this.ref, { metadata: { annotations } }, { type: 'merge' });
  }

  delete(): Promise<void> {
    return this.#world.kube.delete(oauthClients, this.ref);
  }

  async object(): Promise<z.infer<typeof oauthClient> | undefined> {
    const object = await this.#world.kube.get(oauthClients, this.ref);
    return object === undefined ? undefined : oauthClient.parse(object);
  }

  async status(): Promise<OAuthClientStatus> {
    return (await this.object())?.status ?? {};
  }

  async condition(type: string): Promise<Condition | undefined> {
    return (await this.status()).conditions?.find((condition) => condition.type === type);
  }

  /** Until the status of the newest generation is as the test wants it. */
  async until(wanted: (status: OAuthClientStatus) => boolean, limitMs = 60_000): Promise<OAuthClientStatus> {
    let status: OAuthClientStatus = {};
    const holds = async () => {
      const object = await this.object();
      if (object === undefined) return false;
      status = object.status ?? {};
      return status.observedGeneration === object.metadata.generation && wanted(status);
    };
    await waitFor(holds, limitMs).catch((error: unknown) => {
      const { namespace, name } = this.ref;
      throw new Error(`${namespace}/${name} is not as it must be: ${JSON.stringify(status, undefined, 1)}`, {
        cause: error,
      });
    });
    return status;
  }

  /** Ready, with nothing left to do. */
  async ready(limitMs?: number): Promise<OAuthClientStatus> {
    return this.until((status) => isTrue(status, 'Ready') && !isTrue(status, 'Reconciling'), limitMs);
  }

  /** Until a condition has a status by a reason; its message. */
  async told(type: string, status: string, reason: string, limitMs?: number): Promise<string> {
    const holds = (each: { type: string; status: string; reason: string }): boolean =>
      each.type === type && each.status === status && each.reason === reason;
    const { conditions } = await this.until((current) => current.conditions?.some(holds) === true, limitMs);
    return conditions?.find(holds)?.message ?? '';
  }

  async gone(): Promise<void> {
    await waitFor(async () => (await this.object()) === undefined, 60_000);
  }

  secret(): Promise<KubernetesObject | undefined> {
    return this.#world.kube.get(secrets, this.secretRef);
  }

  async publishedSecret(): Promise<KubernetesObject> {
    const secret = await this.secret();
    if (secret === undefined) throw new Error(`Secret ${this.secretRef.name} is missing`);
    return secret;
  }

  /** What an application reads. */
  async values(): Promise<Record<string, string>> {
    return secretValues(await this.publishedSecret());
  }

  async credentials(): Promise<ClientCredentials> {
    return credentialsOf(await this.publishedSecret());
  }

  ownSecret(): Promise<KubernetesObject | undefined> {
    const { namespace, name } = this.ref;
    return this.#world.kube.get(secrets, { namespace: 'certbound-system', name: recordName(namespace, name) });
  }

  async record(): Promise<ClientRecord | undefined> {
    const secret = await this.ownSecret();
    return secret === undefined ? undefined : readRecord(secret);
  }

  /** What the server holds under this client's marker: to be exactly one. */
  registrations(): Record<string, unknown>[] {
    const marker = `${CLUSTER_ID}/${this.ref.namespace}/${this.ref.name}`;
    const { authorizationServer } = this.#world;
    if (authorizationServer === undefined) throw new TypeError('ask this server itself');
    return authorizationServer.clients().filter(({ client_name: name }) => name === marker);
  }
}

export function isTrue(status: OAuthClientStatus, type: string): boolean {
  return status.conditions?.some((condition) => condition.type === type && condition.status === 'True') === true;
}

/** The thumbprint that a token of the server for these credentials is bound to (RFC 8705 §3.1). */
export async function boundTo(
  credentials: ClientCredentials,
  parameters: Record<string, string> = {},
): Promise<string> {
  return (await boundTokenFor(credentials, parameters)).thumbprint;
}

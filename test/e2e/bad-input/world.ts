/** One installation for every case of bad input; each case has objects of its own. */
import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { ROLE_LABEL, Role } from '../../../src/api/annotations.ts';
import type { Condition } from '../../../src/api/conditions.ts';
import { authorizationServer } from '../../../src/api/authorization-server.ts';
import { clientCertificateIssuer } from '../../../src/api/client-certificate-issuer.ts';
import { oauthClient, type OAuthClientStatus } from '../../../src/api/oauth-client.ts';
import { authorizationServers, clientCertificateIssuers, oauthClients } from '../../../src/api/resources.ts';
import { configMaps, type KubernetesObject, secrets } from '../../../src/kube/resource.ts';
import { recordName } from '../../../src/oauthclient/record.ts';
import {
  type AuthorizationServer,
  type AuthorizationServerOptions,
  startAuthorizationServer,
} from '../../support/authorization-server.ts';
import { apply, documents, namespace } from '../../support/cluster-objects.ts';
import { freePort } from '../../support/free-port.ts';
import { CLIENTS_ALLOWED, CLUSTER_ID, type Installation, startInstallation } from '../../support/installation.ts';
import { waitFor } from '../../support/wait-for.ts';

export const TEAM = 'payments';
export const SYSTEM = 'certbound-system';
/** All cases run side by side: on a busy machine each waits for all the others. */
export const GENEROUS_MS = 300_000;

export type Spec = Readonly<Record<string, unknown>>;
export interface Subject {
  namespace?: string;
  name: string;
}

/** A second front of the same authorization server: its own origin, faults and request counts; one store. */
export interface Front {
  readonly server: AuthorizationServer;
  readonly issuer: string;
  stop(): Promise<void>;
  start(): Promise<void>;
}

export class World {
  readonly installation: Installation;
  /** Specs of the platform's example. */
  readonly #server: Spec;
  readonly #fronts: AuthorizationServer[] = [];

  private constructor(installation: Installation, server: Spec) {
    this.installation = installation;
    this.#server = server;
  }

  /** @param issuers whose CAs the terminator trusts, besides the platform's */
  static async start(issuers: readonly string[]): Promise<World> {
    const installation = await startInstallation({ faultProxy: true });
    try {
      const objects = await installation.platform();
      const found = objects.find(({ kind }) => kind === 'AuthorizationServer');
      assert.ok(found !== undefined);
      const spec: Spec = Object(found['spec']);
      const clients: Spec = Object(spec['clients']);
      const granting = { ...spec, clients: { ...clients, issuers: ['corporate-clients', ...issuers] } };
      const ingresses = await documents(resolve(import.meta.dirname, '../../../examples/ingresses.yaml'));
      const { kube } = installation;
      await apply(kube, namespace('reports', CLIENTS_ALLOWED));
      await apply(kube, ...objects.map((o) => (o === found ? { ...o, spec: granting } : o)), ...ingresses);
      await installation.startOperator();
      const { terminators: _elsewhere, ...rest } = spec;
      return new World(installation, rest);
    } catch (error) {
      await installation.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.#fronts.map((front) => front.stop()));
    await this.installation.stop();
  }

  get kube(): Installation['kube'] {
    return this.installation.kube;
  }

  /** An AuthorizationServer like the platform's, with other members; `clients` are changed one by one. */
  async server(name: string, { clients, ...changes }: Spec = {}): Promise<void> {
    const spec = { ...this.#server, ...changes, clients: { ...Object(this.#server['clients']), ...Object(clients) } };
    await apply(this.kube, {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: 'AuthorizationServer',
      metadata: { name },
      spec: JSON.parse(JSON.stringify(spec)),
    });
  }

  async issuer(
    name: string,
    spec: Spec,
    policy: Spec = { namespaces: { selector: { matchLabels: CLIENTS_ALLOWED } } },
  ): Promise<void> {
    await apply(this.kube, {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: 'ClientCertificateIssuer',
      metadata: { name },
      spec: { ...spec, policy },
    });
  }

  /** An OAuthClient of the server of the same name. */
  async client({ namespace: ns = TEAM, name }: Subject, spec: Spec = {}): Promise<KubernetesObject> {
    const [client] = await apply(this.kube, {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: 'OAuthClient',
      metadata: { namespace: ns, name },
      spec: { authorizationServerRef: { name }, ...spec },
    });
    assert.ok(client !== undefined);
    return client;
  }

  async front(options: Partial<AuthorizationServerOptions> = {}): Promise<Front> {
    const { installation } = this;
    const port = await freePort();
    const issuer = `https://localhost:${port}`;
    const start = async (): Promise<AuthorizationServer> =>
      startAuthorizationServer({
        issuer,
        port,
        mtlsOrigin: installation.origin('mtls'),
        store: installation.authorizationServer.store,
        tls: await installation.serverCa.issue({ cn: 'localhost', dns: ['localhost'] }),
        ...options,
      });
    let server = await start();
    this.#fronts.push(server);
    const fronts = this.#fronts;
    return {
      get server() {
        return server;
      },
      issuer,
      stop: () => server.stop(),
      async start() {
        server = await start();
        fronts.push(server);
      },
    };
  }

  /** Members of an AuthorizationServer for a front, to be given to `server`. */
  at(front: Pick<Front, 'issuer'>): Spec {
    const hosts = Array.isArray(this.#server['connectTo']) ? this.#server['connectTo'] : [];
    return {
      issuer: front.issuer,
      dynamicRegistration: {},
      connectTo: [...hosts, { host: 'localhost', addresses: ['127.0.0.1'] }],
    };
  }

  async status({ namespace: ns = TEAM, name }: Subject): Promise<OAuthClientStatus | undefined> {
    const object = await this.kube.get(oauthClients, { namespace: ns, name });
    return object === undefined ? undefined : oauthClient.parse(object).status;
  }

  async condition(subject: Subject, type = 'Ready'): Promise<Condition | undefined> {
    return (await this.status(subject))?.conditions?.find((condition) => condition.type === type);
  }

  /** Waits for the reason of a client's condition. */
  async becomes(subject: Subject, status: Condition['status'], reason: string, says = /./): Promise<Condition> {
    return settled(() => this.condition(subject), { status, reason, says }, subject.name);
  }

  async becomesOf(subject: Subject, type: string, status: Condition['status'], reason: string): Promise<Condition> {
    return settled(() => this.condition(subject, type), { status, reason, says: /./ }, subject.name);
  }

  async ready(subject: Subject): Promise<Condition> {
    return this.becomes(subject, 'True', 'Ready');
  }

  serverBecomes(name: string, status: Condition['status'], reason: string, says = /./): Promise<Condition> {
    const find = async () => {
      const object = await this.kube.get(authorizationServers, { name });
      return authorizationServer.parse(object).status?.conditions?.find(({ type }) => type === 'Ready');
    };
    return settled(find, { status, reason, says }, name);
  }

  issuerBecomes(name: string, status: Condition['status'], reason: string): Promise<Condition> {
    const find = async () => {
      const object = await this.kube.get(clientCertificateIssuers, { name });
      return clientCertificateIssuer.parse(object).status?.conditions?.find(({ type }) => type === 'Ready');
    };
    return settled(find, { status, reason, says: /./ }, name);
  }

  /** Metadata of the registrations that carry the client's marker. */
  registrations(subject: Subject): Record<string, unknown>[] {
    const marker = `${CLUSTER_ID}/${subject.namespace ?? TEAM}/${subject.name}`;
    const { store } = this.installation.authorizationServer;
    return store.clients().filter(({ client_name: name }) => name === marker || String(name).endsWith(`[${marker}]`));
  }

  async claims({ namespace: ns = TEAM, name }: Subject): Promise<KubernetesObject[]> {
    const { items } = await this.kube.list(configMaps, {
      namespace: SYSTEM,
      labelSelector: `${ROLE_LABEL}=${Role.claim}`,
    });
    return items.filter(({ data }) => Object(data).holder === `${ns}/${name}`);
  }

  record({ namespace: ns = TEAM, name }: Subject): Promise<KubernetesObject | undefined> {
    return this.kube.get(secrets, { namespace: SYSTEM, name: recordName(ns, name) });
  }

  secret({ namespace: ns = TEAM, name }: Subject): Promise<KubernetesObject | undefined> {
    return this.kube.get(secrets, { namespace: ns, name: `${name}-oauth` });
  }

  /** No own Secret, no claim, no published Secret, no registration. */
  async nothingWritten(subject: Subject, published: 'absent' | 'foreign' = 'absent'): Promise<void> {
    assert.equal(await this.record(subject), undefined, 'an own Secret was written');
    assert.deepEqual(await this.claims(subject), [], 'an identity was claimed');
    if (published === 'absent') assert.equal(await this.secret(subject), undefined, 'a Secret was published');
    assert.deepEqual(this.registrations(subject), [], 'a client was registered');
  }

  /** Ready, with exactly one registration that works. */
  async recovers(subject: Subject): Promise<void> {
    await this.ready(subject);
    assert.equal(this.registrations(subject).length, 1);
    assert.ok((await this.secret(subject)) !== undefined);
  }
}

async function settled(
  find: () => Promise<Condition | undefined>,
  wanted: { status: string; reason: string; says: RegExp },
  name: string,
): Promise<Condition> {
  let last: Condition | undefined;
  const isWanted = ({ status, reason, message }: Condition) =>
    status === wanted.status && reason === wanted.reason && wanted.says.test(message);
  try {
    await waitFor(async () => {
      last = await find();
      return last !== undefined && isWanted(last);
    }, GENEROUS_MS);
  } catch (error) {
    const text = `${name} did not become ${wanted.status} ${wanted.reason}; it is ${JSON.stringify(last)}`;
    throw new Error(text, { cause: error });
  }
  assert.ok(last !== undefined);
  return last;
}

/** What the platform and the owners of hosts apply, when the operator dies over it. */
import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { CLIENT_CERTIFICATES, OPT_IN, OWNER, Role, ROLE_LABEL } from '../../src/api/annotations.ts';
import { clientCertificateIssuer } from '../../src/api/client-certificate-issuer.ts';
import { conditionList } from './condition-list.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import { managedSecretName } from '../../src/issuer/certificate-authority-secret.ts';
import { ingresses, secrets, type KubernetesObject, type ObjectRef, type Resource } from '../../src/kube/resource.ts';
import { bundleName } from '../../src/terminator/bundle.ts';
import { scopeKey } from '../../src/terminator/scope.ts';
import type { ApiRequest } from '../support/api-request.ts';
import { secretValues } from '../support/application.ts';
import { apply, ingress } from '../support/cluster-objects.ts';
import { waitFor } from '../support/wait-for.ts';
import type { CrashScenario, CrashSubject } from './crash-subject.ts';
import type { CrashWorld } from './crash-world.ts';

const OPERATOR_NAMESPACE = 'certbound-system';

interface Made {
  /** As its passes are told. */
  kind: string;
  key: string;
  resource: Resource;
  ref: ObjectRef;
  /** What the operator makes for it. */
  secret: ObjectRef & { namespace: string };
  object: KubernetesObject;
  /** What has come of it while it is there. */
  outcome: (found: KubernetesObject, secret: KubernetesObject | undefined) => unknown;
}

type Make = (world: CrashWorld, name: string) => Promise<Made>;

/** @returns what status says, once it speaks of the newest generation */
function statusOf(object: KubernetesObject): { conditions: string[]; finalizers: readonly string[] } {
  const status: unknown = object['status'];
  assert.equal(
    Reflect.get(Object(status), 'observedGeneration'),
    object.metadata.generation,
    'generation not observed',
  );
  return { conditions: conditionList(status), finalizers: object.metadata.finalizers ?? [] };
}

const issuer: Make = (_world, name) => {
  const secret = { namespace: OPERATOR_NAMESPACE, name: managedSecretName(name) };
  return Promise.resolve({
    kind: clientCertificateIssuers.kind,
    key: name,
    resource: clientCertificateIssuers,
    ref: { name },
    secret,
    object: {
      apiVersion: 'certbound.dev/v1alpha1',
      kind: clientCertificateIssuers.kind,
      metadata: { name },
      spec: { ca: { managed: { dn: `CN=${name}` } } },
    },
    outcome(found, made) {
      const { status } = clientCertificateIssuer.parse(found);
      assert.ok(made !== undefined, 'no CA');
      assert.equal(made.metadata.annotations?.[OWNER], name);
      assert.equal(made.metadata.labels?.[ROLE_LABEL], Role.certificateAuthority);
      const ca = new X509Certificate(secretValues(made)['tls.crt'] ?? '');
      const sha256 = createHash('sha256').update(ca.raw).digest('hex');
      const generations = status?.generations?.map((generation) => generation.sha256);
      assert.deepEqual(generations, [sha256], 'one CA, and status names it');
      return statusOf(found);
    },
  });
};

const server: Make = async ({ installation }, name) => {
  const corporate = (await installation.platform()).find(({ kind }) => kind === authorizationServers.kind);
  assert.ok(corporate !== undefined);
  return {
    kind: authorizationServers.kind,
    key: name,
    resource: authorizationServers,
    ref: { name },
    secret: { namespace: OPERATOR_NAMESPACE, name: 'none' },
    object: { ...corporate, metadata: { name } },
    outcome: (found) => statusOf(found),
  };
};

const CONTROLLER = 'k8s.io/ingress-nginx';
const AUTH_TLS = 'nginx.ingress.kubernetes.io/auth-tls-';

const terminator: Make = (_world, name) => {
  const namespace = 'accounts';
  const scope = { controller: CONTROLLER, host: `${name}.example.test` };
  const annotations = { [OPT_IN]: 'corporate', [CLIENT_CERTIFICATES]: 'required' };
  return Promise.resolve({
    kind: 'Terminator',
    key: scopeKey(scope),
    resource: ingresses,
    ref: { namespace, name },
    secret: { namespace, name: bundleName(scope) },
    object: ingress({ namespace, name, annotations }, scope.host, 'accounts'),
    outcome(found, bundle) {
      const written = Object.entries(found.metadata.annotations ?? {}).filter(([key]) => key.startsWith(AUTH_TLS));
      assert.ok(bundle !== undefined && written.length > 0, 'not configured');
      assert.match(secretValues(bundle)['ca.crt'] ?? '', /BEGIN CERTIFICATE/);
      return written.map(([key, value]) => `${key}=${value.replace(bundle.metadata.name, 'bundle')}`).toSorted();
    },
  });
};

type Life = 'made' | 'deleted' | 'opted out';

class PlatformSubject implements CrashSubject {
  readonly name: string;
  readonly kind: string;
  readonly key: string;
  readonly #made: Made;
  readonly #life: Life;
  readonly #world: CrashWorld;

  constructor(world: CrashWorld, name: string, made: Made, life: Life) {
    this.name = name;
    this.kind = made.kind;
    this.key = made.key;
    this.#world = world;
    this.#made = made;
    this.#life = life;
  }

  owns({ resource, namespace, name }: ApiRequest): boolean {
    const {
      resource: { plural },
      ref,
      secret,
    } = this.#made;
    if (resource === plural) return name === ref.name && namespace === (ref.namespace ?? '');
    return resource === secrets.plural && namespace === secret.namespace && name === secret.name;
  }

  get #kube() {
    return this.#world.installation.kube;
  }

  async prepare(): Promise<void> {
    if (this.#life === 'made') return;
    await apply(this.#kube, this.#made.object);
    await waitFor(() => this.#present().then(isReady, () => false), 60_000);
  }

  async begin(): Promise<void> {
    const { resource, ref, object } = this.#made;
    if (this.#life === 'made') await apply(this.#kube, object);
    else if (this.#life === 'deleted') await this.#kube.delete(resource, ref);
    else {
      const annotations = { [OPT_IN]: null, [CLIENT_CERTIFICATES]: null };
      await this.#kube.patch(resource, ref, { metadata: { annotations } }, { type: 'merge' });
    }
  }

  died(): Promise<void> {
    return Promise.resolve();
  }

  async #present(): Promise<unknown> {
    const { resource, ref, secret, outcome } = this.#made;
    const found = await this.#kube.get(resource, ref);
    assert.ok(found !== undefined, 'it is not there');
    return outcome(found, await this.#kube.get(secrets, secret));
  }

  async outcome(): Promise<unknown> {
    if (this.#life === 'made') return this.#present();
    const { resource, ref, secret } = this.#made;
    const found = await this.#kube.get(resource, ref);
    if (this.#life === 'deleted') assert.equal(found, undefined, 'it is still there');
    const annotations = Object.keys(found?.metadata.annotations ?? {}).filter((key) => key.startsWith(AUTH_TLS));
    assert.deepEqual(annotations, [], 'still configured');
    assert.equal(await this.#kube.get(secrets, secret), undefined, 'its Secret is left over');
    return this.#life;
  }

  async verify(): Promise<void> {
    await this.outcome();
  }

  async remove(): Promise<void> {
    const { resource, ref } = this.#made;
    if ((await this.#kube.get(resource, ref)) !== undefined) await this.#kube.delete(resource, ref);
    await waitFor(async () => (await this.#kube.get(resource, ref)) === undefined, 60_000);
  }
}

function scenario(name: string, what: string, life: Life, make: Make): CrashScenario {
  return {
    name,
    what,
    subject: async (world, subject) => new PlatformSubject(world, subject, await make(world, subject), life),
    over: (outcome) => (life === 'made' ? isReady(outcome) : outcome === life),
  };
}

/** A terminator has no conditions: it is configured or it is not. */
function isReady(outcome: unknown): boolean {
  if (Array.isArray(outcome)) return true;
  const conditions: unknown = Reflect.get(Object(outcome), 'conditions');
  return Array.isArray(conditions) && conditions.some((each) => String(each).startsWith('Ready=True'));
}

export const creations: readonly CrashScenario[] = [
  scenario('issuer', 'an issuer and its CA are made', 'made', issuer),
  scenario('server', 'an AuthorizationServer is made', 'made', server),
  scenario('terminator', 'a host opts in', 'made', terminator),
];

export const removals: readonly CrashScenario[] = [
  scenario('issuer-deleted', 'an issuer is deleted with its CA', 'deleted', issuer),
  scenario('server-deleted', 'an AuthorizationServer is deleted', 'deleted', server),
  scenario('terminator-left', 'a host opts out', 'opted out', terminator),
];

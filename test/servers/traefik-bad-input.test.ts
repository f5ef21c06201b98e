/** What people do to hosts that have opted in at Traefik: each is a condition, and nobody is let in by it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OPT_IN, Role, ROLE_LABEL } from '../../src/api/annotations.ts';
import { authorizationServers, clientCertificateIssuers } from '../../src/api/resources.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { apiVersionOf, events, ingresses, type KubernetesObject, secrets, services } from '../../src/kube/resource.ts';
import { bundleName } from '../../src/terminator/bundle.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { middlewares, tlsOptions } from '../../src/terminator/drivers/traefik.ts';
import { apply, ingress } from '../support/cluster-objects.ts';
import { call } from '../support/https-call.ts';
import { boundTo, type TestClient } from '../support/oauth-client.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import { byPortName } from '../support/traefik.ts';
import { waitFor } from '../support/wait-for.ts';
import { startTraefikWorld, type TraefikWorld } from './traefik-world.ts';

const limitMs = 180_000;
const mtls = { namespace: 'identity', name: 'authorization-server-mtls' };
const api = { namespace: 'accounts', name: 'accounts-api' };
const OPTIONS = 'traefik.ingress.kubernetes.io/router.tls.options';

describe('Traefik, and what people do to a host that has opted in', () => {
  let world: TraefikWorld;
  let client: TestClient;
  let mtlsIngress: KubernetesObject;
  /** What others have in the cluster, before anybody opted in. */
  let untouched: unknown;
  let name: string;
  const intruder = { stop: new AbortController(), ended: Promise.resolve(), calls: 0, reached: 0, tokens: 0 };

  /** Who writes under a name of their own. */
  const writers: KubeClient[] = [];
  let owner: KubeClient;
  let somebody: KubeClient;
  const writer = (fieldManager: string): KubeClient => {
    const made = KubeClient.fromKubeconfig({ path: world.kubeconfigPath, userAgent: 'test', fieldManager });
    writers.push(made);
    return made;
  };
  const edit = (kind: typeof tlsOptions, ref: { namespace: string; name: string }, patch: Record<string, unknown>) =>
    somebody.patch(kind, ref, patch, { type: 'merge' });
  const bundle = () => ({ namespace: mtls.namespace, name });
  /** Until the platform and the client's team are told. */
  const told = (reason: string) =>
    client.until(
      ({ conditions }) =>
        conditions?.some((c) => c.type === 'TerminatorsReady' && c.status !== 'True' && c.reason === reason) === true,
      limitMs,
    );
  /** Nobody is let in without a certificate; the client is, by the objects of the operator. */
  async function restored(): Promise<void> {
    await client.until(
      ({ conditions }) => conditions?.some((c) => c.type === 'TerminatorsReady' && c.status === 'True') === true,
      limitMs,
    );
    const credentials = await client.credentials();
    await waitFor(
      async () => (await boundTo(credentials).catch(() => '')) === credentials.x5tS256 && (await isAsked()),
      limitMs,
    );
  }
  /** The status of a call without a certificate; `closed` before TLS, `asked` for one in it. */
  async function anonymous(host: string = HOSTS.mtls): Promise<number | 'closed' | 'asked'> {
    const { clientId, caPem, certificate } = await client.credentials();
    return call({
      url: `https://${host}:${world.traefik.httpsPort}/token`,
      ca: caPem,
      headers: { 'x-forwarded-tls-client-cert': certificate.certPem.replaceAll(/-----[^-]+-----|\n/g, '') },
      body: new URLSearchParams({ grant_type: 'client_credentials', client_id: clientId, scope: 'accounts:read' }),
    }).then(
      ({ status }) => status,
      (error: unknown) => (/before secure TLS connection/.test(String(error)) ? 'closed' : 'asked'),
    );
  }
  const isAsked = async (host?: string) => (await anonymous(host)) === 'asked';

  /** Somebody without a certificate, with the client's in a header, all the while. */
  async function intrude(): Promise<void> {
    while (!intruder.stop.signal.aborted) {
      const answer = await anonymous();
      intruder.calls++;
      // Traefik itself answers 404, or 5xx; the server says who it did not know.
      if (answer === 401) intruder.reached++;
      if (typeof answer === 'number' && answer < 400) intruder.tokens++;
      await sleep(200);
    }
  }

  const ours = async () => {
    const labelSelector = `${ROLE_LABEL} in (${Role.trustBundle},${Role.terminator})`;
    const lists = await Promise.all(
      [secrets, tlsOptions, middlewares].map((kind) => world.kube.list(kind, { labelSelector })),
    );
    return lists.flatMap(({ items }) => items);
  };
  const ownedBy = async (manager: string) =>
    (await world.kube.list(ingresses)).items.filter(({ metadata }) =>
      metadata.managedFields?.some((entry) => entry.manager === manager),
    );

  /** By managers: of Ingresses without those of the owner who opts in and out, of all else the very version. */
  async function ofOthers(): Promise<unknown> {
    const kinds = [services, secrets, tlsOptions, middlewares];
    const namespaces = [mtls.namespace, api.namespace];
    const lists = await Promise.all(
      kinds.flatMap((kind) => namespaces.map((namespace) => world.kube.list(kind, { namespace }))),
    );
    const objects = lists
      .flatMap(({ items }) => items)
      .filter(({ metadata }) => metadata.labels?.[ROLE_LABEL] === undefined)
      .map(({ metadata }) => `${metadata.namespace}/${metadata.name} ${metadata.uid} ${metadata.resourceVersion}`);
    const frontends = (await world.kube.list(ingresses)).items.map(({ metadata, spec }) => ({
      name: metadata.name,
      annotations: metadata.annotations ?? {},
      spec,
      fields: (metadata.managedFields ?? [])
        .filter(({ manager = '' }) => !['owner', 'test'].includes(manager))
        .map((entry) => ({ ...entry, time: undefined })),
    }));
    return { objects: objects.toSorted(), frontends };
  }

  before(async () => {
    world = await startTraefikWorld({ provider: 'kubernetesIngress', flags: ['--core.strictTLSOptions=true'] });
    [owner, somebody] = [writer('owner'), writer('somebody')];
    name = bundleName({ controller: world.controller, host: HOSTS.mtls });
    const [first, second] = await world.ingresses();
    assert.ok(first !== undefined && second !== undefined);
    const closed = [first, second].map((each) => ({
      ...each,
      metadata: { ...each.metadata, annotations: { team: 'hosts' } },
    }));
    [mtlsIngress = first] = closed;
    await world.kube.create(middlewares, {
      metadata: { namespace: mtls.namespace, name: 'of-others' },
      spec: { headers: { customResponseHeaders: { 'X-Team': 'identity' } } },
    });
    await apply(world.kube, ...closed);
    untouched = await ofOthers();
    await optIn(mtls);
    client = await world.client('batch').apply();
    await client.ready(limitMs);
    await restored();
    intruder.ended = intrude();
  });
  after(async () => {
    intruder.stop.abort();
    await intruder.ended;
    for (const each of writers) await each.close();
    await world?.stop();
  });

  const optIn = (ref: typeof mtls, server: string | null = 'corporate') =>
    owner.patch(ingresses, ref, { metadata: { annotations: { [OPT_IN]: server } } }, { type: 'merge' });

  it('edits or deletes the TLSOption, a Middleware or the bundle: they are written again', async () => {
    const written = new Map((await ours()).map((each) => [`${each.kind} ${each.metadata.name}`, each]));
    assert.equal(written.size, 4);
    const foreign = Buffer.from(world.serverCa.certPem).toString('base64');
    const same = (kind: typeof tlsOptions, key: string) =>
      waitFor(async () => {
        const current = await world.kube.get(kind, { ...bundle(), name: key });
        const [is, was] = [current, written.get(`${kind.kind} ${key}`)].map((each) =>
          JSON.stringify([each?.['spec'], each?.['data'], each?.metadata.labels, each?.metadata.annotations]),
        );
        return current !== undefined && is === was;
      }, 60_000);
    await edit(tlsOptions, bundle(), { spec: { clientAuth: { clientAuthType: 'NoClientCert' } } });
    await same(tlsOptions, name);
    await edit(secrets, bundle(), { data: { 'ca.crt': foreign } });
    await same(secrets, name);
    await world.kube.delete(middlewares, { ...bundle(), name: `${name}-blank` });
    await same(middlewares, `${name}-blank`);
    await world.kube.delete(tlsOptions, bundle());
    await same(tlsOptions, name);
    await world.kube.delete(secrets, bundle());
    await same(secrets, name);
    await restored();
  });

  for (const [what, kind, patch, reason] of [
    ['TLSOption', tlsOptions, { spec: { clientAuth: { clientAuthType: 'NoClientCert' } } }, 'CompanionReverted'],
    ['bundle', secrets, { data: { 'ca.crt': Buffer.from('nothing').toString('base64') } }, 'BundleReverted'],
  ] as const) {
    it(`has a controller of its own undo the ${what} again and again: it is told`, async () => {
      const stop = new AbortController();
      const undoing = (async () => {
        while (!stop.signal.aborted) {
          await edit(kind, bundle(), patch).catch(() => undefined);
          await sleep(200);
        }
      })();
      try {
        const { conditions } = await told(reason);
        const message = conditions?.find(({ type }) => type === 'TerminatorsReady')?.message ?? '';
        assert.match(message, /field manager somebody/);
      } finally {
        stop.abort();
        await undoing;
      }
      await restored();
    });
  }

  it('has another manager take the annotation: it is told, and given back it is ours again', async () => {
    const theirs = { apiVersion: apiVersionOf(ingresses), kind: ingresses.kind, metadata: { ...mtls } };
    const take = (annotations: Record<string, string>) =>
      world.kube.apply(
        ingresses,
        { ...theirs, metadata: { ...mtls, annotations } },
        { fieldManager: 'argocd', force: true },
      );
    await take({ [OPTIONS]: 'identity-elsewhere@kubernetescrd' });
    const { conditions } = await told('ConfigurationConflict');
    assert.match(conditions?.find(({ type }) => type === 'TerminatorsReady')?.message ?? '', /argocd/);
    const live = await world.kube.get(ingresses, mtls);
    assert.equal(live?.metadata.annotations?.[OPTIONS], 'identity-elsewhere@kubernetescrd');
    await take({});
    await restored();
  });

  it('changes the class to one that nobody knows: it is told, and Traefik serves it no more', async () => {
    const change = (ingressClassName: string) =>
      world.kube.patch(ingresses, mtls, { spec: { ingressClassName } }, { type: 'merge' });
    await change('elsewhere');
    await told('UnknownIngressClass');
    assert.ok(
      (await ours()).some(({ kind }) => kind === 'TLSOption'),
      'what it still names is there',
    );
    await change(world.className);
    await restored();
  });

  it('asks for the clients of another server on the same host: both are told, and nobody is served', async () => {
    await apply(world.kube, {
      apiVersion: apiVersionOf(clientCertificateIssuers),
      kind: clientCertificateIssuers.kind,
      metadata: { name: 'rival-clients' },
      spec: { ca: { managed: { dn: 'CN=Rival Clients,O=Example' } }, policy: { namespaces: { names: ['payments'] } } },
    });
    const corporate = await world.kube.get(authorizationServers, { name: 'corporate' });
    const spec: Record<string, unknown> = { ...Object(corporate?.['spec']) };
    await apply(world.kube, {
      apiVersion: apiVersionOf(authorizationServers),
      kind: authorizationServers.kind,
      metadata: { name: 'rival' },
      spec: {
        ...spec,
        issuer: 'https://rival.example.test',
        defaultIssuerRef: { name: 'rival-clients' },
        terminators: [],
        clients: { ...Object(spec['clients']), issuers: ['rival-clients'] },
        resourceServers: { namespaces: { names: [mtls.namespace] } },
      },
    });
    const rival = { namespace: mtls.namespace, name: 'rival' };
    const annotations = { [OPT_IN]: 'rival' };
    await apply(
      world.kube,
      byPortName(ingress({ ...rival, annotations }, HOSTS.mtls, 'authorization-server', world.className)),
    );
    await told('HostShared');
    await waitFor(async () => {
      const { items } = await world.kube.list(events, { namespace: rival.namespace });
      return items.some(
        (event) =>
          event['reason'] === 'ScopeConflict' && Reflect.get(Object(event['regarding']), 'name') === rival.name,
      );
    }, limitMs);
    assert.equal((await world.kube.get(ingresses, rival))?.metadata.annotations?.[OPTIONS], undefined);
    await waitFor(async () => (await anonymous()) === 404, limitMs);
    await world.kube.delete(ingresses, rival);
    await restored();
  });

  it('deletes the Ingress and makes it again: it is told, and the host is as it was', async () => {
    await world.kube.delete(ingresses, mtls);
    await told('TerminatorMissing');
    await waitFor(async () => (await ours()).length === 0, limitMs);
    await apply(world.kube, mtlsIngress);
    await told('TerminatorNotOptedIn');
    await optIn(mtls);
    await restored();
  });

  it('opts out: nothing of ours is left, and nothing of others was touched', async (t) => {
    await optIn(api);
    await waitFor(() => isAsked(HOSTS.api), limitMs);
    intruder.stop.abort();
    await intruder.ended;
    t.diagnostic(
      `${intruder.calls} calls without a certificate: ${intruder.reached} reached the server, ${intruder.tokens} let in`,
    );
    assert.ok(intruder.calls > 50);
    assert.equal(intruder.tokens, 0);
    for (const ref of [mtls, api]) await optIn(ref, null);
    await waitFor(async () => (await ours()).length === 0, limitMs);
    assert.deepEqual(await ownedBy(FIELD_MANAGER), []);
    assert.deepEqual(await ofOthers(), untouched);
    for (const host of [HOSTS.mtls, HOSTS.api])
      await waitFor(async () => typeof (await anonymous(host)) === 'number', limitMs);
  });

  it('uninstalls the operator: what is configured stays, and goes by what docs/terminators.md says', async () => {
    await optIn(api);
    await waitFor(async () => (await ours()).length === 4 && (await isAsked(HOSTS.api)), limitMs);
    await world.operator.stop();
    assert.ok(await isAsked(HOSTS.api), 'without the operator too');
    assert.deepEqual(
      (await ownedBy(FIELD_MANAGER)).map(({ metadata }) => metadata.name),
      [api.name],
    );
    await optIn(api, null);
    const bare = { apiVersion: apiVersionOf(ingresses), kind: ingresses.kind, metadata: { ...api } };
    await world.kube.apply(ingresses, bare, { fieldManager: FIELD_MANAGER });
    for (const { kind, metadata } of await ours()) {
      const resource = [secrets, tlsOptions, middlewares].find((each) => each.kind === kind);
      assert.ok(resource !== undefined);
      await world.kube.delete(resource, { namespace: metadata.namespace, name: metadata.name });
    }
    assert.deepEqual(await ownedBy(FIELD_MANAGER), []);
    assert.deepEqual(await ofOthers(), untouched);
    await waitFor(async () => typeof (await anonymous(HOSTS.api)) === 'number', limitMs);
  });
});

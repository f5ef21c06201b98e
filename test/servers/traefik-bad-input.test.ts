/** What people do to hosts that have opted in at Traefik: each is a condition, and nobody is let in by it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { OPT_IN, Role, ROLE_LABEL } from '../../src/api/annotations.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { apiVersionOf, ingresses, type KubernetesObject, secrets } from '../../src/kube/resource.ts';
import { bundleName } from '../../src/terminator/bundle.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { middlewares, tlsOptions } from '../../src/terminator/drivers/traefik.ts';
import { apply, ingress } from '../support/cluster-objects.ts';
import type { TestClient } from '../support/oauth-client.ts';
import { HOSTS } from '../support/oauth-deployment.ts';
import { badInputCases } from '../support/terminator-bad-input.ts';
import { byPortName } from '../support/traefik.ts';
import { waitFor } from '../support/wait-for.ts';
import { startTraefikWorld, type TraefikWorld } from './traefik-world.ts';

const limitMs = 180_000;
const mtls = { namespace: 'identity', name: 'authorization-server-mtls' };
const api = { namespace: 'accounts', name: 'accounts-api' };
const OPTIONS = 'traefik.ingress.kubernetes.io/router.tls.options';
const LAX = { spec: { clientAuth: { clientAuthType: 'NoClientCert' } } };

describe('Traefik, and what people do to a host that has opted in', () => {
  let world: TraefikWorld;
  let client: TestClient;
  let frontend: KubernetesObject;
  let name: string;
  /** Writes under a name of their own. */
  let somebody: KubeClient;

  const edit = (kind: typeof tlsOptions, patch: Record<string, unknown>) =>
    somebody.patch(kind, { ...mtls, name }, patch, { type: 'merge' });
  const optIn = (ref: typeof mtls, server: string | null = 'corporate') =>
    world.kube.patch(ingresses, ref, { metadata: { annotations: { [OPT_IN]: server } } }, { type: 'merge' });
  const terminators = (status: string, reason: string) => client.told('TerminatorsReady', status, reason, limitMs);
  const ours = async () => {
    const labelSelector = `${ROLE_LABEL} in (${Role.trustBundle},${Role.terminator})`;
    const lists = await Promise.all(
      [secrets, tlsOptions, middlewares].map((kind) => world.kube.list(kind, { labelSelector })),
    );
    return lists.flatMap(({ items }) => items);
  };
  /** The API asks everybody for a token; of who shows no certificate it hears nothing where one is required. */
  const isOpen = () =>
    world.api({}).then(
      ({ status }) => status === 401,
      () => false,
    );
  const isAsked = () =>
    world.api({}).then(
      () => false,
      (error: unknown) => !/before secure TLS connection/.test(String(error)),
    );

  before(async () => {
    world = await startTraefikWorld({ provider: 'kubernetesIngress', flags: ['--core.strictTLSOptions=true'] });
    somebody = KubeClient.fromKubeconfig({ path: world.kubeconfigPath, userAgent: 'test', fieldManager: 'somebody' });
    name = bundleName({ controller: world.controller, host: HOSTS.mtls });
    const [first, second] = await world.ingresses();
    assert.ok(first !== undefined && second !== undefined);
    const notOptedIn = [first, second].map((each) => ({
      ...each,
      metadata: { ...each.metadata, annotations: { team: 'hosts' } },
    }));
    [frontend = first] = notOptedIn;
    await world.kube.create(middlewares, {
      metadata: { namespace: mtls.namespace, name: 'of-others' },
      spec: { headers: { customResponseHeaders: { 'X-Team': 'identity' } } },
    });
    await apply(world.kube, ...notOptedIn);
    await optIn(mtls);
    client = await world.client('batch').apply();
    await client.ready(limitMs);
  });
  after(async () => {
    await somebody?.close();
    await world?.stop();
  });

  it('edits or deletes the TLSOption or a Middleware: they are written again', async () => {
    const written = new Map((await ours()).map((each) => [`${each.kind} ${each.metadata.name}`, each]));
    assert.equal(written.size, 4);
    const same = (kind: typeof tlsOptions, key: string) =>
      waitFor(async () => {
        const current = await world.kube.get(kind, { ...mtls, name: key });
        const [is, was] = [current, written.get(`${kind.kind} ${key}`)].map((each) =>
          JSON.stringify([each?.['spec'], each?.metadata.labels, each?.metadata.annotations]),
        );
        return current !== undefined && is === was;
      }, 60_000);
    await edit(tlsOptions, LAX);
    await same(tlsOptions, name);
    await world.kube.delete(middlewares, { ...mtls, name: `${name}-blank` });
    await same(middlewares, `${name}-blank`);
    await world.kube.delete(tlsOptions, { ...mtls, name });
    await same(tlsOptions, name);
  });

  it('has a controller of its own undo the TLSOption again and again: it is told', async () => {
    const stop = new AbortController();
    const undoing = (async () => {
      while (!stop.signal.aborted) {
        await edit(tlsOptions, LAX).catch(() => undefined);
        await sleep(200);
      }
    })();
    try {
      assert.match(await terminators('False', 'CompanionReverted'), /field manager somebody/);
    } finally {
      stop.abort();
      await undoing;
    }
    await terminators('True', 'Distributed');
  });

  badInputCases(() =>
    Promise.resolve({
      ...world,
      client,
      frontends: ingresses,
      frontend,
      bundles: secrets,
      companions: [tlsOptions, middlewares],
      terminator: 'traefik',
      classed: {
        spec: (ingressClassName) => ({ ingressClassName }),
        name: world.className,
        told: 'UnknownIngressClass',
      },
      taken: { metadata: { annotations: { [OPTIONS]: 'identity-elsewhere@kubernetescrd' } } },
      rival: byPortName(ingress({ ...mtls, name: 'rival' }, HOSTS.mtls, 'authorization-server', world.className)),
    }),
  );

  it('uninstalls the operator: what is configured stays, and goes by what docs/terminators.md says', async () => {
    const ownedByUs = async () =>
      (await world.kube.list(ingresses)).items
        .filter(({ metadata }) => metadata.managedFields?.some(({ manager }) => manager === FIELD_MANAGER))
        .map((each) => each.metadata.name);
    const annotated = (await world.kube.get(ingresses, api))?.metadata.annotations;
    await optIn(api);
    await waitFor(async () => (await ours()).length === 4 && (await isAsked()), limitMs);
    await world.operator.stop();
    assert.ok(await isAsked(), 'without the operator too');
    assert.deepEqual(await ownedByUs(), [api.name]);
    await optIn(api, null);
    const bare = { apiVersion: apiVersionOf(ingresses), kind: ingresses.kind, metadata: { ...api } };
    await world.kube.apply(ingresses, bare, { fieldManager: FIELD_MANAGER });
    for (const { kind, metadata } of await ours()) {
      const resource = [secrets, tlsOptions, middlewares].find((each) => each.kind === kind);
      assert.ok(resource !== undefined);
      await world.kube.delete(resource, { namespace: metadata.namespace, name: metadata.name });
    }
    assert.deepEqual(await ownedByUs(), []);
    assert.deepEqual((await world.kube.get(ingresses, api))?.metadata.annotations, annotated);
    await waitFor(isOpen, limitMs);
  });
});

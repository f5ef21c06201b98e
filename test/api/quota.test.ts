import assert from 'node:assert/strict';
import { resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { oauthClients } from '../../src/api/resources.ts';
import { KubeClient, KubeError } from '../../src/kube/client.ts';
import { namespaces, type Resource } from '../../src/kube/resource.ts';
import { startControlPlane, type ControlPlane } from '../support/control-plane.ts';
import { waitFor } from '../support/wait-for.ts';

const quotas: Resource = {
  group: '',
  version: 'v1',
  plural: 'resourcequotas',
  kind: 'ResourceQuota',
  namespaced: true,
};
const COUNT = 'count/oauthclients.certbound.dev';
const namespace = 'capped';

let plane: ControlPlane;
let kube: KubeClient;
before(async () => {
  const crds = [resolve(import.meta.dirname, '../../crds')];
  plane = await startControlPlane({ controllerManager: true, crds });
  kube = KubeClient.fromKubeconfig({ path: plane.kubeconfigPath, userAgent: 'test', fieldManager: 'test' });
});
after(async () => {
  await kube?.close();
  await plane?.stop();
});

/** The guide says so: Kubernetes' own quota caps how many clients a namespace may have. */
test('a ResourceQuota caps the OAuthClients of a namespace', async () => {
  await kube.create(namespaces, { metadata: { name: namespace } });
  await kube.create(quotas, { metadata: { name: 'clients', namespace }, spec: { hard: { [COUNT]: '2' } } });
  const used = async () => {
    const status: unknown = (await kube.get(quotas, { namespace, name: 'clients' }))?.['status'];
    return String(Reflect.get(Object(Reflect.get(Object(status), 'used')), COUNT));
  };
  await waitFor(async () => (await used()) === '0', 120_000);
  const create = (name: string) =>
    kube.create(oauthClients, {
      metadata: { name, namespace },
      spec: { authorizationServerRef: { name: 'corporate' } },
    });
  await create('one');
  await create('two');
  await assert.rejects(
    create('three'),
    (error) => error instanceof KubeError && error.status === 403 && error.message.includes('exceeded quota: clients'),
  );
  await kube.delete(oauthClients, { namespace, name: 'one' });
  await waitFor(async () => (await used()) === '1', 120_000);
  await create('three');
});

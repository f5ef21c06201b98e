/** An installation that serves some namespaces: see also rights.test.ts. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { CLIENT_CERTIFICATES, RENEW_REQUESTED, ROLE_LABEL } from '../../src/api/annotations.ts';
import { authorizationServers } from '../../src/api/resources.ts';
import { configMaps, ingresses, namespaces, secrets } from '../../src/kube/resource.ts';
import { apply, documents, namespace } from '../support/cluster-objects.ts';
import { CLIENTS_ALLOWED, startInstallation, type Installation } from '../support/installation.ts';
import { TestClient } from '../support/oauth-client.ts';
import type { OperatorProcess } from '../support/operator.ts';
import { waitFor } from '../support/wait-for.ts';
import { edited, serverReady } from './lifecycle-world.ts';

describe('an installation that serves some namespaces', () => {
  let world: Installation;
  let operator: OperatorProcess;
  const client = (team: string) => new TestClient(world, { namespace: team, name: 'batch' });

  before(async () => {
    world = await startInstallation({
      controllerManager: true,
      scope: ['identity', 'accounts', 'payments', 'leaving'],
    });
    await apply(
      world.kube,
      ...edited(await world.platform()),
      ...(await documents('examples/ingresses.yaml')),
      namespace('leaving', CLIENTS_ALLOWED),
      namespace('elsewhere', CLIENTS_ALLOWED),
    );
    operator = await world.startOperator();
    await serverReady(world, 'corporate');
  });
  after(() => world.stop());

  it('leaves clients of other namespaces alone', async () => {
    const elsewhere = await client('elsewhere').apply();
    await (await client('payments').apply()).ready();
    const { metadata } = (await elsewhere.object()) ?? {};
    assert.equal(metadata?.generation, 1);
    assert.deepEqual(metadata?.finalizers, []);
    assert.deepEqual(elsewhere.registrations(), []);
    await elsewhere.delete();
    await elsewhere.gone();
  });

  it('deregisters the clients of a namespace that is deleted, though its Role there is gone before', async () => {
    const leaving = await client('leaving').apply();
    await leaving.ready();
    await world.kube.delete(namespaces, { name: 'leaving' });
    await waitFor(async () => (await world.kube.get(namespaces, { name: 'leaving' })) === undefined, 60_000);
    assert.deepEqual(leaving.registrations(), []);
    assert.equal(await leaving.ownSecret(), undefined);
  });

  it('publishes client CAs where it serves alone; until they are, no new certificate is published', async () => {
    const staying = client('payments');
    const { x5tS256 } = await staying.credentials();
    const publishTo = (into: string) =>
      world.kube.patch(
        authorizationServers,
        { name: 'corporate' },
        { spec: { trustBundle: { namespace: into } } },
        { type: 'merge' },
      );
    await publishTo('elsewhere');
    await staying.annotate({ [RENEW_REQUESTED]: 'for the truststore' });
    await staying.until(({ conditions = [] }) =>
      conditions.some(
        ({ type, status, reason }) =>
          type === 'TerminatorsReady' && status === 'False' && reason === 'NamespaceNotServed',
      ),
    );
    assert.equal((await staying.credentials()).x5tS256, x5tS256);
    await publishTo('identity');
    await waitFor(async () => (await staying.credentials()).x5tS256 !== x5tS256, 60_000);
    const published = { namespace: 'identity', name: 'corporate-client-cas' };
    assert.ok((await world.kube.get(secrets, published)) !== undefined);
  });

  it('leaves nothing in a namespace that is cleaned up as the chart says, before it leaves the list', async () => {
    await apply(world.kube, namespace('accounts', CLIENTS_ALLOWED));
    const gone = await client('accounts').apply();
    await gone.ready();
    const made = async () =>
      (
        await Promise.all(
          [secrets, configMaps].map((resource) =>
            world.kube.list(resource, { namespace: 'accounts', labelSelector: ROLE_LABEL }),
          ),
        )
      ).flatMap(({ items }) => items.map(({ metadata }) => metadata.name));
    await waitFor(async () => (await made()).length === 2, 60_000);
    const readme = await readFile('charts/certbound/README.md', 'utf8');
    const [, commands = ''] = /NAMESPACE=payments\n(.*?)```/s.exec(readme) ?? [];
    const lines = commands.trim().split('\n');
    assert.equal(lines.length, 3);
    for (const line of lines) {
      const [kubectl, ...args] = line.trim().replace('"$NAMESPACE"', 'accounts').split(' ');
      assert.equal(kubectl, 'kubectl');
      const { code, stderr } = await world.plane.kubectl(...args);
      assert.equal(code, 0, `${line}: ${stderr}`);
    }
    assert.deepEqual(await made(), []);
    assert.equal(await gone.object(), undefined);
    assert.deepEqual(gone.registrations(), []);
    const ingress = await world.kube.get(ingresses, { namespace: 'accounts', name: 'accounts-api' });
    const annotations = Object.keys(ingress?.metadata.annotations ?? {});
    assert.deepEqual(annotations, [CLIENT_CERTIFICATES]);
  });

  it('starts again without it, and goes on serving the others', async () => {
    await operator.stop();
    operator = await world.startOperator();
    const staying = client('payments');
    const { x5tS256 } = await staying.credentials();
    await staying.annotate({ [RENEW_REQUESTED]: 'now' });
    await waitFor(async () => (await staying.credentials()).x5tS256 !== x5tS256, 60_000);
  });
});

/** What the AuthorizationServer kind does where the CAs of the server are in another object (spec.caBundleRef). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { authorizationServers } from '../../src/api/resources.ts';
import { createThrowawayCa } from '../support/throwaway-ca.ts';
import type { ServerWorld } from './server-world.ts';

/** Inside the suite of the kind, so that they share its API server. */
export function referencedCaCases(world: ServerWorld): void {
  const { conditionOf, configMap, freshReconciler, later, live, reconcile, spec, state } = world;

  describe('CAs by reference', () => {
    const byReference = () => ({
      ...spec({ caBundleRef: { kind: 'ConfigMap', name: 'cas', key: 'ca.crt' } }),
      caBundle: undefined,
    });
    const inUse = async () => (await live())?.status?.caBundle;
    const message = async () => (await conditionOf('Ready'))?.message ?? '';

    test('are waited for, taken up, and replaced when they change', async () => {
      configMap.clear();
      await world.client.create(authorizationServers, { metadata: { name: world.name }, spec: byReference() });
      await reconcile();
      assert.equal(await state(), 'False CABundleMissing');
      assert.match(
        await message(),
        /no key "ca\.crt" in ConfigMap "cas" in the operator's namespace: put the CA certificates/,
      );
      assert.deepEqual(world.scripted.requests, [], 'nothing is asked of a server that cannot be authenticated');
      configMap.set('cas/ca.crt', world.scripted.ca.certPem);
      await reconcile();
      assert.deepEqual([await state(), await inUse()], ['True Ready', world.scripted.ca.certPem]);

      const { certPem: another } = await createThrowawayCa('Another CA');
      configMap.set('cas/ca.crt', another);
      later();
      await reconcile();
      assert.equal(await inUse(), another);
      assert.match((await conditionOf('Discovered'))?.message ?? '', /is not trusted/);
      configMap.set('cas/ca.crt', another + world.scripted.ca.certPem);
      await reconcile();
      assert.deepEqual([await state(), await state('Discovered')], ['True Ready', 'True Discovered']);
    });

    test('stay in use while the object is gone or damaged, also after a restart, and this is told', async () => {
      configMap.set('cas/ca.crt', world.scripted.ca.certPem);
      await world.client.create(authorizationServers, { metadata: { name: world.name }, spec: byReference() });
      await reconcile();
      for (const [value, reason] of [
        [undefined, 'CABundleMissing'],
        ['garbage', 'CABundleInvalid'],
        ['', 'CABundleInvalid'],
        ['x'.repeat(131_072), 'CABundleInvalid'],
      ] as const) {
        if (value === undefined) configMap.clear();
        else configMap.set('cas/ca.crt', value);
        later();
        await reconcile(freshReconciler());
        assert.equal(await state(), `False ${reason}`);
        assert.match(await message(), /What was read before stays in use meanwhile\./);
        assert.equal(await inUse(), world.scripted.ca.certPem);
        assert.equal(await state('Discovered'), 'True Discovered');
      }
      configMap.set('cas/ca.crt', world.scripted.ca.certPem);
      await reconcile();
      assert.equal(await state(), 'True Ready');
    });
  });
}

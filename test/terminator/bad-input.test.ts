/** What people do to a host that is configured: each is said or put right, and the host never verifies less by what we write. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OPT_IN } from '../../src/api/annotations.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { bundleObject } from '../../src/terminator/bundle.ts';
import type { TerminatorDriver } from '../../src/terminator/driver.ts';
import { drivers } from '../../src/terminator/registry.ts';
import { applied, isSpec } from '../../src/terminator/frontends/settings.ts';
import { pem, SafeWorld } from './safe-world.ts';
import { HOST, otherCa } from './world.ts';

const writing = drivers.filter(({ ownedKeys }) => ownedKeys.length > 0);
const otherController: Readonly<Record<string, string>> = {
  Ingress: 'k8s.io/ingress-nginx',
  Gateway: 'gateway.nginx.org/nginx-gateway-controller',
};

function caches(world: SafeWorld) {
  return { Ingress: world.ingresses, HTTPProxy: world.proxies, Gateway: world.gateways }[world.kind];
}

function editedBundle(world: SafeWorld, change: (bundle: KubernetesObject) => KubernetesObject): void {
  const { bundleKind: kind } = world.driver;
  const { scope } = world;
  const bundle = bundleObject({ kind, namespace: 'payments', scope, server: 'corporate', ca: pem });
  (kind === 'Secret' ? world.secrets : world.configMaps).set(change(bundle));
}

const data = ({ kind }: KubernetesObject, text: string) => ({
  'ca.crt': kind === 'ConfigMap' ? text : Buffer.from(text).toString('base64'),
});

/** The frontend with one of our settings in somebody else's hand, at another value. */
function contested(world: SafeWorld, driver: TerminatorDriver): void {
  const [key = ''] = Object.keys(world.rendered.settings).filter((each) => driver.ownedKeys.includes(each));
  const { annotations, spec } = applied({ [key]: isSpec(key) ? '"theirs"' : 'theirs' });
  if (world.kind === 'Ingress') {
    world.ingress({
      annotations: { ...world.product.annotations, ...world.rendered.settings, ...annotations },
      managers: { argocd: [key] },
    });
  } else world.own({ spec: spec ?? {} });
}

for (const driver of writing) {
  describe(`a host of ${driver.name}`, () => {
    test('the bundle edited by hand, emptied, relabelled or given a key more: written again before anything else', () => {
      for (const change of [
        (bundle: KubernetesObject) => ({ ...bundle, data: data(bundle, otherCa) }),
        (bundle: KubernetesObject) => ({ ...bundle, data: data(bundle, '') }),
        (bundle: KubernetesObject) => ({ ...bundle, data: {} }),
        (bundle: KubernetesObject) => ({ ...bundle, data: { ...data(bundle, pem), 'ca.crl': '' } }),
        (bundle: KubernetesObject) => ({
          ...bundle,
          metadata: { ...bundle.metadata, annotations: { ...bundle.metadata.annotations, [OPT_IN]: 'partners' } },
        }),
      ]) {
        const world = new SafeWorld(driver);
        editedBundle(world, change);
        assert.equal(world.plan(world.key).next?.name, 'writeBundle');
        assert.equal(world.configures(), false);
        assert.notEqual(world.blockedBy(), 'distributed');
      }
    });

    test('the bundle deleted: the same', () => {
      const world = new SafeWorld(driver);
      const name = [...world.bundles.list()][0]?.name ?? '';
      (driver.bundleKind === 'Secret' ? world.secrets : world.configMaps).delete('payments', name);
      assert.equal(world.plan(world.key).next?.name, 'writeBundle');
      assert.notEqual(world.blockedBy(), 'distributed');
    });

    test('another manager on our key: it is named, and what it wrote stays', () => {
      const world = new SafeWorld(driver);
      contested(world, driver);
      assert.equal(world.blockedBy(), 'ConfigurationConflict');
      assert.equal(world.configures(), false);
    });

    test('deleted: said to the clients; made again: configured as the first one was', () => {
      const world = new SafeWorld(driver);
      caches(world).delete('payments', 'api');
      assert.equal(world.blockedBy(), 'TerminatorMissing');
      assert.match(world.plan(world.key).next?.name ?? '', /^delete(Bundle|Companion)$/, 'nothing names them');
      const again = new SafeWorld(driver).plain();
      assert.notEqual(again.blockedBy(), 'distributed');
      assert.equal(again.plan(again.key).next?.name, 'configure', 'what it names is there');
    });

    test('another server on the same host: said to both, and what is there stays', () => {
      const world = new SafeWorld(driver);
      if (world.kind === 'Gateway') return;
      world.server({ name: 'partners', terminators: [{ kind: world.kind, namespace: 'payments', name: 'other' }] });
      if (world.kind === 'Ingress')
        world.ingress({ name: 'other', server: 'partners', annotations: world.product.annotations ?? {} });
      else {
        world.proxies.set({
          metadata: { namespace: 'payments', name: 'other', annotations: { [OPT_IN]: 'partners' } },
          spec: { virtualhost: { fqdn: HOST, tls: { secretName: 'tls' } } },
        });
      }
      assert.equal(world.blockedBy(), 'ScopeConflict');
      assert.equal(world.blockedBy('partners'), 'ScopeConflict');
      assert.equal(world.configures(), false);
    });

    test('the class of another product: that product’s bundle first, and ours is not taken away before', () => {
      const world = new SafeWorld(driver);
      const controller = otherController[world.kind];
      if (controller === undefined || controller === world.product.controller) return;
      world.class({}, controller);
      assert.notEqual(world.blockedBy(), 'distributed');
      const next = world.plan(`${controller}|${world.scope.host}`).next?.name;
      assert.ok(next === 'writeBundle', next);
    });
  });
}

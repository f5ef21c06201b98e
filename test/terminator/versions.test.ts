/** Versions of terminators that are known to be unsafe. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { PRODUCT_VERSION } from '../../src/api/annotations.ts';
import { projectIngressClass } from '../../src/terminator/frontends/class.ts';
import { parseVersion } from '../../src/terminator/version.ts';
import { prefix } from './hazards.ts';
import { driverNamed, products, SafeWorld } from './safe-world.ts';

describe('versions', () => {
  const tooOld = (name: string, version: string, controller = products[name]?.controller ?? '') =>
    driverNamed(name).tooOld?.(parseVersion(version) ?? assert.fail(version), controller);

  test('what docs/terminators.md states as the oldest is the oldest', () => {
    const docs = readFileSync(resolve(import.meta.dirname, '../../docs/terminators.md'), 'utf8').replaceAll(
      /\s+/g,
      ' ',
    );
    for (const [name, below, oldest, said, controller] of [
      ['nginx', '1.11.4', '1.11.5', 'ingress-nginx 1.11.5'],
      ['nginx', '1.12.0', '1.12.1', 'ingress-nginx 1.11.5'],
      ['nginx', '1.12.0-beta.0', '1.15.1', 'ingress-nginx 1.11.5'],
      ['nginx', '3.7.10', '3.7.11', 'Traefik 3.7.11'],
      ['traefik', '3.7.11-rc.1', '3.7.11', 'Traefik 3.7.11'],
      ['traefik', '2.11', '4.0', 'Traefik 3.7.11'],
      ['haproxy', '0.13.17', '0.14.0', 'haproxy-ingress 0.14'],
      ['envoy-gateway', 'v1.7.3', 'v1.8.0', 'Envoy Gateway 1.8'],
      ['gateway-api', '2.5.1', '2.6.0', 'NGINX Gateway Fabric 2.6'],
      ['gateway-api', '2.2.0', '2.3.0', 'kgateway 2.3', 'kgateway.dev/kgateway'],
      ['gateway-api', '1.0', '1.0', undefined, 'networking.gke.io/gateway'],
    ] as const) {
      assert.equal(tooOld(name, oldest, controller), undefined, `${name} ${oldest}`);
      if (said === undefined) continue;
      assert.ok(tooOld(name, below, controller)?.startsWith(said), `${name} ${below}`);
      assert.ok(docs.includes(said), said);
    }
  });

  test('what is no version is none', () => {
    for (const none of ['', 'latest', '1', 'sha256:00', '1.2.3.4', '1.x', '-1.2', `1.${'9'.repeat(7)}`])
      assert.equal(parseVersion(none), undefined, none);
  });

  test('a chart’s label counts where the chart is the product’s, and after the platform’s word', () => {
    const version = (labels: Record<string, string>, annotations: Record<string, string> = {}) =>
      projectIngressClass({ metadata: { name: 'a', labels, annotations }, spec: {} }).version;
    const chart = { 'app.kubernetes.io/name': 'ingress-nginx', 'app.kubernetes.io/version': '1.10.0' };
    assert.equal(version(chart), '1.10.0');
    assert.equal(version(chart, { [PRODUCT_VERSION]: '1.15.1' }), '1.15.1');
    assert.equal(version({ ...chart, 'app.kubernetes.io/name': 'platform-classes' }), undefined);
    assert.equal(version({ ...chart, 'app.kubernetes.io/version': 'latest' }), undefined);
    assert.equal(version({}), undefined);
  });

  test('nothing is begun on an old version; what is there is kept right', () => {
    const old = { [PRODUCT_VERSION]: '1.9.0' };
    const world = new SafeWorld(driverNamed('nginx')).class(old);
    world.ingress({ annotations: { [`${prefix.nginx}/auth-tls-verify-client`]: 'on' }, managers: {} });
    assert.deepEqual(world.said('payments/api', world.key), ['TerminatorOutdated!']);
    assert.equal(world.plan(world.key).next, undefined);
    world.own({ annotations: { [`${prefix.nginx}/auth-tls-verify-client`]: 'optional' } });
    assert.equal(world.plan(world.key).next?.name, 'configure');
    assert.equal(world.blockedBy(), 'TerminatorOutdated');
  });
});

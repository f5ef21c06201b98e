/** While something makes a host less safe than it looks, `TerminatorsReady` is False, and nothing is written that verifies less. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CLIENT_HEADERS_REMOVED } from '../../src/api/annotations.ts';
import { CONTOUR } from '../../src/terminator/drivers/contour.ts';
import { drivers } from '../../src/terminator/registry.ts';
import { all, elsewhere, ofGateways, ofIngresses, prefix, table } from './hazards.ts';
import { driverNamed, SafeWorld } from './safe-world.ts';
import { ingress } from './world.ts';

describe('what is not as safe as it looks', () => {
  for (const driver of drivers) {
    test(`${driver.name}: nothing, where all is as it should be`, () => {
      const world = new SafeWorld(driver);
      assert.deepEqual(world.said('payments/api', world.key), []);
      assert.equal(world.blockedBy(), 'distributed');
      assert.equal(world.configures(), false);
    });
  }

  for (const { drivers: names, hazard, reason, change } of table) {
    for (const driver of drivers.filter(({ name }) => names.includes(name))) {
      test(`${driver.name}: ${hazard}: ${reason}`, () => {
        const world = new SafeWorld(driver);
        change(world);
        assert.equal(world.blockedBy(), reason);
        assert.equal(world.configures(), false, 'what is there stays');
      });
    }
  }

  test('every driver is in the table, and what no row says of it is named', () => {
    const rows = (reason: string) =>
      new Set(table.filter((row) => row.reason === reason).flatMap((row) => row.drivers));
    const without = (reason: string) => all.filter((name) => !rows(reason).has(name));
    // Contour's classes are names that no object describes.
    assert.deepEqual(without('UnknownIngressClass'), ['contour']);
    // Contour has no class to say it; AWS runs one version; what is configured by hand is proved.
    assert.deepEqual(without('TerminatorOutdated'), ['aws-alb', 'contour', 'manual']);
    assert.deepEqual(without('NoTLS'), []);
    // A Gateway decides for all its hosts; an HTTPProxy without one is a part that others include.
    assert.deepEqual(without('NoHost'), ['contour', ...ofGateways]);
    assert.deepEqual(without('BackendExposed'), []);
    // The listener's: the controller merges an IngressGroup. A Gateway is nobody else's. By hand, the live proof says it.
    assert.deepEqual(without('HostShared'), ['aws-alb', ...ofGateways, 'manual']);
    assert.deepEqual(without('PlainHTTP'), ['manual']);
  });
});

test('headers that the platform says it removes expose nobody, and that word is the other class’s', () => {
  const world = new SafeWorld(driverNamed('nginx'))
    .otherClass('example.com/other')
    .other({ ...elsewhere, className: 'internal' });
  assert.equal(world.blockedBy(), 'BackendExposed');
  assert.equal(world.class({ [CLIENT_HEADERS_REMOVED]: 'true' }).blockedBy(), 'BackendExposed');
  assert.equal(
    world.otherClass('example.com/other', { [CLIENT_HEADERS_REMOVED]: 'yes' }).blockedBy(),
    'BackendExposed',
  );
  assert.equal(world.otherClass('example.com/other', { [CLIENT_HEADERS_REMOVED]: 'true' }).blockedBy(), 'distributed');
});

test('an Ingress of Contour is told to be an HTTPProxy', () => {
  const world = new SafeWorld(driverNamed('contour')).ingressClass('contour', CONTOUR);
  world.ingresses.set(ingress({ name: 'web', className: 'contour', hosts: ['web.example.test'] }));
  const [finding] = world.plan(`${CONTOUR}|web.example.test`).findings;
  assert.equal(finding?.reason, 'UnknownIngressClass');
  assert.match(finding?.message ?? '', /by HTTPProxy alone .*not protected/);
});

test('of what a controller serves without client certificates one host is known, for the live proof', () => {
  const lax = (world: SafeWorld) => world.views.proofSubject(world.scope, world.now)?.laxHost;
  for (const name of ofIngresses) {
    const world = new SafeWorld(driverNamed(name));
    assert.equal(lax(world), undefined, name);
    world.other({ name: 'plain', service: 'web', hosts: ['plain.example.test'], tls: [] });
    world
      .otherClass('example.com/other')
      .other({ name: 'foreign', service: 'web', hosts: ['b.test'], className: 'internal' });
    world.other({
      name: 'theirs',
      service: 'web',
      hosts: ['c.test'],
      annotations: { [`${prefix.nginx}/auth-tls-secret`]: 'a/b' },
    });
    assert.equal(lax(world), undefined, name);
    world.other({ service: 'web', hosts: ['www.example.test'] });
    assert.equal(lax(world), 'www.example.test', name);
  }
  const gateway = new SafeWorld(driverNamed('gateway-api'));
  assert.deepEqual(gateway.views.proofSubject(gateway.scope, gateway.now)?.hosts, ['payments/api/*']);
  assert.equal(lax(gateway), undefined);
  const listeners = [{ name: 'a', protocol: 'HTTPS', port: 443, hostname: 'www.example.test' }];
  gateway.gateways.set({
    metadata: { namespace: 'web', name: 'www' },
    spec: { gatewayClassName: 'nginx', listeners },
  });
  assert.equal(lax(gateway), 'web/www/www.example.test');
});

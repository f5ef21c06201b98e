/** HTTPRoutes, GRPCRoutes and IngressRoutes: what they send requests to, whom that exposes, and who has to look again. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { CLIENT_HEADERS_REMOVED } from '../../src/api/annotations.ts';
import { frontendValidation } from '../../src/terminator/drivers/gateway-api.ts';
import { TRAEFIK } from '../../src/terminator/drivers/traefik.ts';
import { applied } from '../../src/terminator/frontends/settings.ts';
import { isNews } from '../../src/terminator/routes/route.ts';
import { routeProjections } from '../../src/terminator/routes/route-projections.ts';
import { httpAndHttps, ofGateways, ofHosts } from './hazards.ts';
import { driverNamed, SafeWorld } from './safe-world.ts';
import { gatewayRoute, ingressRoute, type RouteRequest } from './world.ts';

const ENVOY_GATEWAY = 'gateway.envoyproxy.io/gatewayclass-controller';
const removed = { [CLIENT_HEADERS_REMOVED]: 'true' };
const withVersion = (object: ReturnType<typeof gatewayRoute>, resourceVersion: string) => ({
  ...object,
  metadata: { ...object.metadata, uid: 'uid', resourceVersion },
});
const httpRoute = (request: Parameters<typeof gatewayRoute>[0], resourceVersion = '1') =>
  routeProjections.HTTPRoute(withVersion(gatewayRoute(request), resourceVersion));

describe('a route', () => {
  test('of the Gateway API: its Gateways alone, and Services of each rule once, mirrors too', () => {
    const services = [{ name: 'web' }, { name: 'api' }, { name: 'api' }];
    assert.deepEqual(httpRoute({ services, mirrors: [{ name: 'shadow' }], conditions: ['Accepted'] }), {
      kind: 'HTTPRoute',
      namespace: 'payments',
      name: 'api',
      parents: [{ kind: 'Gateway', gateway: 'edge/public', section: undefined, port: undefined, accepted: true }],
      hostnames: [],
      services: ['payments/api', 'payments/shadow', 'payments/web'],
    });
  });

  test('of the Gateway API: Services of other namespaces once all references are resolved where it is accepted', () => {
    const services = [{ name: 'api', namespace: 'identity' }, { name: 'web' }];
    const of = (...conditions: string[]) => httpRoute({ services, conditions }).services;
    assert.deepEqual(of('Accepted', 'ResolvedRefs'), ['identity/api', 'payments/web']);
    assert.deepEqual(of('Accepted'), ['payments/web']);
    assert.deepEqual(of('ResolvedRefs'), ['payments/web']);
    assert.deepEqual(of(), ['payments/web']);
  });

  test('of the Gateway API, without namespaces and status: in its own', () => {
    const metadata = { namespace: 'payments', name: 'api', uid: 'uid', resourceVersion: '1' };
    const rules = [
      {
        backendRefs: [
          { name: 'api', kind: 'Service' },
          { name: 'x', group: 'example.com', kind: 'Bucket' },
        ],
      },
    ];
    assert.deepEqual(routeProjections.GRPCRoute({ metadata, spec: { parentRefs: [{ name: 'public' }], rules } }), {
      kind: 'GRPCRoute',
      namespace: 'payments',
      name: 'api',
      parents: [{ kind: 'Gateway', gateway: 'payments/public', section: undefined, port: undefined, accepted: false }],
      hostnames: [],
      services: ['payments/api'],
    });
    assert.deepEqual(routeProjections.HTTPRoute({ metadata }).services, []);
  });

  test('of the Gateway API, on what stands for a Gateway: it is not looked at, and may be of any class', () => {
    const object = gatewayRoute({});
    const parentRefs = [{ kind: 'ListenerSet', name: 'team' }];
    const onListenerSet = { ...object, spec: { ...Object(object['spec']), parentRefs } };
    const { parents } = routeProjections.HTTPRoute(withVersion(onListenerSet, '1'));
    assert.deepEqual(parents, [{ kind: 'Unknown', name: 'ListenerSet payments/team' }]);
    const world = new SafeWorld(driverNamed('nginx'));
    world.routeCaches.HTTPRoute.set(onListenerSet);
    assert.equal(world.blockedBy(), 'BackendExposed');
    assert.equal(world.gatewayClass('a', 'example.com/edge', removed).blockedBy(), 'distributed');
    assert.equal(world.gatewayClass('b', 'example.com/b').blockedBy(), 'BackendExposed');
  });

  test('of Traefik: Services of its own namespace', () => {
    const services = [{ name: 'api', namespace: 'payments' }, { name: 'api', namespace: 'identity' }, { name: 'web' }];
    const weighted = { name: 'weighted', kind: 'TraefikService' };
    const object = withVersion(ingressRoute([...services, weighted], { className: 'edge' }), '1');
    assert.deepEqual(routeProjections.IngressRoute(object), {
      kind: 'IngressRoute',
      namespace: 'payments',
      name: 'api',
      parents: [{ kind: 'IngressClass', className: 'edge' }],
      hostnames: [],
      services: ['payments/api', 'payments/web'],
    });
  });

  test('is news only where something of this has changed', () => {
    const before = httpRoute({ conditions: ['Accepted'] });
    assert.equal(
      isNews({ previous: before, current: httpRoute({ conditions: ['Accepted', 'Programmed'] }, '2') }),
      false,
    );
    assert.equal(isNews({ previous: before, current: httpRoute({}) }), true);
    assert.equal(isNews({ current: before }), true);
    assert.equal(isNews({ previous: before }), true);
  });
});

describe('a route exposes nobody', () => {
  const unexposed = (driver: string, change: (world: SafeWorld) => SafeWorld) => {
    const world = new SafeWorld(driverNamed(driver));
    assert.deepEqual(change(world).said('payments/api', world.key), [], driver);
    assert.equal(world.blockedBy(), 'distributed', driver);
  };

  test('by the Gateway that has opted in itself, before it is configured too', () => {
    for (const driver of ofGateways) {
      unexposed(driver, (world) => world.behind());
      const plain = new SafeWorld(driverNamed(driver)).behind().plain();
      assert.deepEqual(plain.said('payments/api', plain.key), [], driver);
    }
  });

  test('by another Gateway where nobody gets in without a certificate either', () => {
    const settings = frontendValidation({ bundle: { namespace: 'edge', name: 'theirs' } });
    unexposed('gateway-api', (world) => {
      world.behind().otherGateway(world.product.controller).route('HTTPRoute');
      const listeners = [{ name: 'https', protocol: 'HTTPS', port: 443 }];
      const spec = { gatewayClassName: 'other', listeners, ...applied(settings).spec };
      assert.equal(world.blockedBy(), 'BackendExposed');
      world.gateways.set({ metadata: { namespace: 'edge', name: 'public' }, spec });
      return world;
    });
  });

  test('behind a Gateway that did not accept it, whatever else reaches the Service', () => {
    for (const driver of ofGateways) {
      unexposed(driver, (world) =>
        world
          .route('HTTPRoute', { gateway: 'payments/api' })
          .ingressClass('internal', 'k8s.io/ingress-nginx')
          .other({ className: 'internal' }),
      );
    }
  });

  test('by a product that strips the same header everywhere', () => {
    unexposed('contour', (world) => world.otherGateway(ENVOY_GATEWAY).route('HTTPRoute'));
    unexposed('envoy-gateway', (world) => world.behind().otherGateway(ENVOY_GATEWAY).route('HTTPRoute'));
    unexposed('traefik', (world) => world.ingressRoute());
  });

  test('by Gateways of a class on which the platform removes these headers', () => {
    for (const driver of ofHosts) {
      unexposed(driver, (world) => world.otherGateway('example.com/edge', removed).route('HTTPRoute'));
    }
  });

  test('by Gateways that are not looked at, where all classes do so', () => {
    unexposed('nginx', (world) => world.gatewayClass('a', 'example.com/edge', removed).route('HTTPRoute'));
    const world = new SafeWorld(driverNamed('nginx')).gatewayClass('a', 'example.com/a', removed).route('HTTPRoute');
    assert.equal(world.blockedBy(), 'distributed');
    assert.equal(world.gatewayClass('b', 'example.com/b').blockedBy(), 'BackendExposed');
  });

  test('by Traefik, where its class does so', () => {
    unexposed('nginx', (world) => world.ingressClass('edge', TRAEFIK, false, removed).ingressRoute());
    unexposed('nginx', (world) =>
      world
        .ingressClass('edge', 'example.com/traefik', false, removed)
        .ingressRoute([{ name: 'api' }], { className: 'edge' }),
    );
    const world = new SafeWorld(driverNamed('nginx')).ingressClass('edge', TRAEFIK, false, removed);
    assert.equal(world.ingressRoute([{ name: 'api' }], { className: 'other' }).blockedBy(), 'BackendExposed');
    assert.equal(world.ingressRoute().ingressClass('second', TRAEFIK).blockedBy(), 'BackendExposed');
  });

  test('of another namespace that nobody has let reach the Service', () => {
    const services = [{ name: 'api', namespace: 'payments' }];
    unexposed('nginx', (world) => world.route('HTTPRoute', { namespace: 'edge', services }));
    unexposed('nginx', (world) => world.ingressRoute(services, { namespace: 'edge' }));
  });
});

describe('a route on a listener of plain HTTP too', () => {
  const said = (http: Record<string, unknown>, route: RouteRequest, beside: RouteRequest = {}) => {
    const world = new SafeWorld(driverNamed('envoy-gateway'));
    world.own({ spec: { listeners: httpAndHttps(http) } });
    return world
      .behind(route)
      .behind({ name: 'beside', services: [{ name: 'web' }], sectionName: 'https', ...beside })
      .said('payments/api', world.key);
  };
  const hostnames = ['api.example.test'];

  for (const { title, http = {}, route = {}, beside } of [
    { title: 'by none of its names' },
    {
      title: 'by name and port',
      http: { port: 8080 },
      route: { sectionName: 'http', port: 8080 },
      beside: { services: [{ name: 'api' }] },
    },
    { title: 'for a name below a wildcard', http: { hostname: '*.example.test' }, route: { hostnames } },
    {
      title: 'for a wildcard above its name',
      http: { hostname: 'API.example.test' },
      route: { hostnames: ['*.example.test'] },
    },
    { title: 'for any name', http: { hostname: 'api.example.test' } },
    {
      title: 'that takes routes of all namespaces',
      http: { allowedRoutes: { namespaces: { from: 'All' } } },
      route: { namespace: 'shop' },
      beside: { services: [{ name: 'api', namespace: 'shop' }] },
    },
  ] satisfies { title: string; http?: Record<string, unknown>; route?: RouteRequest; beside?: RouteRequest }[]) {
    test(`${title}: PlainHTTP`, () => assert.deepEqual(said(http, route, beside), ['PlainHTTP']));
  }

  for (const { title, http = {}, route = {}, beside } of [
    { title: 'on the other listener alone', route: { sectionName: 'https' } },
    { title: 'on the other port alone', route: { port: 443 } },
    { title: 'on that of HTTP alone: nothing of it is behind client certificates', route: { sectionName: 'http' } },
    { title: 'for another name', http: { hostname: 'www.example.test' }, route: { hostnames } },
    { title: 'for another domain', http: { hostname: '*.example.com' }, route: { hostnames } },
    { title: 'that takes no routes', http: { allowedRoutes: { namespaces: { from: 'None' } } } },
    { title: 'that it was not accepted at', route: { conditions: [] } },
    { title: 'of another namespace, which it does not take', route: { namespace: 'shop' } },
    { title: 'that redirects', route: { sectionName: 'https' }, beside: { sectionName: 'http', services: [] } },
  ] satisfies { title: string; http?: Record<string, unknown>; route?: RouteRequest; beside?: RouteRequest }[]) {
    test(`${title}: nothing`, () => assert.deepEqual(said(http, route, beside), []));
  }
});

test('what is said names the way, of another namespace that there is one', () => {
  const world = new SafeWorld(driverNamed('nginx')).route('HTTPRoute', { name: 'web' }).ingressRoute();
  const message = () => world.plan(world.key).findings.find(({ reason }) => reason === 'BackendExposed')?.message ?? '';
  assert.match(
    message(),
    /Service api is also reached through Gateway edge\/public \(HTTPRoute web\), Traefik \(IngressRoute api\), where/,
  );
  const services = [{ name: 'api', namespace: 'payments' }];
  world.routeCaches.IngressRoute.delete('payments', 'api');
  world.routeCaches.HTTPRoute.delete('payments', 'web');
  assert.equal(world.blockedBy(), 'distributed');
  world.route('HTTPRoute', { namespace: 'edge', name: 'secret', services, conditions: ['Accepted', 'ResolvedRefs'] });
  assert.match(message(), /through an HTTPRoute in another namespace, where/);
  assert.doesNotMatch(message(), /secret|edge/);
});

describe('a change concerns', () => {
  const route = { name: 'web' };
  const affected = (world: SafeWorld) => {
    const found = world.routes.get('HTTPRoute', 'payments', 'web') ?? assert.fail();
    const { affected: scopes } = world.views;
    assert.deepEqual(scopes.serversOfRoute(found), ['corporate']);
    return scopes.byRoute(found);
  };

  test('of a route: who it leads around', () => {
    const world = new SafeWorld(driverNamed('nginx')).route('HTTPRoute', route);
    assert.deepEqual(affected(world), [world.key]);
  });

  test('of a route: the Gateway that it hangs on, and those whose Services it reaches', () => {
    const own = new SafeWorld(driverNamed('envoy-gateway'));
    assert.deepEqual(affected(own.route('HTTPRoute', { ...route, gateway: 'payments/api' })), [own.key]);
    const other = new SafeWorld(driverNamed('envoy-gateway')).behind().route('HTTPRoute', route);
    assert.deepEqual(affected(other), [other.key]);
  });

  test('of a route that is gone: the Gateway that it hung on', () => {
    const world = new SafeWorld(driverNamed('envoy-gateway')).route('HTTPRoute', { ...route, gateway: 'payments/api' });
    const gone = world.routes.get('HTTPRoute', 'payments', 'web') ?? assert.fail();
    world.routeCaches.HTTPRoute.delete('payments', 'web');
    assert.deepEqual(world.views.affected.byRoute(gone), [world.key]);
  });

  test('of a Gateway, of a class: who its routes lead around', () => {
    const world = new SafeWorld(driverNamed('nginx')).otherGateway('example.com/edge').route('HTTPRoute', route);
    const gateway = world.frontends.get('Gateway', 'edge', 'public') ?? assert.fail();
    assert.deepEqual(world.views.affected.byFrontend(gateway), [world.key]);
    assert.deepEqual(world.views.affected.serversOf(gateway), ['corporate']);
    assert.deepEqual(world.views.affected.byClass('other'), [world.key]);
    assert.deepEqual(world.views.affected.serversOfClass('other'), ['corporate']);
    assert.deepEqual(world.views.affected.byClass('third'), []);
    world.gateways.delete('edge', 'public');
    assert.deepEqual(
      world.views.affected.byClass('third'),
      [world.key],
      'a Gateway that is not looked at may be of any',
    );
  });

  test('of a class of Ingresses: who an IngressRoute leads around', () => {
    const world = new SafeWorld(driverNamed('nginx')).ingressRoute();
    assert.deepEqual(world.views.affected.byClass('edge'), [world.key]);
  });
});

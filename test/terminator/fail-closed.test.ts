/**
 * Every driver and every way in which a host is not what its owner thinks it is: each has a reason, and while it is there
 * `TerminatorsReady` is False for the server's clients, and nothing is written that verifies less.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import {
  CLIENT_CERTIFICATES,
  CLIENT_HEADERS_REMOVED,
  OPT_IN,
  PRODUCT_VERSION,
  SESSIONS_ISOLATED,
  TRUST_STORE,
  TRUST_STORE_SHA256,
} from '../../src/api/annotations.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { bundleName, bundleObject } from '../../src/terminator/bundle.ts';
import { companionObject } from '../../src/terminator/companion.ts';
import { projectIngressClass } from '../../src/terminator/class.ts';
import { CONTOUR } from '../../src/terminator/contour.ts';
import { distribution } from '../../src/terminator/distribution.ts';
import type { FrontendKind, TerminatorDriver } from '../../src/terminator/driver.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { drivers } from '../../src/terminator/registry.ts';
import { applied } from '../../src/terminator/settings.ts';
import { UNPROVED } from '../../src/terminator/proof/verdict.ts';
import { parseVersion } from '../../src/terminator/version.ts';
import { caBundle } from '../../src/x509/bundle.ts';
import { createHash } from 'node:crypto';
import { corporateCa, HOST, ingress, type IngressRequest, World } from './world.ts';

const pem = caBundle([corporateCa]).pem;
const GATEWAY = 'payments/api';

interface Product {
  controller: string;
  classAnnotations?: Record<string, string>;
  /** What the owner writes. */
  annotations?: Record<string, string>;
}

const products: Readonly<Record<string, Product>> = {
  nginx: { controller: 'k8s.io/ingress-nginx' },
  traefik: { controller: 'traefik.io/ingress-controller' },
  haproxy: { controller: 'haproxy-ingress.github.io/controller', classAnnotations: { [SESSIONS_ISOLATED]: 'true' } },
  'aws-alb': {
    controller: 'ingress.k8s.aws/alb',
    annotations: {
      [TRUST_STORE]: 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:truststore/clients/0123456789abcdef',
      [TRUST_STORE_SHA256]: createHash('sha256').update(pem).digest('hex'),
      'alb.ingress.kubernetes.io/listen-ports': '[{"HTTPS": 443}]',
    },
  },
  contour: { controller: CONTOUR },
  'gateway-api': { controller: 'gateway.nginx.org/nginx-gateway-controller' },
  'envoy-gateway': { controller: 'gateway.envoyproxy.io/gatewayclass-controller' },
  manual: { controller: 'istio.io/ingress-controller' },
};

type Changes = Omit<IngressRequest, 'annotations' | 'managers'> & {
  annotations?: Record<string, string>;
  /** Of an HTTPProxy's or a Gateway's spec, on top of it. */
  spec?: Record<string, unknown>;
};

/** Everything is as it should be: configured, proved, listed; the tests take one thing away. */
class SafeWorld extends World {
  override readonly drivers: ReadonlySet<string> = new Set(drivers.map(({ name }) => name));
  readonly driver: TerminatorDriver;
  readonly product: Product;
  readonly kind: FrontendKind;

  constructor(driver: TerminatorDriver) {
    super();
    this.driver = driver;
    this.product = products[driver.name] ?? assert.fail(driver.name);
    this.kind = driver.frontend;
    if (driver.name === 'manual') this.manualControllers.add(this.product.controller);
    this.class(this.product.classAnnotations);
    this.server({ terminators: [{ kind: this.kind, namespace: 'payments', name: 'api' }] });
    this.issuer('corporate-clients', corporateCa);
    const { scope } = this;
    const bundle = bundleObject({
      kind: driver.bundleKind,
      namespace: 'payments',
      scope,
      server: 'corporate',
      ca: pem,
    });
    (driver.bundleKind === 'Secret' ? this.secrets : this.configMaps).set(bundle);
    for (const companion of this.rendered.companions) {
      const object = companionObject(companion, { namespace: 'payments', scope, server: 'corporate' });
      this.companionCaches.get(companion.resource.kind)?.set(object);
    }
    this.memory.proofs.set(scope.controller, scope.host, { ...UNPROVED, passes: 2, passedAt: this.now });
    this.own();
  }

  get scope() {
    return { controller: this.product.controller, host: this.kind === 'Gateway' ? GATEWAY : HOST };
  }

  get key(): string {
    return `${this.scope.controller}|${this.scope.host}`;
  }

  get rendered() {
    return this.driver.render({
      bundle: { namespace: 'payments', name: bundleName(this.scope) },
      frontend: { namespace: 'payments', name: 'api', settings: this.product.annotations ?? {} },
      mode: 'required',
      depth: 1,
      classAnnotations: this.product.classAnnotations ?? {},
    });
  }

  class(annotations: Record<string, string> = {}, controller = this.product.controller): this {
    if (this.kind === 'Gateway') {
      this.gatewayClasses.set({ metadata: { name: 'nginx', annotations }, spec: { controllerName: controller } });
      return this;
    }
    return this.ingressClass('nginx', controller, false, annotations);
  }

  /** The frontend that is listed, with what the operator wrote. */
  own({ spec = {}, ...changes }: Changes = {}): this {
    const { settings } = this.rendered;
    const annotations = { ...this.product.annotations, ...applied(settings).annotations, ...changes.annotations };
    if (this.kind === 'Ingress') {
      return this.ingress({ ...changes, annotations, managers: { [FIELD_MANAGER]: this.driver.ownedKeys } });
    }
    const metadata = {
      namespace: 'payments',
      name: 'api',
      annotations: {
        [OPT_IN]: 'corporate',
        [CLIENT_CERTIFICATES]: changes.clientCertificates ?? 'required',
        ...annotations,
      },
    };
    const object: KubernetesObject = { metadata, spec: merged(this.#plain(), applied(settings).spec ?? {}, spec) };
    (this.kind === 'Gateway' ? this.gateways : this.proxies).set(object);
    return this;
  }

  #plain(): Record<string, unknown> {
    return this.kind === 'Gateway'
      ? { gatewayClassName: 'nginx', listeners: [{ name: 'https', protocol: 'HTTPS', port: 443 }] }
      : {
          virtualhost: { fqdn: HOST, tls: { secretName: 'tls' } },
          routes: [{ services: [{ name: 'api', port: 80 }] }],
        };
  }

  /** Somebody's Ingress, of the same class unless said otherwise; not opted in. */
  other(request: IngressRequest): this {
    return this.ingress({ name: 'other', server: '-', ...request });
  }

  otherClass(controller: string, annotations: Record<string, string> = {}): this {
    return this.ingressClass('internal', controller, false, annotations);
  }

  blockedBy(): string {
    const server = this.servers.get(undefined, 'corporate') ?? assert.fail();
    const verdict = distribution({ server, caSha256: undefined, terminators: this.views.of(server, this.now) });
    return verdict.state === 'blocked' ? verdict.reason : verdict.state;
  }

  /** What is written of settings, in whatever scope the frontend is now. */
  configures(): boolean {
    const found = this.frontends.get(this.kind, 'payments', 'api') ?? assert.fail();
    const keys = this.views.affected.byFrontend(found);
    return keys.some((key) =>
      ['configure', 'withdraw', 'deleteBundle', 'deleteCompanion'].includes(this.plan(key).next?.name ?? ''),
    );
  }
}

function merged(...specs: readonly Record<string, unknown>[]): Record<string, unknown> {
  const isTree = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null && !Array.isArray(value);
  const all: Record<string, unknown> = {};
  for (const spec of specs) {
    for (const [key, value] of Object.entries(spec)) {
      const before = all[key];
      all[key] = isTree(before) && isTree(value) ? merged(before, value) : value;
    }
  }
  return all;
}

interface Row {
  drivers: readonly string[];
  hazard: string;
  reason: string;
  change: (world: SafeWorld) => unknown;
}

const all = drivers.map(({ name }) => name);
const ofIngresses = drivers.filter(({ frontend }) => frontend === 'Ingress').map(({ name }) => name);
const ofGateways = ['gateway-api', 'envoy-gateway'];
const prefix = {
  nginx: 'nginx.ingress.kubernetes.io',
  haproxy: 'haproxy-ingress.github.io',
  traefik: 'traefik.ingress.kubernetes.io',
} as const;
const elsewhere = { hosts: ['www.example.test'] };

const table: readonly Row[] = [
  {
    drivers: [...ofIngresses, ...ofGateways],
    hazard: 'an unknown class',
    reason: 'UnknownIngressClass',
    change: (world) => world.class({}, 'example.com/unheard-of'),
  },
  {
    drivers: ['nginx', 'traefik', 'haproxy', ...ofGateways],
    hazard: 'a version that is known to be unsafe',
    reason: 'TerminatorOutdated',
    change: (world) => world.class({ ...world.product.classAnnotations, [PRODUCT_VERSION]: 'v0.13.9' }),
  },
  {
    drivers: ['nginx', 'traefik', 'haproxy', ...ofGateways],
    hazard: 'a version that cannot be read',
    reason: 'TerminatorOutdated',
    change: (world) => world.class({ ...world.product.classAnnotations, [PRODUCT_VERSION]: 'latest' }),
  },
  {
    drivers: all.filter((name) => name !== 'manual'),
    hazard: 'a driver that is switched off',
    reason: 'TerminatorSwitchedOff',
    change: (world) => Reflect.set(world, 'drivers', new Set()),
  },
  {
    drivers: ofIngresses,
    hazard: 'no TLS on the host',
    reason: 'NoTLS',
    change: (world) => world.own({ tls: [] }),
  },
  {
    drivers: ['contour'],
    hazard: 'no TLS on the host',
    reason: 'NoTLS',
    change: (world) => world.own({ spec: { virtualhost: { tls: { secretName: '' } } } }),
  },
  {
    drivers: ['contour'],
    hazard: 'TLS that ends at the backend',
    reason: 'NoTLS',
    change: (world) => world.own({ spec: { virtualhost: { tls: { passthrough: true } } } }),
  },
  {
    drivers: ofGateways,
    hazard: 'no TLS on the host',
    reason: 'NoTLS',
    change: (world) => world.own({ spec: { listeners: [{ name: 'http', protocol: 'HTTP', port: 80 }] } }),
  },
  {
    drivers: ofIngresses,
    hazard: 'client authentication on the default server',
    reason: 'NoHost',
    change: (world) => world.own({ hosts: [HOST, ''], tls: [HOST] }),
  },
  {
    drivers: ofIngresses.filter((name) => name !== 'traefik' && name !== 'haproxy'),
    hazard: 'another host of the class before the same Service',
    reason: 'BackendExposed',
    change: (world) => world.other(elsewhere),
  },
  {
    drivers: ofIngresses.filter((name) => name !== 'traefik' && name !== 'haproxy'),
    hazard: 'the default server of the class before the same Service',
    reason: 'BackendExposed',
    change: (world) => world.other({ hosts: [''] }),
  },
  {
    drivers: [...ofIngresses, 'contour'],
    hazard: 'an Ingress of an unknown class before the same Service',
    reason: 'BackendExposed',
    change: (world) => world.otherClass('example.com/other').other({ ...elsewhere, className: 'internal' }),
  },
  {
    drivers: [...ofIngresses.filter((name) => name !== 'haproxy'), 'contour'],
    hazard: 'a product before the same Service that strips its own header alone',
    reason: 'BackendExposed',
    change: (world) =>
      world.otherClass('haproxy-ingress.github.io/controller').other({ ...elsewhere, className: 'internal' }),
  },
  {
    drivers: ofIngresses.filter((name) => name !== 'aws-alb'),
    hazard: 'an HTTPProxy before the same Service',
    reason: 'BackendExposed',
    change: (world) =>
      world.proxies.set({
        metadata: { namespace: 'payments', name: 'other' },
        spec: { virtualhost: { fqdn: 'www.example.test' }, routes: [{ services: [{ name: 'api', port: 80 }] }] },
      }),
  },
  {
    drivers: ['nginx'],
    hazard: 'another Ingress with CAs of its own on the host',
    reason: 'HostShared',
    change: (world) =>
      world.other({ service: 'web', annotations: { [`${prefix.nginx}/auth-tls-secret`]: 'payments/theirs' } }),
  },
  {
    drivers: ['haproxy'],
    hazard: 'another Ingress with CAs of its own on the host',
    reason: 'HostShared',
    change: (world) =>
      world.other({ service: 'web', annotations: { [`${prefix.haproxy}/auth-tls-secret`]: 'payments/theirs' } }),
  },
  {
    drivers: ['nginx'],
    hazard: 'another Ingress on the host with our CAs, that asks nobody',
    reason: 'HostShared',
    change: (world) =>
      world.other({
        service: 'web',
        annotations: { ...world.rendered.settings, [`${prefix.nginx}/auth-tls-verify-client`]: 'off' },
      }),
  },
  {
    drivers: ['traefik'],
    hazard: 'another Ingress on the host without the options',
    reason: 'HostShared',
    change: (world) => world.other({ service: 'web' }),
  },
  {
    drivers: ['contour'],
    hazard: 'an Ingress on the host, which is served when the HTTPProxy is not',
    reason: 'HostShared',
    change: (world) => world.ingressClass('contour', CONTOUR).other({ className: 'contour', service: 'web' }),
  },
  {
    drivers: ['contour'],
    hazard: 'the same, opted in',
    reason: 'HostShared',
    change: (world) =>
      world.ingressClass('contour', CONTOUR).other({ className: 'contour', service: 'web', server: 'corporate' }),
  },
  {
    drivers: ['nginx', 'haproxy'],
    hazard: 'plain HTTP',
    reason: 'PlainHTTP',
    change: (world) =>
      world.own({
        annotations: { [`${prefix[world.driver.name === 'nginx' ? 'nginx' : 'haproxy']}/ssl-redirect`]: 'false' },
      }),
  },
  {
    drivers: ['traefik'],
    hazard: 'plain HTTP',
    reason: 'PlainHTTP',
    change: (world) => world.own({ annotations: { [`${prefix.traefik}/router.tls`]: 'false' } }),
  },
  {
    drivers: ['aws-alb'],
    hazard: 'plain HTTP',
    reason: 'PlainHTTP',
    change: (world) =>
      world.own({ annotations: { 'alb.ingress.kubernetes.io/listen-ports': '[{"HTTP": 80}, {"HTTPS": 443}]' } }),
  },
  {
    drivers: ['contour'],
    hazard: 'plain HTTP',
    reason: 'PlainHTTP',
    change: (world) =>
      world.own({ spec: { routes: [{ permitInsecure: true, services: [{ name: 'api', port: 80 }] }] } }),
  },
  {
    drivers: ['nginx', 'haproxy'],
    hazard: 'TLS that ends at the backend',
    reason: 'TLSPassthrough',
    change: (world) =>
      world.own({
        annotations: { [`${prefix[world.driver.name === 'nginx' ? 'nginx' : 'haproxy']}/ssl-passthrough`]: 'true' },
      }),
  },
  {
    drivers: ['nginx'],
    hazard: 'a snippet about client certificates',
    reason: 'VerificationOverridden',
    change: (world) =>
      world.own({ annotations: { [`${prefix.nginx}/server-snippet`]: 'ssl_verify_client optional_no_ca;' } }),
  },
  {
    drivers: ['haproxy'],
    hazard: 'options about client certificates',
    reason: 'VerificationOverridden',
    change: (world) => world.own({ annotations: { [`${prefix.haproxy}/ssl-options-host`]: 'verify none' } }),
  },
  {
    drivers: ['haproxy'],
    hazard: 'other names of the host',
    reason: 'HostAlias',
    change: (world) => world.own({ annotations: { [`${prefix.haproxy}/server-alias`]: 'www.example.test' } }),
  },
  {
    drivers: ['haproxy'],
    hazard: 'sessions that are resumed on other hosts',
    reason: 'TerminatorNotPrepared',
    change: (world) => world.class(),
  },
  {
    drivers: ['aws-alb'],
    hazard: 'a trust store with other contents',
    reason: 'TrustStoreOutdated',
    change: (world) => world.own({ annotations: { [TRUST_STORE_SHA256]: '0'.repeat(64) } }),
  },
  {
    drivers: ['gateway-api'],
    hazard: 'a port with validation of its own',
    reason: 'VerificationOverridden',
    change: (world) => world.own({ spec: { tls: { frontend: { perPort: [{ port: 443, tls: {} }] } } } }),
  },
  {
    drivers: ['gateway-api', 'aws-alb'],
    hazard: 'a mode that the product does not know',
    reason: 'ModeUnsupported',
    change: (world) => world.own({ clientCertificates: 'optional' }),
  },
  {
    drivers: ['manual'],
    hazard: 'nobody has shown that it verifies',
    reason: 'TerminatorNotProved',
    change: (world) => world.memory.proofs.forget(world.scope.controller, world.scope.host),
  },
];

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
    // What is behind a Gateway, routes say, which are not looked at.
    assert.deepEqual(without('BackendExposed'), ofGateways);
    // The listener's: the controller merges an IngressGroup. A Gateway is nobody else's. By hand, the live proof says it.
    assert.deepEqual(without('HostShared'), ['aws-alb', ...ofGateways, 'manual']);
    // An HTTP listener of a Gateway has routes of its own.
    assert.deepEqual(without('PlainHTTP'), [...ofGateways, 'manual']);
  });
});

test('headers that the platform says it removes expose nobody, and that word is the other class’s', () => {
  const nginx = drivers.find(({ name }) => name === 'nginx') ?? assert.fail();
  const world = new SafeWorld(nginx).otherClass('example.com/other').other({ ...elsewhere, className: 'internal' });
  assert.equal(world.blockedBy(), 'BackendExposed');
  assert.equal(world.class({ [CLIENT_HEADERS_REMOVED]: 'true' }).blockedBy(), 'BackendExposed');
  assert.equal(
    world.otherClass('example.com/other', { [CLIENT_HEADERS_REMOVED]: 'yes' }).blockedBy(),
    'BackendExposed',
  );
  assert.equal(world.otherClass('example.com/other', { [CLIENT_HEADERS_REMOVED]: 'true' }).blockedBy(), 'distributed');
});

test('an Ingress of Contour is told to be an HTTPProxy', () => {
  const contour = drivers.find(({ name }) => name === 'contour') ?? assert.fail();
  const world = new SafeWorld(contour).ingressClass('contour', CONTOUR);
  world.ingresses.set(ingress({ name: 'web', className: 'contour', hosts: ['web.example.test'] }));
  const [finding] = world.plan(`${CONTOUR}|web.example.test`).findings;
  assert.equal(finding?.reason, 'UnknownIngressClass');
  assert.match(finding?.message ?? '', /by HTTPProxy alone .*not protected/);
});

test('of what a controller serves without client certificates one host is known, for the live proof', () => {
  const driverNamed = (name: string) => drivers.find((driver) => driver.name === name) ?? assert.fail();
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

describe('versions', () => {
  const driverNamed = (name: string) => drivers.find((driver) => driver.name === name) ?? assert.fail();
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

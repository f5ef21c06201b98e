/** Of each driver a frontend that is listed and in every way as it should be; tests take one thing away. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  CLIENT_CERTIFICATES,
  OPT_IN,
  SESSIONS_ISOLATED,
  TRUST_STORE,
  TRUST_STORE_SHA256,
} from '../../src/api/annotations.ts';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import { bundleName, bundleObject } from '../../src/terminator/bundle.ts';
import { companionObject } from '../../src/terminator/companion.ts';
import { CONTOUR } from '../../src/terminator/drivers/contour.ts';
import { distribution } from '../../src/terminator/distribution.ts';
import type { FrontendKind, TerminatorDriver } from '../../src/terminator/driver.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { UNPROVED } from '../../src/terminator/proof/verdict.ts';
import { drivers } from '../../src/terminator/registry.ts';
import { applied } from '../../src/terminator/frontends/settings.ts';
import { caBundle } from '../../src/x509/bundle.ts';
import { corporateCa, HOST, type IngressRequest, type RouteRequest, World } from './world.ts';

export const driverNamed = (name: string): TerminatorDriver =>
  drivers.find((driver) => driver.name === name) ?? assert.fail(name);

export const pem = caBundle([corporateCa]).pem;
const GATEWAY = 'payments/api';

interface Product {
  controller: string;
  classAnnotations?: Record<string, string>;
  /** What the owner writes. */
  annotations?: Record<string, string>;
}

export const products: Readonly<Record<string, Product>> = {
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

export type Changes = Omit<IngressRequest, 'annotations' | 'managers'> & {
  annotations?: Record<string, string>;
  /** Of an HTTPProxy's or a Gateway's spec, on top of it. */
  spec?: Record<string, unknown>;
};

/** Everything is as it should be: configured, proved, listed; the tests take one thing away. */
export class SafeWorld extends World {
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
      return this.gatewayClass('nginx', controller, annotations);
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

  /** A Gateway besides, of a class of its own, that nobody has opted in. */
  otherGateway(controller: string, annotations: Record<string, string> = {}): this {
    this.gatewayClass('other', controller, annotations);
    const listeners = [{ name: 'https', protocol: 'HTTPS', port: 443 }];
    this.gateways.set({
      metadata: { namespace: 'edge', name: 'public' },
      spec: { gatewayClassName: 'other', listeners },
    });
    return this;
  }

  /** Service `api` is behind the Gateway, as its controller says. */
  behind(request: RouteRequest = {}): this {
    const conditions = ['Accepted', 'ResolvedRefs'];
    return this.route('HTTPRoute', { name: 'own', gateway: GATEWAY, conditions, ...request });
  }

  /** The frontend as its owner wrote it. */
  plain(): this {
    const { annotations = {} } = this.product;
    if (this.kind === 'Ingress') return this.ingress({ annotations });
    const metadata = { namespace: 'payments', name: 'api', uid: 'another', annotations: { [OPT_IN]: 'corporate' } };
    (this.kind === 'Gateway' ? this.gateways : this.proxies).set({ metadata, spec: this.#plain() });
    return this;
  }

  blockedBy(name = 'corporate'): string {
    const server = this.servers.get(undefined, name) ?? assert.fail();
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

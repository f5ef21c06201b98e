import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { SESSIONS_ISOLATED, TRUST_STORE, TRUST_STORE_SHA256 } from '../../src/api/annotations.ts';
import { bundleObject } from '../../src/terminator/bundle.ts';
import { distribution, type TerminatorView } from '../../src/terminator/distribution.ts';
import { otherProduct } from '../../src/terminator/drivers/other-products.ts';
import { UNPROVED } from '../../src/terminator/proof/verdict.ts';
import { caBundle } from '../../src/x509/bundle.ts';
import { corporateCa, HOST, type IngressRequest, otherCa, World } from './world.ts';

const HAPROXY = 'haproxy-ingress.github.io/controller';
const ALB = 'ingress.k8s.aws/alb';
const ISTIO = 'istio.io/ingress-controller';
const arn = 'arn:aws:elasticloadbalancing:eu-central-1:123456789012:truststore/clients/0123456789abcdef';
/** An Event takes no longer note. */
const LONGEST_NOTE = 1024;

class ProductWorld extends World {
  override readonly drivers: ReadonlySet<string> = new Set(['nginx', 'haproxy', 'aws-alb', 'manual']);
  readonly controller: string;

  constructor(controller: string, classAnnotations: Record<string, string> = {}) {
    super();
    this.controller = controller;
    this.class(classAnnotations);
    this.server({ terminators: [{ namespace: 'payments', name: 'api' }] }).issuer('corporate-clients', corporateCa);
  }

  class(annotations: Record<string, string>): this {
    this.ingressClasses.set({ metadata: { name: 'nginx', annotations }, spec: { controller: this.controller } });
    return this;
  }

  get key(): string {
    return `${this.controller}|${HOST}`;
  }

  with(annotations: Record<string, string> = {}, managers: IngressRequest['managers'] = {}): this {
    return this.ingress({ annotations, managers });
  }

  holding(ca: string): this {
    const scope = { controller: this.controller, host: HOST };
    this.secrets.set(bundleObject({ kind: 'Secret', namespace: 'payments', scope, server: 'corporate', ca }));
    return this;
  }

  says(): string[] {
    return this.said('payments/api', this.key);
  }

  next(): string | undefined {
    return this.plan(this.key).next?.name;
  }

  message(): string {
    return this.plan(this.key).findings[0]?.message ?? '';
  }

  view1(): TerminatorView {
    const server = this.servers.get(undefined, 'corporate');
    assert.ok(server !== undefined);
    const [view, more] = this.views.of(server, this.now);
    assert.ok(view !== undefined && more === undefined);
    return view;
  }

  distributed(): string {
    const server = this.servers.get(undefined, 'corporate');
    assert.ok(server !== undefined);
    const terminators = this.views.of(server, this.now);
    const verdict = distribution({ server, caSha256: undefined, terminators });
    return verdict.state === 'distributed' ? verdict.state : `${verdict.state} ${verdict.reason}`;
  }
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

test('haproxy: nothing before the platform has said that sessions are isolated; what is there stays', () => {
  const world = new ProductWorld(HAPROXY).with();
  assert.deepEqual(world.says(), ['TerminatorNotPrepared!']);
  assert.equal(world.next(), undefined);
  assert.match(world.message(), /tune\.ssl\.cachesize 0.*sessions-isolated: "true".*nothing is changed/);
  assert.ok(world.message().length < LONGEST_NOTE);
  assert.equal(world.distributed(), 'blocked TerminatorNotPrepared');
  world.class({ [SESSIONS_ISOLATED]: 'yes' });
  assert.deepEqual(world.says(), ['TerminatorNotPrepared!']);
  world.class({ [SESSIONS_ISOLATED]: 'true' });
  assert.deepEqual(world.says(), []);
  assert.equal(world.next(), 'writeBundle');
  world.holding(caBundle([corporateCa]).pem);
  assert.equal(world.next(), 'configure');
});

test('haproxy: the default class’s word counts for Ingresses that name none', () => {
  const world = new ProductWorld(HAPROXY);
  const isDefault = { 'ingressclass.kubernetes.io/is-default-class': 'true' };
  world.class({ ...isDefault, [SESSIONS_ISOLATED]: 'true' }).ingress({ className: undefined });
  assert.deepEqual(world.says(), []);
  world.class(isDefault);
  assert.deepEqual(world.says(), ['TerminatorNotPrepared!']);
});

const alb = { [TRUST_STORE]: arn, 'alb.ingress.kubernetes.io/listen-ports': '[{"HTTPS":443}]' };
const configured = {
  'alb.ingress.kubernetes.io/mutual-authentication': `[{"port":443,"mode":"verify","trustStore":"${arn}"}]`,
};
const ours = { 'certbound-terminator': Object.keys(configured) };

test('aws-alb: without a trust store, or with what is none, nothing is written', () => {
  const world = new ProductWorld(ALB);
  for (const wrong of [
    { ...alb, [TRUST_STORE]: '' },
    { ...alb, [TRUST_STORE]: 'clients' },
    { ...alb, [TRUST_STORE]: `${arn}","mode":"off` },
    { ...alb, 'alb.ingress.kubernetes.io/listen-ports': '[{"HTTP":80}]' },
    { ...alb, 'alb.ingress.kubernetes.io/listen-ports': '{' },
    { ...alb, 'alb.ingress.kubernetes.io/listen-ports': '[]' },
    { [TRUST_STORE]: arn },
  ]) {
    world.with(wrong);
    assert.deepEqual(world.says(), ['TerminatorNotPrepared!'], JSON.stringify(wrong));
    assert.equal(world.next(), undefined);
  }
  world.with({ [TRUST_STORE]: arn, 'alb.ingress.kubernetes.io/certificate-arn': 'arn:aws:acm:x' });
  assert.equal(world.next(), 'writeBundle');
});

test('aws-alb: it is configured once its owner says that the trust store has the bundle, by its hash', () => {
  const { pem } = caBundle([corporateCa]);
  const world = new ProductWorld(ALB).with(alb);
  assert.equal(world.next(), 'writeBundle');
  world.holding(pem);
  assert.deepEqual(world.says(), ['TrustStoreOutdated!']);
  assert.equal(world.next(), undefined);
  const message = world.message();
  assert.ok(message.length < LONGEST_NOTE);
  for (const part of [
    'kubectl get secret --namespace payments certbound-trust-',
    `aws elbv2 modify-trust-store --trust-store-arn ${arn}`,
    `${TRUST_STORE_SHA256}: ${sha256(pem)}`,
  ])
    assert.ok(message.includes(part), part);
  assert.equal(world.distributed(), 'blocked TrustStoreOutdated');
  world.with({ ...alb, [TRUST_STORE_SHA256]: sha256(pem) });
  assert.equal(world.next(), 'configure');
  world.with({ ...alb, ...configured, [TRUST_STORE_SHA256]: sha256(pem) }, ours);
  assert.deepEqual(world.says(), []);
  assert.equal(world.next(), undefined);
  assert.ok(world.view1().inEffect);
});

test('aws-alb: another CA is written into the bundle, and not in effect before it was uploaded', () => {
  const before = caBundle([corporateCa]).pem;
  const world = new ProductWorld(ALB)
    .with({ ...alb, ...configured, [TRUST_STORE_SHA256]: sha256(before) }, ours)
    .holding(before);
  world.issuer('second', otherCa).server({
    issuers: ['corporate-clients', 'second'],
    terminators: [{ namespace: 'payments', name: 'api' }],
  });
  assert.equal(world.next(), 'writeBundle');
  world.holding(caBundle([corporateCa, otherCa]).pem);
  assert.deepEqual(world.says(), ['TrustStoreOutdated!']);
  assert.equal(world.next(), undefined, 'what is configured stays');
  assert.equal(world.view1().inEffect, false);
});

test('by hand: the bundle is kept, nothing is annotated, and only a live proof makes it count', () => {
  const world = new ProductWorld(ISTIO);
  world.manualControllers.add(ISTIO);
  world.with();
  assert.deepEqual(world.says(), ['TerminatorNotProved!']);
  assert.equal(world.next(), 'writeBundle');
  world.holding(caBundle([corporateCa]).pem);
  assert.equal(world.next(), undefined);
  assert.match(world.message(), /Secret payments\/certbound-trust-/);
  assert.equal(world.view1().inEffect, false);
  assert.equal(world.distributed(), 'blocked TerminatorNotProved');
  world.memory.proofs.set(ISTIO, HOST, { ...UNPROVED, passes: 2, passedAt: world.now });
  world.with();
  assert.deepEqual(world.says(), []);
  assert.ok(world.view1().inEffect);
  assert.equal(world.distributed(), 'distributed');
});

test('by hand: the platform’s word goes before what a driver would do', () => {
  const world = new ProductWorld('k8s.io/ingress-nginx');
  world.manualControllers.add(world.controller);
  world.with().holding(caBundle([corporateCa]).pem);
  assert.deepEqual(world.says(), ['TerminatorNotProved!']);
  assert.equal(world.next(), undefined);
});

test('an unknown class: the product by its name, what to do first, and where the lines to write are', () => {
  const headings = readFileSync(resolve(import.meta.dirname, '../../docs/terminators.md'), 'utf8')
    .split('\n')
    .flatMap((line) => /^#+ (.+)$/.exec(line)?.[1] ?? [])
    .map((title) =>
      title
        .toLowerCase()
        .replaceAll(/[^\w\- ]/g, '')
        .replaceAll(' ', '-'),
    );
  for (const [controller, name] of [
    [ISTIO, 'Istio'],
    ['nginx.org/ingress-controller', 'F5'],
    ['openshift.io/ingress-to-route', 'OpenShift'],
    ['ingress-controllers.konghq.com/kong', 'Kong'],
    ['haproxy.org/ingress-controller/haproxy', 'HAProxy Technologies'],
    ['azure/application-gateway', 'Azure'],
    ['k8s.io/ingress-gce', 'GKE'],
    ['strrl.dev/cloudflare-tunnel-ingress-controller', 'Cloudflare'],
    ['getambassador.io/ingress-controller', 'Emissary'],
    ['apisix.apache.org/apisix-ingress-controller', 'APISIX'],
  ] as const) {
    const world = new ProductWorld(controller).with();
    assert.deepEqual(world.says(), ['UnknownIngressClass!'], controller);
    assert.ok(world.message().includes(name), world.message());
    assert.ok(world.message().length < LONGEST_NOTE / 2);
    assert.ok(headings.includes(otherProduct(controller)?.section ?? ''), controller);
  }
  assert.ok(headings.includes('by-hand') && headings.includes('haproxy-ingress'));
  assert.match(new ProductWorld('example.com/unheard-of').with().message(), /docs\/terminators\.md#by-hand/);
});

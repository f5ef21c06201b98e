import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { caBundle } from '../../src/x509/bundle.ts';
import { bundleName } from '../../src/terminator/bundle.ts';
import { FIELD_MANAGER } from '../../src/terminator/field-managers.ts';
import { frontendTarget, lossWindowMs, objectTarget } from '../../src/terminator/memory.ts';
import { bundleContent, writtenOut } from '../../src/terminator/desired.ts';
import { OperatorError } from '../../src/errors.ts';
import { testCa } from '../x509/authority.ts';
import { corporateCa, HOST, KEY, otherCa, SCOPE, settledWorld, World } from './world.ts';

const prefix = 'nginx.ingress.kubernetes.io';
const wanted = {
  [`${prefix}/auth-tls-secret`]: `payments/${bundleName(SCOPE)}`,
  [`${prefix}/auth-tls-verify-client`]: 'on',
  [`${prefix}/auth-tls-verify-depth`]: '1',
  [`${prefix}/auth-tls-pass-certificate-to-upstream`]: 'true',
};
const keys = Object.keys(wanted);
const bundlePem = caBundle([corporateCa]).pem;
const annotated = { annotations: wanted, managers: { [FIELD_MANAGER]: keys } };
const nextStep = (world: World, key = KEY): string | undefined => world.plan(key).next?.name;

interface Case {
  title: string;
  world: () => World;
  said: string[];
  step: string | undefined;
  ref?: string;
  key?: string;
}

const longName = (n: number): string =>
  ['CN', 'OU', 'O', 'L', 'ST'].map((type) => `${type}=${type}${n}${'x'.repeat(58)}`).join(',');
const authorities = await Promise.all(Array.from({ length: 80 }, (_, n) => testCa(longName(n))));
const tooMany = Array.from({ length: 8 }, (_, n) =>
  authorities
    .slice(n * 10, n * 10 + 10)
    .map(({ certificatePem }) => certificatePem)
    .join(''),
);

const cases: Case[] = [
  { title: 'all is well, nothing is there', world: settledWorld, said: [], step: 'writeBundle' },
  { title: 'the bundle is there', world: () => settledWorld().bundle(bundlePem), said: [], step: 'configure' },
  {
    title: 'bundle and annotations are there: silence',
    world: () => settledWorld().bundle(bundlePem).ingress(annotated),
    said: [],
    step: undefined,
  },
  {
    title: 'the same annotations in somebody else’s hand are as good',
    world: () =>
      settledWorld()
        .bundle(bundlePem)
        .ingress({ annotations: wanted, managers: { argocd: keys } }),
    said: [],
    step: undefined,
  },
  {
    title: 'an edited bundle comes before the annotations',
    world: () =>
      settledWorld()
        .bundle(caBundle([corporateCa, otherCa]).pem)
        .ingress(annotated),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'a bundle with one key too many is an edited bundle',
    world: () =>
      settledWorld()
        .bundle(bundlePem, (secret) => ({
          ...secret,
          data: { 'ca.crt': Buffer.from(bundlePem).toString('base64'), 'ca.crl': '' },
        }))
        .ingress(annotated),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'opted out: the annotations first',
    world: () =>
      settledWorld()
        .bundle(bundlePem)
        .ingress({ ...annotated, server: '-' }),
    said: [],
    step: 'withdraw',
  },
  {
    title: 'mode off is an opt-out',
    world: () =>
      settledWorld()
        .bundle(bundlePem)
        .ingress({ ...annotated, mode: 'off' }),
    said: [],
    step: 'withdraw',
  },
  {
    title: 'opted out, and nothing names the bundle: it goes',
    world: () => settledWorld().bundle(bundlePem).ingress({ server: '-' }),
    said: ['(not in this scope)'],
    step: 'deleteBundle',
  },
  {
    title: 'opted out, but somebody’s annotation names the bundle: it stays',
    world: () => settledWorld().bundle(bundlePem).ingress({ server: '-', annotations: wanted }),
    said: ['(not in this scope)'],
    step: undefined,
  },
  {
    title: 'an Ingress that is being deleted is left alone',
    world: () => settledWorld().ingress({ deleting: true }),
    said: [],
    step: undefined,
  },
  {
    title: 'InvalidAnnotation: a mode that does not exist is no opt-out',
    world: () =>
      settledWorld()
        .bundle(bundlePem)
        .ingress({ ...annotated, mode: 'Off' }),
    said: ['InvalidAnnotation!'],
    step: undefined,
  },
  {
    title: 'InvalidAnnotation: client-certificates',
    world: () => settledWorld().ingress({ clientCertificates: 'on' }),
    said: ['InvalidAnnotation!'],
    step: undefined,
  },
  {
    title: 'NotGranted: the namespace',
    world: () => settledWorld().server({ namespaces: ['other'] }),
    said: ['NotGranted!'],
    step: undefined,
  },
  {
    title: 'NotGranted: there is no such server',
    world: () => settledWorld().ingress({ server: 'unknown' }),
    said: ['NotGranted!'],
    step: undefined,
  },
  {
    title: 'NotGranted: the grant is gone, what is there stays',
    world: () => settledWorld().bundle('edited').server({ namespaces: [] }).ingress(annotated),
    said: ['NotGranted!'],
    step: undefined,
  },
  {
    title: 'granted by a label of the namespace',
    world: () =>
      settledWorld()
        .namespace('payments', { team: 'a' })
        .server({ labels: { team: 'a' } }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'granted by spec.terminators alone',
    world: () => settledWorld().server({ namespaces: [], terminators: [{ namespace: 'payments', name: 'api' }] }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'UnknownIngressClass: another product',
    world: () => settledWorld().ingressClass('nginx', 'example.com/other'),
    said: ['UnknownIngressClass!'],
    step: undefined,
    key: `example.com/other|${HOST}`,
  },
  {
    title: 'UnknownIngressClass: no class and no default',
    world: () => settledWorld().ingress({ className: undefined }),
    said: ['UnknownIngressClass!'],
    step: undefined,
    key: `|${HOST}`,
  },
  {
    title: 'no class, and a default',
    world: () => settledWorld().ingressClass('nginx', 'k8s.io/ingress-nginx', true).ingress({ className: undefined }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'UnknownIngressClass: opt-out works all the same',
    world: () =>
      settledWorld()
        .ingressClass('nginx', 'example.com/other')
        .ingress({ ...annotated, server: '-' }),
    said: [],
    step: 'withdraw',
    key: `example.com/other|${HOST}`,
  },
  {
    title: 'NoHost: one rule of two',
    world: () => settledWorld().ingress({ hosts: [HOST, ''], tls: [HOST] }),
    said: ['NoHost!'],
    step: undefined,
  },
  {
    title: 'NoHost: no rule has one',
    world: () => settledWorld().ingress({ hosts: [''] }),
    said: ['NoHost!'],
    step: undefined,
    key: 'k8s.io/ingress-nginx|',
  },
  {
    title: 'NoTLS',
    world: () => settledWorld().ingress({ tls: ['other.example.test', '*.test'] }),
    said: ['NoTLS!'],
    step: undefined,
  },
  {
    title: 'a wildcard in spec.tls covers one label',
    world: () => settledWorld().ingress({ tls: ['*.example.test'] }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'the certificate of the host may come from another Ingress',
    world: () => settledWorld().ingress({ tls: [] }).ingress({ name: 'certificate' }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'ScopeConflict: another mode',
    world: () => settledWorld().ingress({ name: 'second', clientCertificates: 'optional' }),
    said: ['ScopeConflict!'],
    step: undefined,
  },
  {
    title: 'ScopeConflict: another server',
    world: () => settledWorld().server({ name: 'partners' }).ingress({ name: 'second', server: 'partners' }),
    said: ['ScopeConflict!'],
    step: undefined,
  },
  {
    title: 'ScopeConflict: on the second host of an Ingress',
    world: () =>
      settledWorld()
        .ingress({ hosts: [HOST, 'b.example.test'] })
        .ingress({ name: 'second', hosts: ['b.example.test'], clientCertificates: 'optional' }),
    said: ['ScopeConflict!'],
    step: undefined,
  },
  {
    title: 'ScopeConflict: a bundle that is there still follows its issuers',
    world: () =>
      settledWorld()
        .issuer('corporate-clients', corporateCa + otherCa)
        .bundle(bundlePem)
        .ingress(annotated)
        .ingress({ name: 'second', clientCertificates: 'optional' }),
    said: ['ScopeConflict!'],
    step: 'writeBundle',
  },
  {
    title: 'no ScopeConflict: who is not granted has no say',
    world: () => settledWorld().ingress({ namespace: 'strangers', clientCertificates: 'optional' }),
    said: ['HostShared'],
    step: 'writeBundle',
  },
  {
    title: 'no ScopeConflict for what the platform lists; the other one has it',
    world: () =>
      settledWorld()
        .server({ terminators: [{ namespace: 'payments', name: 'api' }] })
        .ingress({ name: 'second', clientCertificates: 'optional' }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'no ScopeConflict across controllers',
    world: () =>
      settledWorld()
        .ingressClass('second', 'example.com/other')
        .ingress({ name: 'second', className: 'second', service: 'second', clientCertificates: 'optional' }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'SelfSignedOnSharedHost: self-signed clients and a mode that verifies',
    world: () => settledWorld().selfSignedIssuer('corporate-clients'),
    said: ['SelfSignedOnSharedHost!'],
    step: undefined,
  },
  {
    title: 'self-signed clients and mode request',
    world: () => settledWorld().selfSignedIssuer('corporate-clients').ingress({ clientCertificates: 'request' }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'SelfSignedOnSharedHost: clients of a CA and mode request',
    world: () => settledWorld().ingress({ clientCertificates: 'request' }),
    said: ['SelfSignedOnSharedHost!'],
    step: undefined,
  },
  {
    title: 'SelfSignedOnSharedHost: both kinds at one server',
    world: () =>
      settledWorld()
        .selfSignedIssuer('own')
        .server({ issuers: ['corporate-clients', 'own'] }),
    said: ['SelfSignedOnSharedHost!'],
    step: undefined,
  },
  {
    title: 'TrustBundleFull: the bundle that is there stays',
    world: () => {
      const world = settledWorld().bundle(bundlePem).ingress(annotated);
      for (const [n, cas] of tooMany.entries()) world.issuer(`ca-${n}`, cas);
      return world.server({ issuers: tooMany.map((_, n) => `ca-${n}`) });
    },
    said: ['TrustBundleFull!'],
    step: undefined,
  },
  {
    title: 'InvalidPEM of an issuer: the bundle that is there stays',
    world: () => settledWorld().bundle(bundlePem).issuer('corporate-clients', 'rubbish').ingress(annotated),
    said: ['InvalidPEM!'],
    step: undefined,
  },
  {
    title: 'IssuerNotReady: no CA at all',
    world: () => settledWorld().issuer('corporate-clients', undefined),
    said: ['IssuerNotReady!'],
    step: undefined,
  },
  {
    title: 'IssuerNotReady: one of two is missing, the other is trusted',
    world: () => settledWorld().server({ issuers: ['corporate-clients', 'missing'] }),
    said: ['IssuerNotReady'],
    step: 'writeBundle',
  },
  {
    title: 'a server without issuers trusts nobody, in a bundle all the same',
    world: () => settledWorld().server({ issuers: [] }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'HostShared, and protected all the same',
    world: () => settledWorld().ingress({ name: 'web', server: '-', service: 'web' }),
    said: ['HostShared'],
    step: 'writeBundle',
  },
  {
    title: 'BackendExposed through another host',
    world: () => settledWorld().ingress({ name: 'public', server: '-', hosts: ['www.example.test'] }),
    said: ['BackendExposed'],
    step: 'writeBundle',
  },
  {
    title: 'BackendExposed through the default server of another class',
    world: () =>
      settledWorld()
        .ingressClass('internal', 'example.com/other')
        .ingress({ name: 'internal', server: '-', hosts: [''], className: 'internal' }),
    said: ['BackendExposed'],
    step: 'writeBundle',
  },
  {
    title: 'no BackendExposed through a host that has client authentication',
    world: () => settledWorld().ingress({ name: 'b', server: '-', hosts: ['b.example.test'], annotations: wanted }),
    said: [],
    step: 'writeBundle',
  },
  {
    title: 'BackendExposed through a host whose terminator does not forward the certificate',
    world: () =>
      settledWorld().ingress({
        name: 'b',
        server: '-',
        hosts: ['b.example.test'],
        annotations: { ...wanted, [`${prefix}/auth-tls-pass-certificate-to-upstream`]: 'false' },
      }),
    said: ['BackendExposed'],
    step: 'writeBundle',
  },
  {
    title: 'PlainHTTP',
    world: () => settledWorld().ingress({ annotations: { [`${prefix}/ssl-redirect`]: 'false' } }),
    said: ['PlainHTTP'],
    step: 'writeBundle',
  },
  {
    title: 'ReportOnly: nothing is written',
    world: () => settledWorld().ingress({ mode: 'report' }),
    said: ['ReportOnly'],
    step: undefined,
  },
  {
    title: 'ReportOnly: nothing is left to report',
    world: () => settledWorld().bundle(bundlePem).ingress({ mode: 'report', annotations: wanted }),
    said: [],
    step: undefined,
  },
  {
    title: 'BundleNameTaken: a Secret of another type',
    world: () => settledWorld().bundle(bundlePem, (secret) => ({ ...secret, type: 'kubernetes.io/tls' })),
    said: ['BundleNameTaken!'],
    step: undefined,
  },
  {
    title: 'ConfigurationConflict: another manager has another value; the bundle is written',
    world: () =>
      settledWorld().ingress({
        annotations: { ...wanted, [`${prefix}/auth-tls-verify-client`]: 'off' },
        managers: { [FIELD_MANAGER]: keys.slice(0, 1), argocd: [`${prefix}/auth-tls-verify-client`] },
      }),
    said: ['ConfigurationConflict!'],
    step: 'writeBundle',
  },
  {
    title: 'ConfigurationConflict: then it rests',
    world: () =>
      settledWorld()
        .bundle(bundlePem)
        .ingress({ annotations: { [`${prefix}/auth-tls-secret`]: 'payments/mine' } }),
    said: ['ConfigurationConflict!'],
    step: undefined,
  },
  {
    title: 'no conflict over a value that is ours alone',
    world: () =>
      settledWorld()
        .bundle(bundlePem)
        .ingress({
          annotations: { ...wanted, [`${prefix}/auth-tls-verify-client`]: 'optional' },
          managers: { [FIELD_MANAGER]: keys },
        }),
    said: [],
    step: 'configure',
  },
];

describe('what is said of an Ingress, and what is done next', () => {
  for (const { title, world, said, step, ref, key } of cases) {
    test(title, () => {
      const built = world();
      assert.deepEqual(built.said(ref, key), said);
      assert.equal(nextStep(built, key), step);
    });
  }
});

const firstMessage = (world: World): string | undefined => world.plan().findings[0]?.message;

test('not granted and unknown read the same', () => {
  assert.equal(
    firstMessage(settledWorld().server({ namespaces: [] })),
    firstMessage(
      settledWorld()
        .ingress({ server: 'corporate' })
        .server({ namespaces: ['x'] }),
    ),
  );
  const absent = new World().ingressClass('nginx', 'k8s.io/ingress-nginx').ingress();
  assert.equal(firstMessage(settledWorld().server({ namespaces: [] })), firstMessage(absent));
});

test('an Ingress in a foreign namespace is not named', () => {
  const world = settledWorld()
    .server({ namespaces: ['payments', 'strangers'] })
    .ingress({ namespace: 'strangers', name: 'secret-project', clientCertificates: 'optional' });
  const message = world.plan().findings.find(({ reason }) => reason === 'ScopeConflict')?.message ?? '';
  const [own = ''] = message.split('Ingress strangers/secret-project:');
  assert.match(own, /an Ingress in another namespace/);
  assert.doesNotMatch(own, /secret-project/);
});

test('a problem of one Ingress leaves the others of its host to be acted on', () => {
  const world = settledWorld()
    .server({ namespaces: ['payments', 'orders'] })
    .ingress({ annotations: { [`${prefix}/auth-tls-secret`]: 'payments/mine' } })
    .ingress({ namespace: 'orders' })
    .bundle(bundlePem);
  const { findings, next } = world.plan();
  assert.deepEqual(
    findings.map(({ reason }) => reason),
    ['HostShared', 'ConfigurationConflict', 'TrustBundlePending'],
  );
  assert.ok(next?.name === 'writeBundle' && next.namespace === 'orders');
});

test('ConfigurationReverted: three losses in ten minutes, and not again before the first of them is past', () => {
  const world = settledWorld().bundle(bundlePem);
  world.memory.applied('payments/api', writtenOut(wanted));
  for (const version of ['1', '2', '2', '3']) {
    world.now += 1000;
    assert.equal(nextStep(world), 'configure');
    world.memory.lost('payments/api', writtenOut(wanted), version, world.now);
  }
  assert.deepEqual(world.said(), ['ConfigurationReverted!']);
  const { next, at } = world.plan();
  assert.equal(next, undefined);
  assert.ok(at !== undefined);
  world.now = at;
  assert.equal(nextStep(world), 'configure');
});

test('BundleReverted: put right at once three times, then after pauses; what is new waits for nobody', () => {
  const world = settledWorld().ingress({ annotations: wanted }).bundle('damaged');
  const target = objectTarget('Secret', 'payments', bundleName(SCOPE));
  const write = () => {
    const { next } = world.plan();
    assert.ok(next?.name === 'writeBundle');
    world.memory.rewrote(target, bundleContent(next.wanted), world.now);
  };
  for (let count = 0; count < 4; count++) write();
  assert.deepEqual(world.said(), ['BundleReverted!']);
  assert.equal(world.plan().next, undefined);
  assert.equal(world.plan().at, world.now + 5_000);
  world.now += 5_000;
  assert.deepEqual(world.said(), []);
  write();
  assert.deepEqual(world.said(), ['BundleReverted!']);
  world.issuer('corporate-clients', otherCa);
  assert.equal(nextStep(world), 'writeBundle');
});

test('losses of other annotations than those last applied do not count', () => {
  const world = settledWorld().bundle(bundlePem);
  world.memory.applied('payments/api', 'other');
  for (const version of ['1', '2', '3']) world.memory.lost('payments/api', writtenOut(wanted), version, world.now);
  assert.deepEqual(world.said(), []);
  assert.ok(lossWindowMs > 0);
});

test('a refused write waits for its time, or for the Ingress to change', () => {
  const world = settledWorld().bundle(bundlePem);
  const version = world.ingresses.get('payments', 'api')?.resourceVersion ?? '';
  const refusal = new OperatorError('KubernetesForbidden', 'You may not.');
  world.memory.refuse(frontendTarget('payments/api'), version, refusal, world.now);
  assert.deepEqual(world.said(), ['KubernetesForbidden!']);
  const { next, at } = world.plan();
  assert.equal(next, undefined);
  assert.equal(at, world.now + 1000);
  world.ingress();
  assert.equal(nextStep(world), 'configure');
});

/** Who asks for client authentication, whether it is granted, and whether a host has one answer. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { testCa } from '../../x509/authority.ts';
import { corporateCa, HOST, otherCa, settledWorld, World } from '../world.ts';
import { annotated, bundlePem, eachRow } from './rows.ts';

const longName = (n: number): string =>
  ['CN', 'OU', 'O', 'L', 'ST'].map((type) => `${type}=${type}${n}${'x'.repeat(58)}`).join(',');
const authorities = await Promise.all(Array.from({ length: 80 }, (_, n) => testCa(longName(n))));
const tooMany = Array.from({ length: 8 }, (_, n) =>
  authorities
    .slice(n * 10, n * 10 + 10)
    .map(({ certificatePem }) => certificatePem)
    .join(''),
);

describe('what an opt-in comes to', () => {
  eachRow([
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
  ]);
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

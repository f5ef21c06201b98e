/** A certificate is reported: `certbound.dev/compromised`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { claimName } from '../../src/authserver/claims.ts';
import { identityOfGeneration } from '../../src/oauthclient/desired.ts';
import type { CertificateState } from '../../src/oauthclient/record.ts';
import { statusOf } from '../../src/oauthclient/status.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import { keysAt } from '../../src/oauthclient/key-set.ts';
import { eachRow } from './checks.ts';
import {
  aCertificate,
  aClient,
  aNext,
  anIssuer,
  aServer,
  day,
  findingsOf,
  grants,
  instant,
  isReady,
  issuerUrl,
  now,
  recorded,
  selfSigned,
  settled,
  upToDate,
  viewOf,
} from './view.ts';

const reported = (observed: Observed, ...thumbprints: string[]): Observed => ({
  ...observed,
  client: aClient(
    { tokenEndpointAuthMethod: observed.client.spec.tokenEndpointAuthMethod },
    { annotations: { 'certbound.dev/compromised': thumbprints.join(', ') } },
  ),
});
const self = () => settled('self_signed_tls_client_auth');
const draining = (name: string) =>
  selfSigned(name, { role: 'Draining', replacedAt: instant(now - 1000), notAfter: instant(now + day) });
const nextKey = selfSigned('next', aNext({ jwk: { kty: 'EC', kid: 'next', 'x5t#S256': 'next' } }));
const replacing = (change = {}) => recorded(self(), { certificates: [selfSigned('old', change), nextKey] });
/** With the identity of after a compromise, and registered as before it. */
function renewed(certificates: CertificateState[]): Observed {
  const observed = settled();
  const before = observed.record?.state?.identity ?? assert.fail();
  const next = identityOfGeneration(observed, 1);
  assert.ok(next.ok);
  const { parameter, value, canonical } = next;
  const change = {
    identity: { parameter, value, canonical },
    identityGeneration: 1,
    firstIdentity: before,
    certificates,
  };
  const claim = observed.claim && { ...observed.claim, name: claimName(issuerUrl, next) };
  return { ...recorded(observed, change), claim };
}
function byDnsName(): Observed {
  const identity = {
    parameter: 'tls_client_auth_san_dns' as const,
    value: 'batch.example.com',
    canonical: 'dns:batch.example.com',
  };
  const clients = { ...grants, identityTemplates: [{ dnsName: '{name}.example.com' }] };
  const server = aServer({ defaultIssuerRef: { name: 'corporate-clients' }, clients });
  return upToDate(recorded({ ...settled(), server }, { identity }));
}
const marking = ['CertificateReady=Unknown/Compromised → recordCompromise'];
const keysOf = (observed: Observed) => JSON.stringify(viewOf(observed).desired.metadata?.['jwks']);

describe('a certificate that is reported compromised', () => {
  eachRow([
    ['is replaced at once', () => reported(self(), 'old'), ['CertificateReady=Unknown/Compromised → stageCertificate']],
    [
      'however many are alive',
      () => reported(recorded(self(), { certificates: [selfSigned('old'), draining('a'), draining('b')] }), 'old'),
      ['CertificateReady=Unknown/Compromised → stageCertificate'],
    ],
    ['is marked once its successor is there', () => reported(replacing(), 'old'), marking],
    [
      'is marked at once where it only drains',
      () => reported(upToDate(recorded(self(), { certificates: [selfSigned('old'), draining('a')] })), 'a'),
      marking,
    ],
    ['is nothing where it is none of ours', () => reported(settled(), 'somebody'), []],
    [
      'makes the client another one where the server knows it by its DN',
      () => reported(settled(), 'old'),
      ['CertificateReady=Unknown/Compromised → renewIdentity'],
    ],
    [
      'which needs another certificate before anything else',
      () => reported(renewed([aCertificate('old', { compromised: true })]), 'old'),
      ['CertificateReady=Unknown/Compromised → stageCertificate'],
    ],
    [
      'and then another registration, before the proof',
      () => reported(renewed([aCertificate('old', { compromised: true }), aNext()]), 'old'),
      ['Registered=Unknown/UpdatingRegistration → intendUpdate'],
    ],
    [
      'but not while no other certificate can be had',
      () => ({
        ...reported(settled(), 'old'),
        issuer: anIssuer('tls_client_auth', {}, { conditions: isReady('False', 'X') }),
      }),
      ['CertificateReady=Unknown/X'],
    ],
    [
      'is replaced all the same where the server knows it by another name',
      () => reported(byDnsName(), 'old'),
      ['CertificateReady=Unknown/Compromised → stageCertificate'],
    ],
    [
      'leaves the registration before its successor is proved',
      () => reported(replacing({ compromised: true }), 'old'),
      ['Registered=Unknown/UpdatingRegistration → intendUpdate'],
    ],
    [
      'is retired without a drain',
      () =>
        reported(
          upToDate(recorded(self(), { certificates: [selfSigned('old'), { ...draining('a'), compromised: true }] })),
          'a',
        ),
      ['CertificateReady=Unknown/Retiring → retire'],
    ],
    [
      'and a successor that is reported itself makes way',
      () =>
        reported(
          upToDate(recorded(self(), { certificates: [selfSigned('old'), { ...nextKey, compromised: true }] })),
          'next',
        ),
      ['CertificateReady=Unknown/Compromised → retire'],
    ],
  ]);

  describe('again and again', () => {
    const former = (count: number, end: number) =>
      recorded(settled(), { formerIdentities: Array.from({ length: count }, () => instant(end)) });
    eachRow([
      [
        'makes the client another one fifteen times and once more',
        () => reported(former(15, now + day), 'old'),
        ['CertificateReady=Unknown/Compromised → renewIdentity'],
      ],
      [
        'and no more while each of them is claimed: the certificate alone is replaced',
        () => reported(former(16, now + day), 'old'),
        ['CertificateReady=Unknown/Compromised → stageCertificate'],
      ],
      [
        'and marked, so that status says until when its key is accepted',
        () => reported(recorded(former(16, now + day), { certificates: [aCertificate('old'), aNext()] }), 'old'),
        marking,
      ],
      [
        'and goes on when they have ended',
        () => reported(former(16, now), 'old'),
        ['CertificateReady=Unknown/Compromised → renewIdentity'],
      ],
    ]);
  });

  test('is in no key set once its successor is there', () => {
    assert.match(keysOf(reported(replacing(), 'old')), /old.*next/);
    const marked = replacing({ compromised: true });
    assert.doesNotMatch(keysOf(marked), /old/);
    assert.match(keysOf(marked), /next/);
    const state = marked.record?.state ?? assert.fail();
    const name = marked.record?.name ?? '';
    assert.deepEqual(
      keysAt(name, () => state)?.map(({ kid }) => kid),
      ['next'],
    );
  });

  test('is no reason to be Ready, for the server refuses it', () => {
    const marked = reported(replacing({ compromised: true }), 'old');
    const status = statusOf(viewOf(marked), findingsOf(marked));
    assert.equal(status.conditions?.find(({ type }) => type === 'Ready')?.status, 'Unknown');
  });

  test('of a client that is known by its subject is accepted to its end, and that is said', () => {
    const observed = upToDate(recorded(settled(), { compromisedUntil: instant(now + day) }));
    const message = (at: number) =>
      statusOf(viewOf(observed, at), []).conditions?.find(({ type }) => type === 'Registered')?.message ?? '';
    assert.match(message(now), /is accepted until 2026-01-16T12:00:00Z.*second OAuthClient with another subject/);
    assert.doesNotMatch(message(now + day), /compromised/);
  });

  test('gives way to the same name under one more RDN, each time another', () => {
    const values = [0, 1, 2].map((generation) => {
      const identity = identityOfGeneration(settled(), generation);
      return identity.ok ? identity.value : identity.message;
    });
    assert.deepEqual(values, [
      'CN=payments.batch,OU=test-1',
      'CN=payments.batch,OU=generation-1,OU=test-1',
      'CN=payments.batch,OU=generation-2,OU=test-1',
    ]);
    // Whatever the platform's templates say by now, it goes on under the name it has.
    const { identity } = viewOf(renewed([aCertificate('new')])).desired;
    assert.equal(identity.ok && identity.value, values[1]);
  });
});

/** A certificate is reported: `certbound.dev/compromised`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { statusOf } from '../../src/oauthclient/status.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import { keysAt } from '../../src/oauthclient/key-set.ts';
import { eachRow } from './checks.ts';
import {
  aCertificate,
  aClient,
  aNext,
  day,
  findingsOf,
  instant,
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
const marking = ['CertificateReady=Unknown/Compromised → recordCompromise'];
const keysOf = (observed: Observed) => JSON.stringify(viewOf(observed).desired.metadata?.['jwks']);

describe('a certificate that is reported compromised', () => {
  eachRow([
    [
      'is replaced at once',
      () => reported(settled(), 'old'),
      ['CertificateReady=Unknown/Compromised → stageCertificate'],
    ],
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
      ['CertificateReady=Unknown/Retiring → retire'],
    ],
  ]);

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
    assert.ok(aCertificate('old').compromised === undefined);
  });
});

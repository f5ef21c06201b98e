/** Keys by reference: `jwks_uri`. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { keysAt } from '../../src/oauthclient/key-set.ts';
import type { Observed } from '../../src/oauthclient/observed.ts';
import type { RecordState } from '../../src/oauthclient/record.ts';
import { eachRow } from './checks.ts';
import {
  aNext,
  aServer,
  day,
  hour,
  instant,
  now,
  recorded,
  selfSigned,
  settled,
  untouched,
  upToDate,
  viewOf,
} from './view.ts';

const byReference = (observed: Observed): Observed => ({
  ...observed,
  jwksUrl: 'https://keys.example.com/certbound/',
  server: aServer({
    defaultIssuerRef: { name: 'corporate-clients' },
    propagation: '2m',
    dynamicRegistration: { clientKeys: 'jwks_uri' },
  }),
});
const served = (change: Partial<RecordState> = {}) =>
  upToDate(recorded(byReference(settled('self_signed_tls_client_auth')), { keySetId: 'ab12', ...change }));
const next = selfSigned('next', aNext({ jwk: { kty: 'EC', kid: 'next' } }));
const rotating = () => recorded(served(), { certificates: [selfSigned('old'), next] });

describe('a client whose keys the server reads', () => {
  test('registers where they are, and no key', () => {
    const { metadata } = viewOf(served()).desired;
    assert.match(
      String(metadata?.['jwks_uri']),
      /^https:\/\/keys\.example\.com\/certbound\/jwks\/certbound-client-[0-9a-f]{40}\.ab12$/,
    );
    assert.equal(metadata?.['jwks'], undefined);
    assert.equal(viewOf(byReference(settled())).desired.metadata?.['jwks_uri'], undefined, 'tls_client_auth has none');
  });

  eachRow([
    ['is at rest', served, []],
    [
      'waits with the next key for what the server may have read before',
      rotating,
      ['Registered=Unknown/KeySetPropagating blocks'],
    ],
    ['proves it then, without an update', rotating, ['Proved=Unknown/Proving → prove'], now + 120_000],
    [
      'has nothing to wait for with its first one',
      () => recorded(served(), { certificates: [next] }),
      ['Proved=Unknown/Proving → prove'],
    ],
    [
      'is updated when the server is to read them from now on',
      () => byReference(settled('self_signed_tls_client_auth')),
      ['Registered=Unknown/UpdatingRegistration → intendUpdate'],
    ],
    [
      'says so where nobody serves them',
      () => ({ ...served(), jwksUrl: undefined }),
      ['Registered=False/KeySetNotServed blocks'],
    ],
    [
      'that does without them does not care',
      () => ({ ...byReference(untouched()), jwksUrl: undefined }),
      ['Ready=Unknown/Preparing → addFinalizer'],
    ],
  ]);
});

describe('what is served', () => {
  const state = rotating().record?.state ?? assert.fail();
  const name = String(viewOf(served()).desired.metadata?.['jwks_uri']).split('/').at(-1) ?? '';
  const at = (asked: string, held: RecordState | undefined = state) =>
    keysAt(asked, (record) => (record === name.split('.')[0] ? held : undefined))?.map(({ kid }) => kid);

  test('is every key that is stored, from the moment it is', () => {
    assert.deepEqual(at(name), ['old', 'next']);
    const drained = selfSigned('drained', {
      role: 'Draining',
      replacedAt: instant(now - day),
      notAfter: instant(now - hour),
    });
    assert.deepEqual(at(name, { ...state, certificates: [drained] }), ['drained'], 'until its key is destroyed');
  });

  test('is nothing under the name of an attempt whose answer was lost, nor of another method', () => {
    assert.equal(at(name, { ...state, keySetId: 'cd34' }), undefined);
    assert.equal(at(name.split('.')[0] ?? ''), undefined);
    assert.equal(at('somebody'), undefined);
    assert.equal(at(name, { ...state, method: 'tls_client_auth' }), undefined);
  });
});

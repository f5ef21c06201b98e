import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { KubernetesObject } from '../../src/kube/resource.ts';
import {
  projectRecord,
  readRecord,
  recordData,
  recordDigest,
  recordName,
  type ClientRecord,
  type RecordState,
} from '../../src/oauthclient/record.ts';
import { aCertificate, aNext, instant, namespace, now, selfSigned, settled } from './view.ts';

function stateOf(change: Partial<RecordState> = {}): RecordState {
  const state = settled().record?.state;
  if (state === undefined) throw new TypeError('there is no record');
  return { ...state, ...change };
}
const KEY = '-----BEGIN PRIVATE KEY-----';
const record = (change: Partial<RecordState> = {}): ClientRecord => ({
  state: stateOf(change),
  material: {
    certificates: { old: { privateKeyPem: KEY, chainPem: 'chain', caPem: 'ca' } },
    registration: { registrationAccessToken: 'secret-token', lastAnswer: { client_id: 'client-1' } },
  },
});
const stored = (of: ClientRecord, change: Record<string, string | undefined> = {}): KubernetesObject => ({
  metadata: {
    name: recordName(namespace, 'batch'),
    uid: 'uid-record',
    resourceVersion: '40',
    annotations: { 'certbound.dev/owner': `${namespace}/batch` },
  },
  data: Object.fromEntries(Object.entries({ ...recordData(of), ...change }).filter(([, value]) => value !== undefined)),
});
const encoded = (text: string) => Buffer.from(text).toString('base64');

describe('a record', () => {
  const full: Partial<RecordState> = {
    certificates: [selfSigned('old'), aCertificate('before', { role: 'Draining', replacedAt: instant(now) }), aNext()],
    intent: { id: 'intent-1', operation: 'update', since: instant(now) },
    suspectedOrphans: [instant(now)],
    rejected: { askedDigest: 'x', message: 'No.' },
    longestTokenLifetimeSeconds: 300,
    lastHandledRenew: 'once',
  };

  test('is read as it was written', () => {
    assert.deepEqual(readRecord(stored(record(full))), record(full));
    assert.deepEqual(projectRecord(stored(record(full))), {
      name: recordName(namespace, 'batch'),
      uid: 'uid-record',
      resourceVersion: '40',
      digest: recordDigest(stored(record(full))),
      owner: `${namespace}/batch`,
      state: record(full).state,
    });
  });

  test('the cache keeps no key and no token of it', () => {
    assert.doesNotMatch(JSON.stringify(projectRecord(stored(record(full)))), /PRIVATE KEY|secret-token/);
  });

  test('has a name that follows from the client’s, and is a valid one', () => {
    assert.equal(recordName('a', 'b'), recordName('a', 'b'));
    assert.notEqual(recordName('a-b', 'c'), recordName('a', 'b-c'));
    assert.match(recordName('n'.repeat(63), 'x'.repeat(253)), /^certbound-client-[0-9a-f]{40}$/);
  });

  const damage: [string, Record<string, string | undefined>][] = [
    ['no state', { state: undefined }],
    ['no material', { material: undefined }],
    ['a state that is no JSON', { state: encoded('{') }],
    ['material that is no JSON', { material: encoded('') }],
    ['a state that is no base64', { state: '%%%' }],
    ['another version', { state: encoded(JSON.stringify({ ...stateOf(), version: 2 })) }],
    ['a state without certificates', { state: encoded(JSON.stringify({ ...stateOf(), certificates: undefined })) }],
    ['a key that is missing', { material: encoded(JSON.stringify({ certificates: { old: { chainPem: 'x' } } })) }],
  ];
  for (const [name, change] of damage) {
    test(`damaged: ${name}`, () => {
      const object = stored(record(), change);
      assert.equal(readRecord(object), undefined);
      const projection = projectRecord(object);
      assert.equal(projection.state, undefined);
      assert.equal(projection.owner, `${namespace}/batch`, 'whose it is can still be told');
    });
  }
});

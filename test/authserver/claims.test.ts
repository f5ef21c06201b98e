import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sweepClaim } from '../../src/authserver/claim-sweep.ts';
import {
  acquireClaim,
  announceClaim,
  announcedIn,
  type Claim,
  claimName,
  type ClaimHolder,
  type ClaimRequest,
  claimState,
  projectClaim,
  releaseClaim,
} from '../../src/authserver/claims.ts';
import { effectiveIdentity } from '../../src/authserver/identity.ts';
import { KubeClient } from '../../src/kube/client.ts';
import { configMaps } from '../../src/kube/resource.ts';
import { type ControlPlane, startControlPlane } from '../support/control-plane.ts';
import { FakeClock } from '../support/fake-clock.ts';
import { lasting } from './servers.ts';

const operatorNamespace = 'default';
const issuer = 'https://as.example.com';
const NOW = Date.UTC(2026, 0, 1);
const HOUR = 3_600_000;

const a: ClaimHolder = { namespace: 'team-a', name: 'batch', uid: 'uid-a' };
const b: ClaimHolder = { namespace: 'team-b', name: 'batch', uid: 'uid-b' };

function requestOf(holder: ClaimHolder, name: string): ClaimRequest {
  const result = effectiveIdentity([{ dn: 'CN={name}' }], undefined, { namespace: 'x', name, clusterId: 'c' });
  assert.ok('identity' in result);
  return { operatorNamespace, issuer, identity: result.identity, holder };
}

describe('claim names', () => {
  test('one for each server and identity', () => {
    const { identity } = requestOf(a, 'batch');
    const name = claimName(issuer, identity);
    assert.match(name, /^certbound-claim-[0-9a-f]{40}$/);
    assert.equal(claimName(issuer, requestOf(b, 'BATCH').identity), name);
    assert.notEqual(claimName('https://other.example.com', identity), name);
    assert.notEqual(claimName(issuer, requestOf(a, 'other').identity), name);
    assert.notEqual(claimName(issuer, { ...identity, parameter: 'tls_client_auth_san_dns' }), name);
  });
});

describe('the state of a claim', () => {
  const claim = { name: 'x', resourceVersion: '1', holder: 'team-a/batch', holderUid: 'uid-a', expires: undefined };
  const table: [string, Parameters<typeof claimState>, ReturnType<typeof claimState>][] = [
    ['none', [undefined, a, NOW], { state: 'free' }],
    ['ours', [claim, a, NOW], { state: 'held' }],
    ['ours, released', [{ ...claim, expires: NOW + HOUR }, a, NOW], { state: 'free' }],
    ['of our predecessor', [claim, { ...a, uid: 'uid-new' }, NOW], { state: 'free' }],
    ["another's", [claim, b, NOW], { state: 'taken', until: undefined }],
    ["another's with our uid", [claim, { ...b, uid: 'uid-a' }, NOW], { state: 'taken', until: undefined }],
    ["another's, released", [{ ...claim, expires: NOW + 1 }, b, NOW], { state: 'taken', until: NOW + 1 }],
    ["another's, expired", [{ ...claim, expires: NOW }, b, NOW], { state: 'free' }],
    [
      'of our predecessor, released',
      [{ ...claim, expires: NOW + 1 }, { ...a, uid: 'uid-new' }, NOW],
      { state: 'free' },
    ],
    [
      'of our predecessor, whose key others may have',
      [{ ...claim, expires: NOW + 1, compromised: true }, { ...a, uid: 'uid-new' }, NOW],
      { state: 'taken', until: NOW + 1 },
    ],
    [
      'of our predecessor, whose key is of no use any more',
      [{ ...claim, expires: NOW, compromised: true }, { ...a, uid: 'uid-new' }, NOW],
      { state: 'free' },
    ],
    // The operator died before it had stored that the client is to be another one.
    ['ours, compromised', [{ ...claim, expires: NOW + 1, compromised: true }, a, NOW], { state: 'free' }],
    ['damaged', [{ ...claim, holder: '', holderUid: '' }, a, NOW], { state: 'taken', until: undefined }],
  ];
  for (const [name, input, expected] of table) test(name, () => assert.deepEqual(claimState(...input), expected));
});

describe('claims, against a real API server', () => {
  let plane: ControlPlane;
  let client: KubeClient;
  before(async () => {
    plane = await startControlPlane();
    const path = plane.kubeconfigPath;
    client = KubeClient.fromKubeconfig({ path, userAgent: 'certbound-test', fieldManager: 'certbound' });
  });
  after(async () => {
    await client?.close();
    await plane?.stop();
  });

  const stored = async (request: ClaimRequest) => {
    const name = claimName(issuer, request.identity);
    const object = await client.get(configMaps, { namespace: operatorNamespace, name });
    return object === undefined ? undefined : projectClaim(object);
  };

  test('the first holder wins, and the other is not told who it is', async () => {
    const [first, second] = [requestOf(a, 'first'), requestOf(b, 'first')];
    await acquireClaim(client, first, NOW, lasting());
    await assert.rejects(acquireClaim(client, second, NOW, lasting()), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'IdentityTaken');
      return !error.message.includes('team-a');
    });
    assert.equal((await stored(first))?.holder, 'team-a/batch');
    const version = (await stored(first))?.resourceVersion;
    await acquireClaim(client, first, NOW, lasting());
    assert.equal((await stored(first))?.resourceVersion, version, 'nothing is written at rest');
  });

  test('of many at once, one wins', async () => {
    const holders = Array.from({ length: 8 }, (_, i) => ({ namespace: `team-${i}`, name: 'batch', uid: `uid-${i}` }));
    const results = await Promise.allSettled(
      holders.map((holder) => acquireClaim(client, requestOf(holder, 'race'), NOW, lasting())),
    );
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
  });

  test('one that nobody has made announces a call, and says so until it is made anew', async () => {
    const [first, second] = [requestOf(a, 'announced'), requestOf(b, 'announced')];
    const announce = async (request: ClaimRequest, intent: string) =>
      projectClaim((await announceClaim(client, request, intent, lasting())) ?? { metadata: { name: 'none' } });
    assert.equal((await announce(first, 'intent-1'))?.intent, 'intent-1');
    assert.equal((await announce(first, 'intent-2'))?.intent, 'intent-1', 'it is not announced twice');
    assert.equal((await announce(second, 'intent-3'))?.holder, 'team-a/batch', 'nor by others');
    const name = claimName(issuer, first.identity);
    const object = await client.get(configMaps, { namespace: operatorNamespace, name });
    const { parameter, value, canonical } = first.identity;
    assert.deepEqual(object && announcedIn(object), { issuer, parameter, value, canonical, intent: 'intent-1' });
    const { canonical: _removed, ...damaged } = Object(object?.['data']);
    const without = object && projectClaim({ ...object, data: damaged });
    assert.deepEqual([without?.holder, without?.intent], ['team-a/batch', undefined], 'nobody could act on that');
    await releaseClaim(client, first, { until: NOW, compromised: false }, lasting());
    await acquireClaim(client, first, NOW, lasting());
    assert.equal((await stored(first))?.intent, undefined);
  });

  test('it outlives its client until the last certificate has ended', async () => {
    const [first, second] = [requestOf(a, 'outlived'), requestOf(b, 'outlived')];
    await acquireClaim(client, first, NOW, lasting());
    assert.notEqual(await releaseClaim(client, first, { until: NOW + HOUR, compromised: false }, lasting()), undefined);
    assert.equal(await releaseClaim(client, first, { until: NOW + HOUR, compromised: false }, lasting()), undefined);
    await assert.rejects(acquireClaim(client, second, NOW + HOUR - 1, lasting()), { code: 'IdentityTaken' });
    await acquireClaim(client, second, NOW + HOUR, lasting());
    const claim = await stored(second);
    assert.deepEqual([claim?.holder, claim?.holderUid, claim?.expires], ['team-b/batch', 'uid-b', undefined]);
    assert.equal(
      await releaseClaim(client, first, { until: NOW, compromised: false }, lasting()),
      undefined,
      "another's is left alone",
    );
    assert.equal((await stored(second))?.expires, undefined);
  });

  test('a client that is made anew has what its predecessor had', async () => {
    const first = requestOf(a, 'anew');
    await acquireClaim(client, first, NOW, lasting());
    await releaseClaim(client, first, { until: NOW + HOUR, compromised: false }, lasting());
    await acquireClaim(client, { ...first, holder: { ...a, uid: 'uid-new' } }, NOW, lasting());
    const claim = await stored(first);
    assert.deepEqual([claim?.holderUid, claim?.expires], ['uid-new', undefined]);
    assert.equal(
      await releaseClaim(client, first, { until: NOW, compromised: false }, lasting()),
      undefined,
      'the predecessor releases nothing',
    );
  });

  test('a client that is made anew does not have what others may have the key of', async () => {
    const first = requestOf(a, 'compromised');
    const anew = { ...first, holder: { ...a, uid: 'uid-new' } };
    await acquireClaim(client, first, NOW, lasting());
    await releaseClaim(client, first, { until: NOW + HOUR, compromised: true }, lasting());
    await assert.rejects(acquireClaim(client, anew, NOW, lasting()), { code: 'IdentityTaken' });
    await acquireClaim(client, anew, NOW + HOUR, lasting());
    const claim = await stored(first);
    assert.deepEqual([claim?.holderUid, claim?.compromised], ['uid-new', undefined]);
  });

  describe('a claim that was released is swept', () => {
    const released = async (name: string, until: number) => {
      const request = requestOf(a, name);
      await acquireClaim(client, request, NOW, lasting());
      await releaseClaim(client, request, { until, compromised: false }, lasting());
      return { request, name: claimName(issuer, request.identity), claim: await stored(request) };
    };
    const sweep = (name: string, claim: Claim | undefined, now: number) =>
      sweepClaim(
        { kube: client, claims: { get: () => claim }, operatorNamespace, clock: new FakeClock(now) },
        name,
        lasting(),
      );

    test('when its last certificate has ended, and not before', async () => {
      const { request, name, claim } = await released('swept', NOW + HOUR);
      assert.deepEqual(await sweep(name, claim, NOW + HOUR - 1), { requeueAfterMs: 1 });
      assert.notEqual(await stored(request), undefined);
      assert.deepEqual(await sweep(name, claim, NOW + HOUR), {});
      assert.equal(await stored(request), undefined);
      assert.deepEqual(await sweep(name, claim, NOW + HOUR), {}, 'gone already');
    });

    test('but not where somebody took it over meanwhile', async () => {
      const { request, name, claim } = await released('retaken', NOW);
      await acquireClaim(client, { ...request, holder: b }, NOW, lasting());
      await assert.rejects(sweep(name, claim, NOW + HOUR), { reason: 'Conflict' });
      assert.equal((await stored(request))?.holder, 'team-b/batch');
    });

    test('and one that is held is not', async () => {
      const request = requestOf(a, 'held');
      await acquireClaim(client, request, NOW, lasting());
      assert.deepEqual(await sweep(claimName(issuer, request.identity), await stored(request), NOW + HOUR), {});
      assert.notEqual(await stored(request), undefined);
    });
  });

  test('a claim that was damaged is nobody’s to take', async () => {
    const request = requestOf(a, 'damaged');
    const { metadata } = await acquireClaim(client, request, NOW, lasting());
    const ref = { namespace: operatorNamespace, name: metadata.name };
    await client.patch(configMaps, ref, { data: { holder: null, expires: 'soon' } }, { type: 'merge' });
    await assert.rejects(acquireClaim(client, request, NOW, lasting()), { code: 'IdentityTaken' });
  });

  test('a ConfigMap that is no claim is none', () => {
    assert.equal(
      projectClaim({ metadata: { name: 'x', resourceVersion: '1' }, data: { holder: 'a/b', holderUid: 'u' } }),
      undefined,
    );
  });
});

import assert from 'node:assert/strict';
import { createHash, X509Certificate } from 'node:crypto';
import { describe, test } from 'node:test';
import { digestOf } from '../../src/oauthclient/digest.ts';
import {
  certificateValues,
  contextValues,
  digests,
  projectSecret,
  sameValues,
} from '../../src/oauthclient/published-secret.ts';
import { x5tS256 } from '../../src/x509/thumbprint.ts';
import { testCa, testLeaf } from '../x509/authority.ts';

const content = { privateKeyPem: 'key\n', chainPem: 'leaf\nca\n', clientCaPem: 'ca\n', x5tS256: 'thumb' };
const context = { clientId: 'client-1', issuer: 'https://as', tokenEndpoint: 'https://as/token', serverCaPem: 'root' };
const values = { ...certificateValues(content), ...contextValues(context) };
const data = (of: Record<string, string>) =>
  Object.fromEntries(Object.entries(of).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));
const secret = (of: Record<string, string>) =>
  projectSecret({
    metadata: {
      name: 'batch-oauth',
      namespace: 'payments',
      uid: 'uid-secret',
      resourceVersion: '1',
      annotations: { 'certbound.dev/owner-uid': 'uid-1' },
    },
    type: 'kubernetes.io/tls',
    data: data(of),
  });

describe('the published Secret', () => {
  test('holds what the design promises, key and chain also in one file', () => {
    assert.deepEqual(Object.keys(values).toSorted(), [
      'ca.crt',
      'client-ca.crt',
      'client_id',
      'issuer',
      'tls-bundle.pem',
      'tls.crt',
      'tls.key',
      'token_endpoint',
      'x5t_s256',
    ]);
    assert.equal(values['tls-bundle.pem'], 'key\nleaf\nca\n');
    assert.equal(contextValues({ ...context, serverCaPem: undefined })['ca.crt'], undefined);
  });

  test('is known by digests alone, the same from its values and from what the API server holds', () => {
    const projection = secret(values);
    assert.deepEqual(projection.digests, digests(values));
    assert.equal(projection.digests['tls.key'], createHash('sha256').update('key\n').digest('hex'));
    assert.doesNotMatch(JSON.stringify(projection), /leaf|"key/);
    assert.equal(projection.ownerUid, 'uid-1');
  });

  test('tells which certificate it holds, where its values agree', async () => {
    const leaf = await testLeaf(await testCa());
    const thumbprint = x5tS256(new X509Certificate(leaf));
    const real = certificateValues({ ...content, chainPem: leaf, x5tS256: thumbprint });
    const { holds } = secret(real);
    assert.equal(holds?.x5tS256, thumbprint);
    assert.equal(holds.notAfter, new X509Certificate(leaf).validToDate.getTime());
    for (const key of ['tls.crt', 'tls.key', 'tls-bundle.pem', 'x5t_s256']) {
      assert.equal(secret({ ...real, [key]: 'damaged' }).holds, undefined, key);
    }
    assert.equal(secret(values).holds, undefined);
  });

  test('is the same only if every value of ours is; what others add is theirs', () => {
    const wanted = digests(values);
    assert.ok(sameValues(wanted, secret(values).digests));
    assert.ok(sameValues(wanted, secret({ ...values, 'app.conf': 'x' }).digests));
    for (const key of Object.keys(values)) {
      const { [key]: _gone, ...rest } = values;
      assert.ok(!sameValues(wanted, secret(rest).digests), `${key} is gone`);
      assert.ok(!sameValues(wanted, secret({ ...values, [key]: 'x' }).digests), `${key} is another`);
    }
  });

  test('keeps nothing that the server’s clients are no longer to trust', () => {
    const wanted = digests({ ...certificateValues(content), ...contextValues({ ...context, serverCaPem: undefined }) });
    assert.ok(!sameValues(wanted, secret(values).digests));
  });

  test('a foreign Secret without data is read, too', () => {
    const projection = projectSecret({ metadata: { name: 'x' } });
    assert.deepEqual([projection.type, projection.ownerUid, projection.digests], ['Opaque', undefined, {}]);
  });
});

describe('digests of JSON', () => {
  test('don’t depend on the order of members, at any depth', () => {
    assert.equal(digestOf({ a: 1, b: { c: [1, { d: 2, e: 3 }] } }), digestOf({ b: { c: [1, { e: 3, d: 2 }] }, a: 1 }));
  });

  test('depend on everything else', () => {
    const all = [{}, { a: 1 }, { a: '1' }, { a: [1, 2] }, { a: [2, 1] }, { a: { b: 1 } }, { a: null }, [], ''];
    assert.equal(new Set(all.map(digestOf)).size, all.length);
  });

  test('a member that is undefined is one that is absent, as in JSON', () => {
    assert.equal(digestOf({ a: 1, b: undefined }), digestOf({ a: 1 }));
  });
});
